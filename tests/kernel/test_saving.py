"""Artifacts in a notebook: kept by runs, saved by hand, loaded and handed on."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import Client, ExternalArtifact, link, load_artifact, save_artifact
from warmcell.errors import ArtifactError, Conflict, NotFound, UsageError

SETUP = """
%load_ext warmcell
from typing import Annotated
import pandas as pd
from warmcell import (
    ArtifactConfig, Client, ExternalArtifact, load_artifact, pipeline, save_artifact, step,
)

@step
def rows(n: int) -> Annotated[pd.DataFrame, "rows"]:
    return pd.DataFrame({"x": range(n)})

@step
def total(frame: pd.DataFrame) -> Annotated[int, ArtifactConfig("total", tags=["sum"])]:
    return int(frame["x"].sum())

@pipeline
def summed(n: int):
    return total(rows(n))

@pipeline
def of_given(frame: object):
    return total(frame)
"""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook with an embedded host, in which ``summed`` ran twice."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONNECTION", "URL", "TOKEN", "KEY"):
            patch.delenv(f"WARMCELL_{name}", raising=False)
        patch.delenv("JPY_PARENT_PID", raising=False)
        patch.setenv("WARMCELL_HOME", str(folder))
        patch.setenv("WARMCELL_KEY_DIR", str(folder / "keys"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        with notebook() as made:
            made(SETUP)
            made("first, second = summed(3), summed(4)")
            yield made
            made("%unload_ext warmcell")
            link.kernel().close()


def test_what_runs_made_is_loaded(cell: Notebook) -> None:
    """The outputs of runs are versions that count, found by name, number and tag."""
    newest = Client().get_artifact_version("rows")
    assert (newest.number, newest.version, newest.step) == (2, "2", "rows")
    assert newest.load()["x"].tolist() == [0, 1, 2, 3]
    assert Client().get_artifact_version("rows", 1).data["x"].tolist() == [0, 1, 2]
    tagged = Client().get_artifact_version("total", tag="sum")
    assert (tagged.load(), load_artifact("total", 1)) == (6, 3)


def test_values_are_saved_by_hand(cell: Notebook) -> None:
    """A value outside of a run becomes a version, with a label, tags and metadata."""
    frame = pd.DataFrame({"a": [1.5]})
    saved = save_artifact(
        frame, "by-hand", version="v1", tags=["good"], user_metadata={"source": "me"}
    )
    assert (saved.version, saved.tags, saved.run_id) == ("v1", ["good"], None)
    assert saved.run_metadata["source"] == "me"
    pd.testing.assert_frame_equal(load_artifact("by-hand", "v1"), frame)
    assert load_artifact(save_artifact({"k": (1, None)}, "small")) == {"k": (1, None)}
    assert load_artifact(save_artifact(None, "nothing")) is None
    with pytest.raises(Conflict, match="v1"):
        save_artifact(frame, "by-hand", version="v1")
    with pytest.raises(ArtifactError, match="lock"):
        save_artifact(__import__("threading").Lock(), "lock")
    with pytest.raises(NotFound):
        load_artifact("by-nobody")


def test_a_run_takes_what_is_stored(cell: Notebook) -> None:
    """A version, or a value of one's own, goes to a step as itself; it is kept from deletion."""
    cell("third = of_given(Client().get_artifact_version('rows', 1))")
    cell("fourth = of_given(ExternalArtifact(pd.DataFrame({'x': [40, 2]})))")
    cell("fifth = of_given(ExternalArtifact(name='rows', version=2))")
    cell("results = [list(r.outputs.values()) for r in (third, fourth, fifth)]")
    assert cell.shell.user_ns["results"] == [[3], [42], [6]]
    used = Client().get_artifact_version("rows", 1)
    assert cell.shell.user_ns["third"].id in str(used.kept_by)
    external = Client().get_artifact_version("of_given::external::frame")
    assert external.load()["x"].tolist() == [40, 2]
    with pytest.raises(Conflict):
        used.delete()


def test_steps_save_and_load(cell: Notebook) -> None:
    """What a step saves is of its run; what it loads is a use of it."""
    cell("""
@step
def by_hand() -> None:
    save_artifact(load_artifact("total", 1) + 1, "more-{run.id[:8]}")

@pipeline
def saving():
    by_hand()

done = saving()
""")
    run = cell.shell.user_ns["done"].id
    (saved,) = Client().list_artifact_versions(run_id=run, like="more-*")
    assert (saved.artifact, saved.step, saved.load()) == (f"more-{run[:8]}", "by_hand", 4)
    assert run in str(Client().get_artifact_version("total", 1).kept_by)


def test_mistakes_with_external_artifacts() -> None:
    """What is neither a value nor a stored one, or both, is refused at once."""
    for wrong in ({}, {"value": 1, "id": "x"}, {"id": "x", "version": 2}):
        with pytest.raises(UsageError):
            ExternalArtifact(**wrong)


def test_a_served_call_keeps_what_its_deployment_says(cell: Notebook) -> None:
    """By default a served call keeps nothing; with a policy its outputs are versions."""
    cell("plain = summed.deploy('plain')")
    cell("keeping = summed.deploy('keeping', settings={'deployment': {'artifacts': ['rows']}})")
    cell("answers = [plain.invoke(n=5), keeping.invoke(n=6)]")
    before, after = (
        Client().list_artifact_versions(run_id=run.id)
        for run in (
            Client().list_runs(deployment="plain")[0],
            Client().list_runs(deployment="keeping")[0],
        )
    )
    assert len(before) == 0
    (rows,) = after
    assert (rows.artifact, rows.step) == ("rows", "rows")
