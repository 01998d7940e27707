"""Lineage from a notebook to what serves it: by the client, by HTTP, on the command line, drawn."""

from __future__ import annotations

import json

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell.artifacts.version import ArtifactVersion
from warmcell.cli import main
from warmcell.client import Client
from warmcell.errors import NotFound, UsageError

WORK = """
from typing import Annotated
from warmcell import pipeline, step, load_artifact, save_artifact, Client, ArtifactConfig

@step
def load(n: int) -> list:
    return list(range(n))

@step
def train(rows: list) -> Annotated[dict, ArtifactConfig("lin-model", artifact_type="model")]:
    return {"mean": sum(rows) / len(rows)}

@pipeline
def training(n: int) -> dict:
    return train(load(n))

@step
def score(model: dict, x: float) -> Annotated[float, "lin-score"]:
    return model["mean"] + x

@pipeline
def scoring(x: float) -> float:
    return score(Client().get_artifact_version("lin-model"), x)

trained = training.run(n=4)
scored = scoring.run(x=1.0)
print(trained.id, scored.id)
"""


@pytest.fixture(scope="module")
def runs(jupyter_server: JupyterServer, kernel: Kernel) -> tuple[str, str]:
    """The ids of a run that trains and of one that uses what that gave."""
    shown = kernel.run(WORK)
    first, second = shown.stdout.split()[-2:]
    return first, second


@pytest.fixture(scope="module")
def client(jupyter_server: JupyterServer, runs: tuple[str, str]) -> Client:
    return Client(jupyter_server.url, jupyter_server.token)


@pytest.fixture(scope="module")
def model(client: Client) -> ArtifactVersion:
    return client.get_artifact_version("lin-model")


