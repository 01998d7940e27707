"""What ZenML's users do with tags and metadata, by the same names: our own versions of each use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import Tag, add_tags, bulk_log_metadata, get_step_context, link, log_metadata
from warmcell.client import Client
from warmcell.enums import MetadataResourceTypes
from warmcell.errors import NotFound, StepContextError, UsageError
from warmcell.metadata.metadata_types import DType, Path, StorageSize, Uri
from warmcell.models import (
    ArtifactVersionIdentifier,
    ModelVersionIdentifier,
    PipelineRunIdentifier,
    RunMetadataResource,
    StepRunIdentifier,
)
from warmcell.utils.tag_utils import remove_tags

SETUP = """
%load_ext warmcell
from typing import Annotated
from warmcell import (
    ArtifactConfig, Client, Model, Tag, add_tags, bulk_log_metadata, get_pipeline_context,
    get_step_context, log_metadata, pipeline, save_artifact, step,
)
from warmcell.metadata.metadata_types import DType, Path, StorageSize, Uri
from warmcell.models import ArtifactVersionIdentifier

@step
def ride() -> Annotated[int, ArtifactConfig(name="bike", tags=["two-wheels"])]:
    return 1
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
            yield made
            made("%unload_ext warmcell")
            link.kernel().close()


# -- tags ------------------------------------------------------------------------------------


def test_an_artifact_and_its_versions_have_tags_of_their_own(cell: Notebook) -> None:
    """By ArtifactConfig, by name, by name and version, by id; taken away again."""
    made = cell('save_artifact(1, "wheel", version="round")')
    add_tags(tags=["spare"], artifact="wheel")
    add_tags(tags=["worn"], artifact_name="wheel", artifact_version="round")
    add_tags(tags=["front"], artifact_version_id=made.id)
    assert Client().get_artifact_version("wheel").tags == ["front", "worn"]
    assert [one["artifact"] for one in Client().list_artifacts(tag="spare")] == ["wheel"]
    found = Client().list_artifacts(tags=["startswith:spa", "worn"])
    assert [one["artifact"] for one in found] == ["wheel"]
    remove_tags(tags=["spare"], artifact="wheel")
    assert Client().list_artifacts(tag="spare") == []
    cell("@pipeline\ndef riding():\n    ride()\nriding()")
    assert Client().get_artifact_version("bike").tags == ["two-wheels"]
    found = Client().list_artifact_versions(tags=["startswith:fro", "worn"])
    assert [one.id for one in found] == [made.id]


def test_a_step_tags_what_it_gives(cell: Notebook) -> None:
    """Its only output without a name, one of several by name, its run where nothing is named."""
    cell(
        """
@step
def build() -> Annotated[str, "frame"]:
    add_tags(tags=["steel"], infer_artifact=True)
    add_tags(tags=["workshop"])
    return "frame"

@step
def paint(frame: str) -> tuple[Annotated[str, "coat"], Annotated[str, "varnish"]]:
    add_tags(tags=["red"], artifact_name="coat", infer_artifact=True)
    add_tags(tags=["seen"], artifact_version_id=get_step_context().inputs["frame"].id)
    return "coat", "varnish"

@pipeline(tags=["batch", Tag(name="season", cascade=True)])
def building():
    paint(build())

run = building()
"""
    )
    tags = {name: Client().get_artifact_version(name).tags for name in ("frame", "coat", "varnish")}
    assert tags == {
        "frame": ["season", "seen", "steel"],
        "coat": ["red", "season"],
        "varnish": ["season"],
    }
    assert Client().get_pipeline_run(cell["run"].id).tags == ["batch", "season", "workshop"]


def test_the_tags_of_a_step_are_on_what_it_makes(cell: Notebook) -> None:
    """On each of its outputs, beside those of the output's own; an exclusive one moves on."""
    cell(
        """
@step(tags=["handmade", Tag("latest-pair", exclusive=True)])
def pair() -> tuple[Annotated[int, "left"], Annotated[int, ArtifactConfig("right", tags=["r"])]]:
    return 1, 2

@pipeline
def pairing():
    pair()
pairing(), pairing()
"""
    )
    for name, tags in (("left", ["handmade"]), ("right", ["handmade", "r"])):
        newest, before = Client().list_artifact_versions(name)
        assert (before.tags, newest.tags) == (tags, sorted([*tags, "latest-pair"]))


def test_an_exclusive_tag_is_on_one_at_a_time(cell: Notebook) -> None:
    """Said with the tag, or defined before: also later uses by name move it."""
    Client().create_tag(name="only", exclusive=True)
    cell(
        """
@pipeline(tags=[Tag(name="champion", exclusive=True), "only"])
def racing():
    ride()
first, second = racing(), racing()
"""
    )
    for tag in ("champion", "only"):
        (run,) = Client().list_pipeline_runs(tags=[tag])
        assert run.id == cell["second"].id
    add_tags(tags=["champion"], run=cell["first"].id)
    assert [run.id for run in Client().list_runs(tags=["champion"])] == [cell["first"].id]


