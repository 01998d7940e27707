"""Tags and metadata in a notebook: from a step or from outside, found again through the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import Tag, add_tags, bulk_log_metadata, link, log_metadata, remove_tags
from warmcell.client import Client
from warmcell.errors import Conflict, InvalidName, NotFound, UsageError
from warmcell.metadata.metadata_types import StorageSize, Uri
from warmcell.models import PipelineRunIdentifier, StepRunIdentifier
from warmcell.runs import Run

SETUP = """
%load_ext warmcell
from warmcell import Client, Tag, add_tags, get_step_context, log_metadata, pipeline, step
from warmcell.metadata.metadata_types import StorageSize

@step
def train(rate: float) -> float:
    add_tags(tags=["trained"])
    log_metadata({"scores": {"accuracy": 1 - rate}, "size": StorageSize(10)})
    log_metadata({"commit": "abc"}, run_id_name_or_prefix=get_step_context().pipeline_run.id)
    return rate

@pipeline(tags=["team-a", Tag("newest", exclusive=True)])
def training(rate: float):
    return train(rate)
"""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook with an embedded host."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WARMCELL_CONNECTION", "JPY_PARENT_PID"):
            patch.delenv(name, raising=False)
        for name in ("WARMCELL_URL", "WARMCELL_TOKEN", "WARMCELL_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("WARMCELL_HOME", str(folder))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        with notebook() as made:
            made(SETUP)
            made("first, second = training(0.25), training(0.5)")
            yield made
            made("%unload_ext warmcell")
            link.kernel().close()


@pytest.fixture(scope="module")
def runs(cell: Notebook) -> list[Run]:
    """The two runs of ``training`` as the history has them, oldest first."""
    return Client().list_runs(pipeline="training")[::-1]


def test_a_run_has_the_tags_of_its_pipeline_and_of_its_steps(runs: list[Run]) -> None:
    """An exclusive one is on the newest run only."""
    assert [run.tags for run in runs] == [
        ["team-a", "trained"],
        ["newest", "team-a", "trained"],
    ]
    tag = Client().get_tag("newest")
    assert (tag.exclusive, tag.uses) == (True, {"run": 1})
    (one,) = Client().list_tagged("newest")
    assert (one["subject"], one["scope"]) == (runs[1].id, "training")


def test_runs_are_filtered_by_tags(runs: list[Run]) -> None:
    """All conditions have to fit."""

    def found(*tags: str) -> list[str]:
        return [run.id for run in Client().list_runs(tags=list(tags))]

    assert found("trained", "startswith:new") == [runs[1].id]
    assert found("contains:team", "notequals:newest") == [runs[0].id]
    assert [run.id for run in Client().list_runs(tag="newest")] == [runs[1].id]


def test_metadata_comes_back_typed_from_the_history(runs: list[Run]) -> None:
    """By the step, by the run, and through the client."""
    run = Client().get_run(runs[0].id)
    logged = run.steps["train"].run_metadata
    assert logged == {"scores": {"accuracy": 0.75}, "size": 10}
    assert type(logged["size"]) is StorageSize
    assert run.run_metadata["train::commit"] == "abc"
    assert Client().get_metadata(run=run.id, step_name="train") == logged


def test_runs_are_compared(runs: list[Run]) -> None:
    """Side by side, also as a frame."""
    found = Client().compare_metadata(*runs)
    assert {row["key"]: row["values"] for row in found.different} == {
        "train.scores.accuracy": [0.75, 0.5]
    }
    assert "* train.scores.accuracy: 0.75 | 0.5" in repr(found)
    assert list(found.to_frame().loc["train.size"]) == [10, 10]


def test_tags_and_metadata_are_added_afterwards(runs: list[Run]) -> None:
    """To a run, a step, a pipeline; taken away again; all or nothing for many."""
    run = runs[0]
    add_tags(["late", Tag("blue", color="blue")], run=run.id[:30])
    remove_tags(["trained"], run=run.id)
    assert Client().get_run(run.id).tags == ["blue", "late", "team-a"]
    add_tags(["one", "two"], pipeline="training")
    assert Client().get_tag("two").uses == {"pipeline": 1}
    log_metadata({"source": Uri("s3://a")}, run_id_name_or_prefix=run.id, step_name="train")
    here = PipelineRunIdentifier(id=run.id)
    steps = [StepRunIdentifier(name="train", run=here)]
    bulk_log_metadata({"python": "3"}, pipeline_runs=[here], step_runs=steps)
    found = Client().get_run(run.id)
    assert found.steps["train"].run_metadata["source"] == Uri("s3://a")
    assert (found.run_metadata["python"], found.metadata["train.python"]) == ("3", "3")


def test_tags_are_defined_changed_and_deleted(cell: Notebook) -> None:
    """With colors that there are; what is unknown is named."""
    client = Client()
    made = client.create_tag("gold", exclusive=True, color="yellow")
    assert repr(made) == "<exclusive tag gold: unused>"
    assert client.update_tag("gold", name="silver", color="grey").color == "grey"
    assert "silver" in [tag.name for tag in client.list_tags()]
    client.delete_tag("silver")
    for call, error in (
        (lambda: client.get_tag("silver"), NotFound),
        (lambda: client.create_tag("a,b"), InvalidName),
        (lambda: client.create_tag("x", color="pink"), UsageError),
        (lambda: client.create_tag("newest"), Conflict),
        (lambda: add_tags("x", run="nothing"), NotFound),
        (lambda: add_tags(Tag("team-a", exclusive=True), pipeline="training"), Conflict),
        (lambda: add_tags("newest", pipeline="training"), UsageError),
        (lambda: log_metadata({"a": 1}, artifact_name="nothing"), NotFound),
        (lambda: client.compare_metadata("one"), UsageError),
        (lambda: client.get_metadata(), UsageError),
    ):
        with pytest.raises(error):
            call()


def test_a_snapshot_and_a_deployment_are_tagged(cell: Notebook) -> None:
    """A served call notes tags and metadata as a run in a cell does."""
    cell("training.deploy('training')")
    add_tags(Tag("live", exclusive=True), deployment="training")
    add_tags("reviewed", snapshot="training/1")
    assert Client().get_tag("live").uses == {"deployment": 1}
    assert Client().list_tagged("reviewed")[0]["subject"] == "training/1"
    Client().invoke("training", rate=0.125)
    (called,) = Client().list_runs(deployment="training")
    assert called.tags == ["newest", "team-a", "trained"]
    assert Client().get_run(called.id).metadata["train.scores"] == {"accuracy": 0.875}


def test_outputs_are_tagged_and_described_from_their_step(cell: Notebook) -> None:
    """What a step says of an output is on its version; a cascading tag is on all of them."""
    cell(
        """