@pytest.fixture
def here(jupyter_server: JupyterServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line finds the server of the tests."""
    monkeypatch.setenv("WARMCELL_URL", jupyter_server.url)
    monkeypatch.setenv("WARMCELL_TOKEN", jupyter_server.token)


class TestClient:
    def test_of_a_version(self, model: ArtifactVersion, runs: tuple[str, str]) -> None:
        """A version leads up to the steps before it and down to what a later run made of it."""
        found = model.lineage()
        assert [root.key for root in found.roots] == [model.id]
        assert {node.label for node in found.steps} == {"load", "train", "score"}
        assert {node.artifact for node in found.artifacts} == {
            "training::load::output", "lin-model", "lin-score",
        }  # fmt: skip
        assert found.runs.keys() == set(runs)
        (root,) = found.roots
        assert [node.label for node in found.sources(root)] == ["train"]
        assert [node.label for node in found.targets(root)] == ["score"]
        assert not found.truncated
        assert len(found.to_frame()) == len(found.edges) == 5
        assert {node.label for node in model.lineage(direction="up", depth=1).nodes} == {
            "train", root.label,
        }  # fmt: skip

    def test_of_a_run(self, client: Client, runs: tuple[str, str], model: ArtifactVersion) -> None:
        """A run has the lineage of its steps, and one step of it its own."""
        found = client.get_run(runs[1]).lineage(direction="up")
        assert {node.label for node in found.steps} == {"load", "train", "score"}
        assert [node.label for node in found.roots] == ["score"]
        one = client.get_lineage(run=runs[0], step="load", direction="down", depth=1)
        assert len(one) == 2
        assert client.get_lineage("lin-model", model.number).roots == model.lineage().roots

    def test_origin(self, model: ArtifactVersion, runs: tuple[str, str]) -> None:
        """A version tells the run that made it, its parameters, inputs and code, as they were."""
        found = model.origin()
        assert found.run is not None
        assert found.run["run_id"] == runs[0]
        assert found.parameters == {"n": 4}
        assert [one["input"] for one in found.inputs] == ["rows"]
        assert found.snapshot is None
        assert found.source is not None
        assert 'return {"mean": sum(rows) / len(rows)}' in found.source
        assert [part["name"] for part in found.code] == ["load", "train", "training"]

    def test_refusals(self, client: Client) -> None:
        """What there is not, and what is not clear, is said."""
        with pytest.raises(NotFound):
            client.get_lineage(run="nothing")
        with pytest.raises(NotFound):
            client.get_lineage("nothing")
        with pytest.raises(UsageError, match="Whose lineage"):
            client.get_lineage()
        with pytest.raises(UsageError, match="artifact or run"):
            client.get_lineage("a", run="b")
        with pytest.raises(UsageError, match="Which snapshot"):
            client.get_lineage(pipeline="training")

    def test_openlineage(self, client: Client, runs: tuple[str, str]) -> None:
        """A run as events, with its source and its data."""
        events = client.get_run(runs[1]).openlineage(namespace="prod")
        assert [(event["eventType"], event["job"]["name"]) for event in events] == [
            ("START", "scoring"), ("START", "scoring.score"), ("COMPLETE", "scoring.score"),
            ("COMPLETE", "scoring"),
        ]  # fmt: skip
        assert [given["name"] for given in events[-1]["inputs"]] == ["lin-model"]
        assert [given["name"] for given in events[-1]["outputs"]] == ["lin-score"]
        code = events[1]["job"]["facets"]["sourceCode"]["sourceCode"]
        assert 'return model["mean"] + x' in code


class TestDeployments:
    def test_what_serves_it(self, kernel: Kernel, client: Client, model: ArtifactVersion) -> None:
        """A version that a deployment holds, loaded in the notebook or in ``on_init``, leads to
        that deployment."""
        kernel.run(
            """
import numpy
saved = save_artifact(numpy.arange(5000.0), "lin-weights")
weights = load_artifact("lin-weights")

def begin():
    return load_artifact("lin-model")

@step
def weigh(n: int) -> float:
    from warmcell import get_pipeline_context
    return float(weights[n]) + get_pipeline_context().pipeline_state["mean"]

@pipeline(on_init=begin)
def weighing(n: int) -> float:
    return weigh(n)

weighing.deploy("lin-weighing")
"""
        )
        assert client.invoke("lin-weighing", n=2) == {"output": 3.5}
        for name in ("lin-weights", "lin-model"):
            found = client.get_lineage(name, direction="down")
            assert "lin-weighing" in {node.label for node in found.deployments}, name
            assert "weighing@1" in {node.label for node in found.snapshots}
        up = client.get_lineage(deployment="lin-weighing", direction="up")
        assert {"load", "train"} <= {node.label for node in up.steps}


class TestShown:
    def test_inline(self, kernel: Kernel, runs: tuple[str, str]) -> None:
        """In a notebook it is drawn, every name as text, and has a text form."""
        shown = kernel.run('Client().get_artifact_version("lin-model").lineage()')
        bundle = shown.result or {}
        assert "<svg" in bundle["text/html"]
        assert "wc-root" in bundle["text/html"]
        assert "score [step] ← " in bundle["text/plain"]

    @pytest.mark.usefixtures("here")
    def test_command_line(
        self, capsys: pytest.CaptureFixture[str], model: ArtifactVersion, runs: tuple[str, str]
    ) -> None:
        """The command line tells edges, the origin and the events."""
        assert main(["artifacts", "lineage", "lin-model", "--down"]) == 0
        told = capsys.readouterr().out
        assert "score" in told
        assert "train" not in told
        assert main(["artifacts", "lineage", f"lin-model@{model.number}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["roots"] == [f"artifact_version:{model.id}"]
        assert main(["artifacts", "origin", "lin-model"]) == 0
        told = capsys.readouterr().out
        assert runs[0] in told
        assert "def train(rows: list)" in told
        assert main(["runs", "openlineage", runs[0]]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 6
        assert json.loads(lines[0])["eventType"] == "START"

    def test_magic(self, kernel: Kernel) -> None:
        """``%runs --views`` lists the views, and with a name what its columns mean."""
        listed = kernel.run("%runs --views").text
        assert "lineage" in listed
        assert "One row for each run" in listed
        assert "Where each input came from" in kernel.run("%runs --views steps").text
        failed = kernel.run("%runs --views nothing", check=False)
        assert "There is no view 'nothing'" in failed.stderr + "".join(failed.traceback)

    def test_views(self, client: Client) -> None:
        """SQL has the edges, and says what its views mean."""
        found = client.sql("SELECT relation, count(*) FROM lineage GROUP BY ALL ORDER BY 1").rows
        assert dict(found)["input"] >= 2
        (about,) = client.sql(
            "SELECT comment FROM views WHERE view_name = 'lineage' AND column_name IS NULL"
        ).rows
        assert "edges" in about[0]
