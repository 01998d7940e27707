"""Models in a notebook: versions made by runs, seen by steps and calls, moved between stages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import Model, link
from warmcell.client import Client
from warmcell.enums import ModelStages
from warmcell.errors import Conflict, InvalidName, NotFound, UsageError
from warmcell.model.templates import fill
from warmcell.model.version import ModelVersion

SETUP = """
%load_ext warmcell
from warmcell import Client, Model, get_pipeline_context, get_step_context, pipeline, step
from warmcell.enums import ModelStages
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


def versions(model: str, **filters: Any) -> list[str]:
    """Labels of the versions of a model, oldest first."""
    return [one.name for one in reversed(Client().list_model_versions(model, **filters))]


def test_each_run_makes_a_version(cell: Notebook) -> None:
    """A pipeline with a model makes a version in each run; its steps and its body see that one."""
    cell(
        """
@step
def which() -> dict:
    model = get_step_context().model
    return {"name": model.name, "version": model.version, "id": model.id,
            "number": get_pipeline_context().model.number}

@pipeline(model=Model("plain", description="A plain one", license="MIT", tags=["a"]))
def training():
    return which()

first, second = training().outputs, training()
"""
    )
    seen, run = cell["first"], cell["second"]
    seen = next(iter(seen.values()))
    assert (seen["name"], seen["version"], seen["number"]) == ("plain", "1", 1)
    assert versions("plain") == versions("plain", tag="a") == ["1", "2"]
    newest = Client().get_model_version("plain")
    assert (newest.name, newest.run_id, newest.stage) == ("2", run.id, None)
    assert Client().get_model_version("plain", seen["version"]).id == seen["id"]
    model = Client().get_model("plain")
    assert (model.description, model.license, model.tags) == ("A plain one", "MIT", ["a"])
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        model.nothing  # noqa: B018


def test_labels(cell: Notebook) -> None:
    """An explicit label is made once, a templated one for each run."""
    cell(
        """
@step
def nothing() -> int:
    return 1

@pipeline(model=Model("labelled", version="1.0.5"))
def explicit():
    return nothing()

@pipeline(model=Model("labelled", version="run-{run.id[:8]}-{date}"))
def templated():
    return nothing()

explicit(); explicit()
run = templated()
"""
    )
    day = datetime.fromtimestamp(cell["run"].created_at.timestamp(), UTC)
    assert versions("labelled") == ["1.0.5", f"run-{cell['run'].id[:8]}-{day:%Y_%m_%d}"]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("run-{run.id[:8]}", "run-01234567"),
        ("{run.id[-2:]}", "ef"),
        ("{pipeline.name}/{run.name}", "p/0123456789abcdef"),
        ("{date} {time}", "1970_01_02 00_00_00_000007"),
        ("none", "none"),
    ],
)
def test_templates(text: str, filled: str) -> None:
    """Each place is filled in, also in part; what is none stays."""
    day = 86_400_000_000
    places: dict[str, Any] = {"run_id": "0123456789abcdef", "run_name": None, "pipeline": "p"}
    assert fill(text, time=day + 7, **places) == filled
    with pytest.raises(UsageError, match=r"Did you mean `run\.id`"):
        fill("{run.ids}", time=day, **places)


def test_a_step_with_a_model_of_its_own(cell: Notebook) -> None:
    """A step may work on another model than its pipeline; the run says which step did."""
    cell(
        """
@step(model=Model("side"))
def aside() -> str:
    return get_step_context().model.name

@step
def main() -> str:
    return get_step_context().model.name

@pipeline(model=Model("mainly"))
def both():
    return main(), aside()

run = both()
"""
    )
    run = cell["run"]
    assert set(run.outputs.values()) == {"mainly", "side"}
    path = f"api/v1/model-versions/{Client().get_model_version('side').id}/links"
    linked = Client()._call("GET", path)["links"]
    assert [(one["kind"], one["subject"]) for one in linked] == [("step", f"{run.id}/aside")]


