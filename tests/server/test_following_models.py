"""Deployments that follow a stage of their model: promotion changes what is served, and no call is
lost over it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.support.deployed import described, until
from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = """
%load_ext warmcell
import os
from warmcell import Client, Model, get_step_context, pipeline, step

client = Client()
for label in ("good", "better", "broken", "best"):
    client.create_model_version("churn", label)

def load(refuse="broken"):
    version = Model("churn", "production").model_version.name
    if version == refuse:
        raise RuntimeError(f"{version} cannot be loaded")
    return {"serves": version, "process": os.getpid()}

@step
def answer(n: int) -> dict:
    context = get_step_context()
    return {"state": context.pipeline_state["serves"], "model": context.model.version,
            "process": context.pipeline_state["process"]}

@pipeline(model=Model("churn", version="production"), on_init=load)
def serving(n: int = 1) -> dict:
    return answer(n)
"""


@pytest.fixture(scope="module")
def here(kernel: Kernel) -> Kernel:
    """A notebook with a model of four versions, none in production."""
    kernel.run(CELLS)
    return kernel


def promote(kernel: Kernel, version: str) -> None:
    kernel.run(f"client.get_model_version('churn', {version!r}).set_stage('production', True)")


def served(server: JupyterServer, name: str) -> dict[str, Any]:
    response = server.invoke(name, {"n": 1})
    assert response.status == 200, response.body
    outputs: dict[str, Any] = response.json()["outputs"]
    return dict(next(iter(outputs.values()))) if len(outputs) == 1 else outputs


def follows(server: JupyterServer, name: str, version: str) -> None:
    until(server, name, lambda found: (found["follows"] or {}).get("version") == version)


def test_nothing_to_follow_yet(here: Kernel) -> None:
    """A stage that nobody is in, and a pipeline without a model, cannot be followed."""
    with pytest.raises(AssertionError, match="No version of model 'churn' is in 'production'"):
        here.run("serving.deploy('early', follow='production')")
    here.run("@pipeline\ndef bare(n: int = 1) -> dict:\n    return answer(n)")
    with pytest.raises(AssertionError, match="needs a model"):
        here.run("bare.deploy('bare', follow='production')")


def test_a_promotion_is_served(jupyter_server: JupyterServer, here: Kernel) -> None:
    """Calls go on while the newcomer is made warm; each is answered, by the old or the new version,
    and after the first new answer by the new one only."""
    promote(here, "good")
    here.run("serving.deploy('live', follow='production')")
    assert served(jupyter_server, "live")["state"] == "good"
    before = served(jupyter_server, "live")
    answers: list[dict[str, Any]] = []
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            answers.append(served(jupyter_server, "live"))

    caller = threading.Thread(target=call)
    caller.start()
    try:
        wait_until(lambda: len(answers) > 3)
        promote(here, "better")
        wait_until(lambda: answers[-1]["state"] == "better" or not caller.is_alive())
    finally:
        ended.set()
        caller.join()
    states = [one["state"] for one in answers]
    assert states == sorted(states, key=["good", "better"].index)
    assert states[-1] == "better"
    assert all(one["state"] == one["model"] for one in answers)
    assert {one["process"] for one in answers} == {before["process"]}  # nothing was started
    follows(jupyter_server, "live", "better")
    assert described(jupyter_server, "live")["snapshot"] == 1  # and nothing deployed
    history = jupyter_server.get("warmcell/api/v1/deployments/live/history").json()["history"]
    assert history[0]["event"] == "model.followed"
    assert history[0]["detail"]["after"]["version"] == "better"
    version = jupyter_server.get("warmcell/api/v1/models/churn/versions/better").json()
    links = jupyter_server.get(f"warmcell/api/v1/model-versions/{version['id']}/links").json()
    assert ("deployment", "live") in [(one["kind"], one["subject"]) for one in links["links"]]


def test_a_newcomer_that_fails(jupyter_server: JupyterServer, here: Kernel) -> None:
    """A version whose on_init raises is not served; back in one call, or forward, and all is as
    the stage says."""
    promote(here, "broken")
    found = until(jupyter_server, "live", lambda found: found["follows"]["reason"])
    assert "broken cannot be loaded" in found["follows"]["reason"]
    assert served(jupyter_server, "live")["state"] == "better"
    here.run("client.get_model('churn').back('production')")
    until(jupyter_server, "live", lambda found: found["follows"]["reason"] is None)
    promote(here, "best")
    follows(jupyter_server, "live", "best")
    assert served(jupyter_server, "live")["state"] == "best"


def test_a_kernel_of_its_own(jupyter_server: JupyterServer, here: Kernel) -> None:
    """What is served from kernels of its own follows there, in the same processes."""
    here.run("serving.deploy('own', follow='production', replicas=2)", timeout=120)
    until(jupyter_server, "own", lambda found: len(found["replicas"]) == 2)
    before = {
        one["pid"]
        for one in jupyter_server.get("warmcell/api/v1/deployments/own").json()["replicas"]
    }
    assert served(jupyter_server, "own")["state"] == "best"
    promote(here, "good")
    follows(jupyter_server, "own", "good")
    for _ in range(4):
        found = served(jupyter_server, "own")
        assert (found["state"], found["process"] in before) == ("good", True)
    follows(jupyter_server, "live", "good")
