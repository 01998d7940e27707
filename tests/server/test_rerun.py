"""A run of the history is run once more, and two runs are compared."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = (
    "%load_ext warmcell\nimport pydantic\nfrom warmcell import Client, pipeline, step",
    "factor = 2",
    "@step\ndef scale(x: float, note: str) -> float:\n"
    "    if x < 0:\n        raise ValueError(f'{x} is below 0')\n"
    "    return x * factor\n"
    "@pipeline\n"
    "def scaling(x: float = 3, note: str = 'none', table: list | None = None) -> float:\n"
    "    return scale(x, note)\n"
    "@step\ndef shown(key: pydantic.SecretStr, x: int) -> dict:\n"
    "    return {'length': len(key.get_secret_value()), 'x': x}\n"
    "@pipeline\ndef hidden(key: pydantic.SecretStr, x: int = 1) -> dict:\n    return shown(key, x)",
    "scaling.deploy('scaling')\nhidden.deploy('hidden')",
)


@pytest.fixture(scope="module")
def author(jupyter_server: JupyterServer) -> Kernel:
    """The kernel that made the deployments."""
    made = jupyter_server.kernel("author.ipynb")
    for cell in CELLS:
        made.run(cell)
    return made


@pytest.fixture(scope="module", autouse=True)
def other(jupyter_server: JupyterServer, author: Kernel) -> int:
    """Serve another snapshot of `scaling` than the first; its number."""
    author.run("first = scaling.deploy('scaling').snapshot\nfactor = 5\nscaling.deploy('scaling')")
    return snapshot(jupyter_server)


def snapshot(server: JupyterServer, name: str = "scaling") -> int:
    return int(server.get(f"warmcell/api/v1/deployments/{name}").json()["snapshot"])


def called(server: JupyterServer, name: str = "scaling", **parameters: Any) -> str:
    """Call, and return the id of the run, whether it succeeded or not."""
    answer = server.invoke(name, parameters).json()
    return str(answer["metadata"]["run_id"] if "metadata" in answer else answer["run_id"])


def rerun(server: JupyterServer, run: str, **wish: Any) -> Response:
    return server.post(f"warmcell/api/v1/runs/{run}/rerun", wish)


def again(server: JupyterServer, run: str, **wish: Any) -> dict[str, Any]:
    """The run that a rerun made."""
    answer = rerun(server, run, **wish)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_run_is_run_once_more(jupyter_server: JupyterServer, other: int) -> None:
    """With its own input, to the type of a default, or with single or all parameters edited; it is
    a run of the history that says what it repeats."""
    first = called(jupyter_server, x=4, note="a")
    made = again(jupyter_server, first)
    assert made["outputs"] == {"output": 20.0}
    assert (made["trigger"], made["origin"], made["snapshot"]) == ("rerun", first, other)
    assert made["parameters"] == {"x": 4.0, "note": "a", "table": None}
    kept = jupyter_server.get(f"warmcell/api/v1/runs/{made['run_id']}").json()
    assert (kept["origin"], kept["user"] is not None) == (first, True)
    edited = again(jupyter_server, first, parameters={"x": 7})
    assert (edited["parameters"]["note"], edited["outputs"]) == ("a", {"output": 35.0})
    replaced = again(jupyter_server, first, parameters={"x": 7}, replace=True)
    assert replaced["parameters"]["note"] == "none"
    default = called(jupyter_server)
    assert again(jupyter_server, default)["parameters"]["x"] == 3
    assert b'"x":3,' in rerun(jupyter_server, default).body
    failed = again(jupyter_server, called(jupyter_server, x=-1))
    assert (failed["status"], failed["error"]["step"]) == ("failed", "scale")
    listed = jupyter_server.get("warmcell/api/v1/runs?trigger=rerun&limit=100").json()["runs"]
    assert {made["run_id"], edited["run_id"], failed["run_id"]} <= {r["run_id"] for r in listed}


def test_on_which_snapshot(jupyter_server: JupyterServer, author: Kernel, other: int) -> None:
    """Its own, the newest, or a numbered one: also while another one is served."""
    mine = called(jupyter_server, x=1)
    author.run("factor = 100\nserved = scaling.deploy('scaling')")
    newest = snapshot(jupyter_server)
    author.run(f"served.rollback(to={other})")
    old = author.value("first")
    assert again(jupyter_server, mine)["outputs"] == {"output": 5.0}
    made = again(jupyter_server, mine, snapshot="newest")
    assert (made["snapshot"], made["outputs"]) == (newest, {"output": 100.0})
    made = again(jupyter_server, mine, snapshot=old)
    assert (made["snapshot"], made["outputs"]) == (old, {"output": 2.0})
    assert snapshot(jupyter_server) == other
    for wrong, status in ((4711, 404), (10**12, 404), (10**30, 404), ("best", 422), (0, 422)):
        assert rerun(jupyter_server, mine, snapshot=wrong).status == status


def test_a_snapshot_that_is_not_warm(jupyter_server: JupyterServer, author: Kernel) -> None:
    """It is restored for the runs that want it, in one kernel that ends with the last of them. Who
    deploys another pipeline under the name meanwhile is not run instead."""
    author.run("factor = 11\ncold = scaling.deploy('cold')")
    mine = called(jupyter_server, "cold", x=1)
    old = snapshot(jupyter_server, "cold")
    path = f"warmcell/api/v1/snapshots/scaling/{old}"
    wait_until(lambda: jupyter_server.get(path).json()["stored"] == "stored")
    author.run("for factor in range(12, 16): scaling.deploy('cold')")
    assert old not in jupyter_server.get("warmcell/api/v1/deployments/cold").json()["warm"]
    before = jupyter_server.kernels()
    answers = [rerun(jupyter_server, mine, wait=False) for _ in range(3)]
    assert [answer.status for answer in answers] == [202, 202, 202]
    for answer in answers:
        begun = answer.json()
        assert begun["url"].endswith(f"/cold/runs/{begun['run_id']}")
        run = author.value(f"Client().run_handle('{begun['run_id']}').wait(30).to_json()")
        assert (run["snapshot"], run["outputs"]) == (old, {"output": 11.0})
    wait_until(lambda: jupyter_server.kernels() == before)
    described = jupyter_server.get("warmcell/api/v1/deployments/cold").json()
    assert old not in described["warm"]
    with ThreadPoolExecutor(1) as callers:
        late = callers.submit(rerun, jupyter_server, mine)
        wait_until(lambda: jupyter_server.kernels() != before)
        author.run("hidden.deploy('cold')")
        answer = late.result()
    assert answer.status == 409, answer.text
    wait_until(lambda: jupyter_server.kernels() == before)


def test_what_cannot_be_run_again_says_why(jupyter_server: JupyterServer, author: Kernel) -> None:
    """Secrets, input that was too large or not recorded, runs of cells and of what is not deployed
    any more, and edits that do not fit."""
    secret = called(jupyter_server, "hidden", key="hunter2", x=2)
    refused = rerun(jupyter_server, secret)
    assert refused.status == 422
    assert refused.json()["errors"][0]["pointer"] == "/parameters/key"
    assert "secret" in refused.json()["detail"]
    assert again(jupyter_server, secret, parameters={"key": "abc"})["outputs"] == {
        "output": {"length": 3, "x": 2}
    }
    large = called(jupyter_server, x=1, table=["x" * 1000] * 400)
    refused = rerun(jupyter_server, large)
    assert (refused.status, refused.json()["errors"][0]["pointer"]) == (422, "/parameters/table")
    assert again(jupyter_server, large, parameters={"table": None})["status"] == "succeeded"
    misfit = rerun(jupyter_server, secret, parameters={"key": "abc", "x": "many"})
    assert (misfit.status, misfit.json()["errors"][0]["pointer"]) == (422, "/parameters/x")
    unknown = rerun(jupyter_server, secret, parameters={"key": "abc", "y": 1})
    assert unknown.status == 422
    assert rerun(jupyter_server, secret, replace=True).status == 422
    assert rerun(jupyter_server, secret, edits={}).status == 422
    author.run("run = scaling(1.0)")
    in_cell = rerun(jupyter_server, author.value("run.id"))
    assert (in_cell.status, "no call of a deployment" in in_cell.json()["detail"]) == (409, True)
    author.run("gone = scaling.deploy('gone')")
    gone = called(jupyter_server, "gone", x=1)
    author.run("gone.undeploy()")
    answer = rerun(jupyter_server, gone)
    assert (answer.status, "not deployed any more" in answer.json()["detail"]) == (404, True)


def test_a_repeated_request_makes_one_run(jupyter_server: JupyterServer) -> None:
    """By its Idempotency-Key; with another body it is refused."""
    mine = called(jupyter_server, x=1)
    path, headers = f"warmcell/api/v1/runs/{mine}/rerun", {"Idempotency-Key": "once"}
    made = [jupyter_server.post(path, {}, headers=headers).json()["run_id"] for _ in range(2)]
    assert made[0] == made[1]
    other = jupyter_server.post(path, {"parameters": {"x": 2}}, headers=headers)
    assert other.status == 422


def test_two_runs_beside_each_other(jupyter_server: JupyterServer, author: Kernel) -> None:
    """Inputs, outputs with how far apart, steps, statuses; by HTTP and from Python."""
    one, two = called(jupyter_server, x=4), called(jupyter_server, x=5)
    failed = called(jupyter_server, x=-1)
    path = f"warmcell/api/v1/runs/{one}/compare"
    found = jupyter_server.get(f"{path}/{two}").json()
    assert found["same"] is False
    factor = found["outputs"][0]["before"] / 4
    assert found["inputs"] == [
        {"path": "x", "before": 4.0, "after": 5.0, "absolute": 1.0, "relative": 0.25}
    ]
    assert found["outputs"] == [
        {"path": "output", "before": 4 * factor, "after": 5 * factor, "absolute": factor,
         "relative": 0.25}
    ]  # fmt: skip
    (step,) = found["steps"]
    assert (step["step"], step["before"]["status"], step["ratio"] > 0) == (
        "scale",
        "succeeded",
        True,
    )
    assert jupyter_server.get(f"{path}/{two}?tolerance=1000").json()["outputs"] == []
    wrong = jupyter_server.get(f"{path}/{failed}").json()
    assert (wrong["after"]["status"], wrong["after"]["error"]["step"]) == ("failed", "scale")
    assert jupyter_server.get(f"{path}/{one}").json()["same"] is True
    assert jupyter_server.get(f"{path}/none").status == 404
    author.run(f"old = Client().get_run('{one}')\nnew = old.rerun({{'x': 8}})")
    shown = author.run("old.compare(new)").text
    assert "outputs: 1 places differ" in shown
    assert author.value("[new.trigger, new.origin == old.id]") == ["rerun", True]
    assert author.value("new.rerun().output == new.output")
    assert author.value("[new.compare(new.rerun().id).same, new.compare(old).same]") == [
        True,
        False,
    ]
    listed = author.value("Client().list_runs(limit=2)[1].compare(old).to_json()")
    assert listed["after"]["run_id"] == one
    refused = author.run("new.rerun({'x': 'many'})", check=False)
    assert refused.ename == "ParameterError"


def test_from_a_shell(jupyter_server: JupyterServer) -> None:
    """``warmcell runs rerun`` and ``compare``."""

    def warmcell(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "warmcell", *words, "--url", jupyter_server.url,
             "--token", jupyter_server.token],
            capture_output=True, text=True, timeout=60, env=jupyter_server.environment,
        )  # fmt: skip

    one = called(jupyter_server, x=4, note="n")
    done = warmcell("runs", "rerun", one, "--x=6", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["origin"], made["parameters"]["x"], made["parameters"]["note"]) == (one, 6.0, "n")
    differs = warmcell("runs", "compare", one, made["run_id"])
    assert differs.returncode == 1
    assert "inputs: 1 places differ" in differs.stdout
    same = warmcell("runs", "rerun", one, "--snapshot", "own")
    assert (same.returncode, float(same.stdout) > 0) == (0, True)