def test_stages(cell: Notebook) -> None:
    """ZenML's words for a promotion: by the model, by the latest version, with force."""
    cell("training()")
    Model("plain", "1").set_stage(stage=ModelStages.PRODUCTION)
    latest = Model(name="plain", version=ModelStages.LATEST)
    latest.set_stage(stage=ModelStages.STAGING)
    assert Model("plain", "staging").number == latest.number
    with pytest.raises(Conflict, match="is in 'production'"):
        latest.set_stage("production")
    latest.set_stage("production", force=True, reason="better")
    assert Model("plain", ModelStages.PRODUCTION).id == latest.id
    assert Client().get_model_version("plain", 1).stage == "archived"
    model = Client().get_model("plain")
    assert model.history("production")[0]["reason"] == "better"
    assert model.back("production").name == "1"
    with pytest.raises(NotFound, match="No version of model 'plain' is in 'staging'"):
        Model("plain", "staging").number  # noqa: B018
    revision = model.set_alias("best", "2")
    with pytest.raises(Conflict, match="moved meanwhile"):
        model.set_alias("best", None, revision=revision - 1)
    assert Client().get_model_version("plain", "best").name == "2"


def test_a_version_that_must_be_there(cell: Notebook) -> None:
    """A run that works on a stage nobody is in does not begin."""
    cell(
        """
@pipeline(model=Model("plain", version=ModelStages.STAGING))
def inference():
    return which()
"""
    )
    error = cell.fails("inference()")
    assert isinstance(error, NotFound)
    assert "No version of model 'plain' is in 'staging'" in str(error)
    Model("plain", 2).set_stage("staging")
    seen = next(iter(cell("inference().outputs").values()))
    assert seen["number"] == 2


def test_a_served_call_makes_no_version(cell: Notebook) -> None:
    """A call sees the newest version, however its pipeline names it, and cannot make one."""
    cell(
        """
@step
def make() -> str:
    Client().create_model_version("plain", "by-a-call")
    return "made"

@pipeline
def maker():
    return make()

@pipeline
def starter():
    return begin()

@step
def begin() -> dict:
    return next(iter(training.run().outputs.values()))

served = training.deploy("training")
other = maker.deploy("maker")
nested = starter.deploy("starter")
"""
    )
    before = versions("plain")
    seen = next(iter(cell["served"].invoke().values()))
    assert seen["version"] == before[-1]
    with pytest.raises(Exception, match="A served call never makes a model version"):
        cell["other"].invoke()
    assert next(iter(cell["nested"].invoke().values()))["version"] == before[-1]
    assert versions("plain") == before


def test_the_model_in_a_body(cell: Notebook) -> None:
    """The body of a pipeline sees its model too, and then it is run with real values."""
    cell(
        """
@step
def twice(n: int) -> int:
    return 2 * n

@pipeline(model=Model("plain", version=2))
def body():
    model = get_pipeline_context().model
    return twice(model.number)

outputs = body().outputs
"""
    )
    assert list(cell["outputs"].values()) == [4]


def test_artifacts_by_way_of_the_model(cell: Notebook) -> None:
    """ZenML's pattern: one pipeline trains, another takes what it made from the version that is in
    production. What a step of the other makes belongs to that version too."""
    cell(
        """
from typing import Annotated
from warmcell.model.utils import link_artifact_to_model

@step
def train(bias: float) -> Annotated[dict, "trained_model"]:
    return {"bias": bias}

@pipeline(model=Model("iris_classifier", tags=["classification"]))
def training_pipeline(bias: float):
    return train(bias)

@step
def predict(model: dict, data: list) -> Annotated[list, "predictions"]:
    return [one + model["bias"] for one in data]

@pipeline(model=Model(name="iris_classifier", version=ModelStages.PRODUCTION))
def inference_pipeline():
    model = get_pipeline_context().model
    return predict(model=model.get_model_artifact("trained_model"), data=[1.0, 2.0])

training_pipeline(0.25)
training_pipeline(100.0)
Model("iris_classifier", 1).set_stage(ModelStages.PRODUCTION)
run = inference_pipeline()
"""
    )
    assert list(cell["run"].outputs.values()) == [[1.25, 2.25]]
    version = Client().get_model_version("iris_classifier", "production")
    assert version.load_artifact("trained_model") == {"bias": 0.25}
    assert {one["artifact"] for one in version.artifacts()} == {"trained_model", "predictions"}
    assert version.get_artifact("nothing") is None
    with pytest.raises(NotFound, match="It has predictions, trained_model"):
        version.load_artifact("nothing")
    other = Client().get_model_version("iris_classifier", 2)
    assert other.load_artifact("trained_model") == {"bias": 100.0}
    cell(
        "link_artifact_to_model(run_artifact, Model('iris_classifier', 2), 'deployment')".replace(
            "run_artifact", repr(version.get_artifact("predictions").id)
        )
    )
    assert other.get_deployment_artifact("predictions").load() == [1.25, 2.25]