def test_pipelines_are_filtered_by_conditions_on_their_tags(cell: Notebook) -> None:
    """All of them have to fit, each any of its tags."""
    cell("@pipeline\ndef touring():\n    ride()\ntouring()")
    add_tags(tags=["slow", "long", "summer"], pipeline="touring")

    def found(*tags: str) -> list[str]:
        return [one.name for one in Client().list_pipelines(tags=list(tags))]

    assert found("contains:umm", "startswith:s", "equals:long") == ["touring"]
    assert found("contains:umm", "startswith:s", "equals:short") == []
    assert "touring" not in found("notequals:slow")
    remove_tags(tags=["slow", "long"], pipeline="touring")
    one = Client().get_pipeline("touring")
    assert (one.tags, one.runs, one.last_run.pipeline) == (["summer"], 1, "touring")
    with pytest.raises(NotFound, match="no pipeline 'nothing'"):
        Client().get_pipeline("nothing")


def test_snapshots_and_deployments_have_tags(cell: Notebook) -> None:
    """By the id of the snapshot, by the name of the deployment; lists are filtered by them."""
    cell(
        "@pipeline\ndef renting(days: int = 1):\n    ride()\n"
        "renting.deploy('rental')\nrenting.deploy('rental', settings={'concurrency': 2})"
    )
    newest, *_ = Client().list_snapshots("renting")
    assert newest["id"] == f"renting/{newest['number']}"
    add_tags(tags=["blessed"], snapshot=newest["id"])
    (only,) = Client().list_snapshots(tags=["startswith:bles"])
    assert (only["id"], only["tags"]) == (newest["id"], ["blessed"])
    add_tags(tags=[Tag("front", color="blue")], deployment="rental")
    assert [one.name for one in Client().list_deployments(tags=["front"])] == ["rental"]
    assert Client().list_deployments(tag="back") == []


# -- metadata --------------------------------------------------------------------------------


def test_metadata_of_steps_and_runs(cell: Notebook) -> None:
    """Logged inside, and afterwards by name, by id and for several at once."""
    cell(
        """
@step
def weigh(kilos: float = 9.5) -> float:
    context = get_step_context()
    log_metadata(metadata={"scale": {"kilos": kilos}})
    log_metadata(metadata={"place": "yard"}, run_id_name_or_prefix=context.pipeline_run.id)
    assert context.step_run.config.parameters == {"kilos": 9.5}
    assert (context.step_run.name, context.pipeline.name) == ("weigh", "weighing")
    return kilos

@pipeline
def weighing():
    weigh()
run = weighing()
"""
    )
    run = cell["run"].id
    log_metadata({"later": 1}, step_name="weigh", run_id_name_or_prefix=run)
    step = Client().get_pipeline_run(run).steps["weigh"]
    log_metadata({"by id": 2}, step_id=step.id)
    Client().create_run_metadata(
        {"both": [1]},
        [
            RunMetadataResource(id=step.id, type=MetadataResourceTypes.STEP_RUN),
            RunMetadataResource(id=run, type=MetadataResourceTypes.PIPELINE_RUN),
        ],
    )
    found = Client().get_pipeline_run(run)
    assert found.steps["weigh"].run_metadata == {
        "scale": {"kilos": 9.5}, "later": 1, "by id": 2, "both": [1],
    }  # fmt: skip
    assert found.run_metadata == {"weigh::place": "yard", "both": [1]}
    with pytest.raises(UsageError, match="no metadata about the kind 'schedule'"):
        RunMetadataResource(id="a", type="schedule").to_json()


def test_metadata_of_an_output_is_seen_by_the_next_step(cell: Notebook) -> None:
    """With its types, before the host has heard of the version, and added to from there."""
    cell(
        """
@step
def measure() -> Annotated[list, "lengths"]:
    log_metadata(
        metadata={"unit": "cm", "from": Uri("s3://yard/lengths"), "script": Path("/m.py"),
                  "column": {"length": DType("int")}, "bytes": StorageSize(2500)},
        infer_artifact=True,
    )
    return [54, 56]

@step
def check(lengths: list, most: int) -> bool:
    given = get_step_context().inputs
    bulk_log_metadata(
        metadata={"checked": True}, infer_artifacts=True,
        artifact_versions=[ArtifactVersionIdentifier(id=given["lengths"].id)],
    )
    assert given["lengths"].run_metadata["unit"] == "cm" and given["lengths"].value == lengths
    assert given["most"].id is None and given["most"].run_metadata == {}
    return max(lengths) < most

@pipeline
def measuring():
    check(measure(), most=60)
measuring()
"""
    )
    found = Client().get_artifact_version("lengths").run_metadata
    kinds = {name: type(found[name]) for name in ("from", "script", "bytes")}
    assert kinds == {"from": Uri, "script": Path, "bytes": StorageSize}
    assert type(found["column"]["length"]) is DType
    assert (found["unit"].value, found["checked"]) == ("cm", True)
    assert Client().get_artifact_version("measuring::check::output").run_metadata["checked"]


