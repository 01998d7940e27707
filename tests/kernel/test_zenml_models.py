"""What ZenML's users do with models, by the same names: our own versions of each use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import Model, link, link_artifact_to_model, log_metadata
from warmcell.client import Client
from warmcell.enums import ModelStages
from warmcell.errors import Conflict, InvalidName, NotFound

SETUP = """
%load_ext warmcell
from typing import Annotated
from warmcell import (
    ArtifactConfig, Client, Model, get_pipeline_context, get_step_context, link_artifact_to_model,
    log_metadata, pipeline, step,
)
from warmcell.artifacts.utils import save_artifact
from warmcell.enums import ModelStages

class Scale:
    def __init__(self, factor):
        self.factor = factor
    def predict(self, rows):
        return [self.factor * row for row in rows]

@step
def train(factor: int) -> Annotated[Scale, ArtifactConfig("scale", artifact_type="model")]:
    return Scale(factor)
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


def test_a_model_is_registered_before_it_has_a_version(cell: Notebook) -> None:
    """With what it says of itself; its versions may be called by numbers, which they have then."""
    made = Client().create_model(
        name="forecast", license="MIT", description="Bikes per day", tags=["rides", "daily"]
    )
    assert (made.license, made.description, made.tags) == (
        "MIT", "Bikes per day", ["daily", "rides"],
    )  # fmt: skip
    version = Client().create_model_version(
        model_name_or_id="forecast", name="2", tags=["try", "april"]
    )
    assert (version.name, version.number, version.tags) == ("2", 2, ["april", "try"])
    assert Client().create_model_version("forecast").number == 3
    Client().update_model("forecast", license="BSD", add_tags=["hourly"], remove_tags=["daily"])
    changed = Client().get_model("forecast")
    assert (changed.license, changed.tags) == ("BSD", ["hourly", "rides"])
    Client().update_model("forecast", add_tags=["daily"])
    changed = Client().update_model_version("forecast", 2, add_tags=["x"], remove_tags=["april"])
    assert changed.tags == ["try", "x"]
    with pytest.raises(InvalidName, match="the next is 4"):
        Client().create_model_version("forecast", "1")
    assert [one.name for one in Client().list_models(tags=["contains:ail", "rides"])] == [
        "forecast"
    ]
    assert [
        one.name for one in Client().list_model_versions("forecast", tags=["try", "notequals:may"])
    ] == ["2"]


def test_names_are_filled_in_for_each_run(cell: Notebook) -> None:
    """Of the model and of its version, with the pipeline's substitutions or the step's own."""
    cell(
        """
@pipeline(model=Model("{city}_demand", version="try-{date}-{run.id[:8]}"),
          substitutions={"city": "Bern"})
def training():
    train(2)
    train.with_options(model=Model("{city}_other", version="one"),
                       substitutions={"city": "Genf"})(3)
run = training()
"""
    )
    (version,) = Client().list_model_versions("Bern_demand")
    assert version.name.startswith("try-2")
    assert version.name.endswith(cell["run"].id[:8])
    assert Client().get_model_version("Genf_other", "one").load_artifact("scale").factor == 3
    assert version.load_artifact("scale").factor == 2
    with pytest.raises(NotFound, match="a run decides"):
        Model("{city}_demand", version="x").id  # noqa: B018


def test_what_a_step_saves_belongs_to_its_model(cell: Notebook) -> None:
    """Its output and what it saved on the way, by role and by version."""
    cell(
        """
@step(model=Model(name="Planner", version="2.1.0"))
def plan(rides: list) -> Annotated[dict, ArtifactConfig("plan")]:
    for epoch in range(2):
        save_artifact(data={"epoch": epoch}, name="checkpoint", version=f"2.1.0_{epoch}",
                      is_model_artifact=True)
    return {"bikes": len(rides)}

@pipeline
def planning():
    plan([1, 2, 3])
planning()
"""
    )
    version = Client().get_model_version("Planner", "2.1.0")
    assert version.get_artifact("plan").load() == {"bikes": 3}
    assert version.get_model_artifact("checkpoint", "2.1.0_0").load() == {"epoch": 0}
    assert {one["artifact"] for one in version.artifacts("model")} == {"checkpoint"}


def test_artifacts_are_linked_by_hand(cell: Notebook) -> None:
    """Inside a step and outside; the version is made where its label is new."""
    cell(
        """
@step
def note() -> None:
    made = save_artifact(data="by hand", name="manual")
    link_artifact_to_model(artifact_version_id=made.id, model=Model("Planner", version="0.0.42"))

@pipeline
def noting():
    note()
noting()
outside = save_artifact(data=7, name="outside")
"""
    )
    link_artifact_to_model(
        artifact_version_id=Client().get_artifact_version(name_id_or_prefix="outside").id,
        model=Model("Planner", version="0.2.42"),
    )
    found = [Client().get_model_version("Planner", label) for label in ("0.0.42", "0.2.42")]
    assert found[0].get_artifact("manual").load() == "by hand"
    assert found[1].get_data_artifact("outside").load() == 7
    with pytest.raises(NotFound):
        link_artifact_to_model(cell["outside"], Model("Planner", version="production"))