def test_client(cell: Notebook) -> None:
    """A model can be made, described and deleted without a run."""
    client = Client()
    made = client.create_model(name="agent", license="MIT", tags=["llm"], description="Answers")
    assert (made.license, made.versions) == ("MIT", 0)
    with pytest.raises(Conflict, match="There is a model 'agent' already"):
        client.create_model("agent")
    assert [one.name for one in client.list_models(tag="llm")] == ["agent"]
    assert client.update_model("agent", license="BSD").license == "BSD"
    version = client.create_model_version("agent", "0.1", description="first")
    assert version.description == "first"
    with pytest.raises(InvalidName, match="cannot be the name of a version"):
        client.create_model_version("agent", "latest")
    moved = client.update_model_version("agent", "0.1", stage="staging", add_tags=["x"])
    assert (moved.stage, moved.tags, moved.model.name) == ("staging", ["x"], "agent")
    with pytest.raises(Conflict, match="staging points to it"):
        client.delete_model_version(moved.id)
    client.delete_model("agent")
    with pytest.raises(NotFound):
        client.get_model("agent")
    with pytest.raises(NotFound, match="There is no model 'agent'"):
        Model("agent").id  # noqa: B018


def test_what_is_no_model(cell: Notebook) -> None:
    """A name that is none, and an option that is none, are said at once."""
    with pytest.raises(UsageError, match="The name of a model"):
        Model("")
    with pytest.raises(UsageError, match="`version` of model 'm'"):
        Model("m", version=1.5)  # type: ignore[arg-type]
    cell("@pipeline(model=3)\ndef odd():\n    return nothing()")
    assert isinstance(cell.fails("odd()"), UsageError)
    cell("@pipeline\ndef bare():\n    return which()")
    assert "has no model" in str(cell.fails("bare()"))


def test_logged_values() -> None:
    """What was logged is plain, and answers to `.value` as ZenML's does."""
    row = {"id": "1", "run_metadata": {"m": {"accuracy": 0.5}, "n": 3, "ok": True}}
    logged = ModelVersion(row, None).run_metadata  # type: ignore[arg-type]
    assert logged["m"].value["accuracy"] == 0.5
    assert logged == {"m": {"accuracy": 0.5}, "n": 3, "ok": True}
    assert logged["n"].value + 1 == 4


def test_a_backtest_answers_with_what_is_followed(cell: Notebook) -> None:
    """Not with the newest version: in ``on_init`` and in the steps."""
    cell(
        """
@pipeline(model="tested")
def making():
    idle()

@step
def idle():
    pass
making(), making()
Client().get_model_version("tested", 1).set_stage("production")

def warm():
    return Client().get_model_version("tested", "production").number

@step
def both() -> list:
    context = get_step_context()
    return [context.pipeline_state, context.model.number]

@pipeline(model="tested", on_init=warm)
def tested():
    return both()

served = tested.deploy("tested", follow="production")
answer = served.invoke()
report = tested.backtest("tested")
"""
    )
    assert list(cell["answer"].values()) == [[1, 1]]
    (row,) = cell["report"].rows
    assert (row.status, row.error) == ("same", None)