def test_an_output_gets_what_its_config_and_its_step_say(cell: Notebook) -> None:
    """Both together, and none of them twice."""
    cell(
        """
@step
def stamp(which: str) -> tuple[
    Annotated[str, ArtifactConfig(name="stamped", run_metadata={"by": "config"}, tags=["ink"])],
    str,
]:
    context = get_step_context()
    context.add_output_metadata({"n": 1}, output_name=which)
    context.add_output_tags(["wet", "wet"], output_name=which)
    assert context.get_output_tags(which) == ["wet"]
    return "a", "b"

@pipeline
def stamping():
    stamp("stamped")
stamping()
"""
    )
    found = Client().get_artifact_version("stamped")
    assert found.tags == ["ink", "wet"]
    assert (found.run_metadata["by"], found.run_metadata["n"]) == ("config", 1)


def test_bulk_metadata_about_things_of_all_kinds(cell: Notebook) -> None:
    """By id, by name and version, by name and run; all of it or nothing."""
    cell(
        """
@step
def pump() -> int:
    bulk_log_metadata(metadata={"air": 4}, infer_models=True, infer_artifacts=True)
    return 4

@pipeline(model=Model(name="tyre", version="rear"))
def pumping():
    pump()
run = pumping()
"""
    )
    run = PipelineRunIdentifier(prefix=cell["run"].id[:34])
    about = {
        "pipeline_runs": [run],
        "step_runs": [StepRunIdentifier(name="pump", run=run)],
        "artifact_versions": [ArtifactVersionIdentifier(name="pumping::pump::output", version=1)],
        "model_versions": [ModelVersionIdentifier(name="tyre", version="rear")],
    }
    bulk_log_metadata(metadata={"shop": "north"}, **about)
    found = Client().get_pipeline_run(cell["run"].id)
    assert (found.run_metadata, found.steps["pump"].run_metadata["shop"]) == (
        {"shop": "north"}, "north",
    )  # fmt: skip
    tyre = Client().get_model_version("tyre", "rear")
    assert tyre.run_metadata == {"air": 4, "shop": "north"}
    gone = [PipelineRunIdentifier(id="01a1fde3-0000-7000-8000-000000000000")]
    with pytest.raises(NotFound):
        bulk_log_metadata({"half": 1}, model_versions=about["model_versions"], pipeline_runs=gone)
    assert "half" not in Client().get_model_version("tyre", "rear").run_metadata


def test_hooks_see_the_step_and_its_name(cell: Notebook) -> None:
    """``on_failure`` runs in the context of what failed; outside of any there is none."""
    cell(
        """
seen = []
def told(error: BaseException):
    seen.append((get_step_context().step_run.name, str(error)))

@step(on_failure=told)
def crash():
    raise ValueError("flat tyre")

@pipeline
def crashing():
    crash()
"""
    )
    cell.fails("crashing()")
    assert cell["seen"] == [("crash", "flat tyre")]
    with pytest.raises(RuntimeError, match="only while a step"):
        get_step_context()


def test_a_body_builds_steps_from_its_extra(cell: Notebook) -> None:
    """Each call has the name that ``id`` gives it; two of one name are refused."""
    cell(
        """
@step
def fit(size: int) -> int:
    return size

@pipeline(extra={"sizes": [52, 58]})
def fitting():
    for number, size in enumerate(get_pipeline_context().extra["sizes"]):
        fit(size, id=f"fit_{number}")
run = fitting()

@pipeline
def twice():
    fit(1, id="one")
    fit(2, id="one")
"""
    )
    assert [one.name for one in cell["run"].steps] == ["fit_0", "fit_1"]
    assert "calls two steps `one`" in str(cell.fails("twice()"))


def test_an_output_that_is_not_there_is_named(cell: Notebook) -> None:
    """With those that there are."""
    cell(
        """
@step
def lost() -> Annotated[int, "map"]:
    get_step_context().add_output_tags(["x"], output_name="compass")
    return 1

@pipeline
def losing():
    lost()
"""
    )
    error = cell.fails("losing()")
    assert isinstance(error.__cause__, StepContextError)
    assert "has no output 'compass'. Outputs of `lost`: map." in str(error.__cause__)