from typing import Annotated

@step
def split(x: int) -> tuple[Annotated[int, "low_part"], Annotated[int, "high_part"]]:
    add_tags(["small", Tag("best", exclusive=True)], infer_artifact=True, artifact_name="low_part")
    log_metadata({"rows": 3}, infer_artifact=True, artifact_name="high_part")
    return x, x + 1

@pipeline(tags=["plain", Tag("raw", cascade=True)])
def splitting(x: int):
    return split(x)

splitting(1)
splitting(2)
"""
    )
    client = Client()
    table = client.sql(
        "SELECT version_id, artifact FROM artifacts WHERE artifact IN ('low_part', 'high_part') "
        "AND version_id IS NOT NULL ORDER BY artifact, number"
    )
    highs = [row[0] for row in table.rows if row[1] == "high_part"]
    lows = [row[0] for row in table.rows if row[1] == "low_part"]
    assert (len(highs), len(lows)) == (2, 2)

    def holders(tag: str) -> set[str]:
        return {one["subject"] for one in client.list_tagged(tag, "artifact_version")}

    assert holders("raw") == {*highs, *lows}
    assert holders("small") == set(lows)
    assert holders("best") == {lows[1]}
    assert holders("plain") == set()
    assert client.get_metadata(artifact_name="high_part", artifact_version="1") == {"rows": 3}
    assert client.get_metadata(artifact_version_id=lows[0]) == {}
    add_tags("checked", artifact_name="low_part", artifact_version=1)
    log_metadata({"drift": 0.03}, artifact_name="low_part")
    assert holders("checked") == {lows[0]}
    assert client.compare_metadata(*lows, kind="artifact_version").different == [
        {"key": "drift", "values": [None, 0.03], "same": False}
    ]