def test_inference_takes_the_model_that_is_in_production(cell: Notebook) -> None:
    """One pipeline trains and promotes; another one takes what is promoted, by its body or in a
    step, without knowing of any run."""
    cell(
        """
@pipeline(model=Model(name="demand"))
def training(factor: int):
    train(factor)
training(2), training(5)

@step
def predict(model: Scale, rows: list) -> Annotated[list, "predictions"]:
    return model.predict(rows)

@step
def rows() -> list:
    return [1, 2]

@pipeline(model=Model(name="demand", version=ModelStages.PRODUCTION))
def inference():
    model = get_pipeline_context().model
    predict(model=model.get_model_artifact("scale"), rows=rows())

@step
def within(rows: list) -> Annotated[list, "inside"]:
    return get_step_context().model.load_artifact("scale").predict(rows)

@pipeline(enable_cache=False, model=Model(name="demand", version="production"))
def other():
    within(rows())
"""
    )
    error = cell.fails("inference()")
    assert isinstance(error, KeyError)
    assert "No version of model 'demand' is in 'production'" in str(error)
    Model(name="demand", version="1").set_stage(stage=ModelStages.PRODUCTION)
    Model(name="demand", version=ModelStages.LATEST).set_stage(stage=ModelStages.STAGING)
    cell("inference(), other()")
    assert Client().get_artifact_version(name="predictions").load() == [2, 4]
    with pytest.raises(Conflict, match="is in 'production'"):
        Model(name="demand", version="staging").set_stage("production")
    Model(name="demand", version="staging").set_stage("production", force=True)
    cell("inference(), other()")
    for name in ("predictions", "inside"):
        assert Client().get_artifact_version(name).load() == [5, 10]
    earlier = Model(name="demand", version="1")
    assert (earlier.number, earlier.stage) == (1, ModelStages.ARCHIVED)


def test_a_body_names_what_its_run_makes(cell: Notebook) -> None:
    """Found when the step begins that takes it: what a step before it saved or gave, also in a run
    of a version that had another one before, and where that step is reused."""
    cell(
        """
@step(enable_cache=False)
def fit(factor: int):
    save_artifact(Scale(factor), "checkpoint")

@step
def weigh(factor: int) -> Annotated[Scale, "weight"]:
    return Scale(factor)

@step
def told(model: Scale) -> Annotated[int, "told"]:
    return model.factor

@pipeline(model=Model(name="lazy", version="one"))
def fitting(factor: int = 2):
    fit(factor)
    told(get_pipeline_context().model.get_artifact("checkpoint"), after=["fit"])
first, again = fitting(), fitting(3)

@pipeline(enable_cache=True, model=Model(name="lazy"))
def weighing(factor: int = 2):
    weigh(factor)
    told(get_pipeline_context().model.get_model_artifact("weight"), after=["weigh"])
weighed, reused, changed = weighing(), weighing(), weighing(4)

@pipeline(model=Model(name="lazy"))
def missing():
    found = get_pipeline_context().model.get_artifact("nothing")
    told(found if not found else None)
"""
    )
    for name, factor in (("first", 2), ("again", 3), ("weighed", 2), ("reused", 2), ("changed", 4)):
        assert cell(f"{name}.steps['told'].output.load()") == factor, name
    assert cell("reused.steps['weigh'].cached"), cell("reused.steps['weigh'].uncached")
    assert cell("reused.steps['told'].cached"), cell("reused.steps['told'].uncached")
    error = cell.fails("missing()")
    assert "has no artifact 'nothing' when the step begins" in str(error)


def test_metrics_are_logged_about_the_model_of_the_step(cell: Notebook) -> None:
    """``infer_model`` means the version of the run; a later reader gets values with ``.value``."""
    cell(
        """
@step
def evaluate():
    log_metadata(metadata={"metrics": {"error": 0.5, "rows": 10}}, infer_model=True)
    return get_step_context().model.run_metadata["metrics"].value["rows"]

@pipeline(model=Model(name="measured", version="1.2.3"))
def evaluating():
    return evaluate()
run = evaluating()
"""
    )
    assert cell["run"].output == 10
    log_metadata({"where": "north"}, model_name="measured", model_version="1.2.3")
    version = Client().get_model_version("measured", "1.2.3")
    log_metadata({"by id": 1}, model_version_id=version.id)
    found = Client().get_model_version("measured", "1.2.3").run_metadata
    assert found["metrics"].value["error"] == 0.5
    assert (found["where"], found["by id"]) == ("north", 1)


def test_models_are_deleted(cell: Notebook) -> None:
    """A version by its id, then the model with the rest."""
    Client().create_model("short")
    kept, gone = (Client().create_model_version("short", label) for label in ("a", "b"))
    Client().delete_model_version(gone.id)
    assert [one.id for one in Client().list_model_versions("short")] == [kept.id]
    Client().delete_model("short")
    with pytest.raises(NotFound, match="There is no model 'short'"):
        Client().get_model("short")
