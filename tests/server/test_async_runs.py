"""Asynchronous invocation: a run that belongs to the server, followed and cancelled by its id."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.gates import Gate, ended, status, submit, wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("invoke", {}, {"Prefer": "respond-async"}),
        ("invoke", {"async": True}, {}),
        ("submit", {}, {}),
    ],
    ids=["prefer", "envelope", "submit"],
)
def test_accepted(
    gated: JupyterServer, gate: Gate, path: str, body: dict[str, object], headers: dict[str, str]
) -> None:
    """The answer is 202 with the run's id and place; its row is there before; outputs follow."""
    sent = {"parameters": gate.parameters(value=7), **body}
    answer = gated.post(f"warmcell/held/{path}", sent, headers=headers)
    assert answer.status == 202, answer.text
    run_id = answer.json()["run_id"]
    assert answer.json()["status"] in ("queued", "running")
    assert answer.headers["location"] == f"/warmcell/held/runs/{run_id}"
    assert answer.headers["link"] == f'</warmcell/held/runs/{run_id}>; rel="monitor"'
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["vary"] == "Prefer"
    applied = answer.headers.get("preference-applied")
    assert applied == ("respond-async" if headers else None)
    assert urlsplit(answer.json()["url"]).path == answer.headers["location"]

    gate.entered()
    pending = status(gated, "held", run_id)
    assert pending["status"] == "running"
    assert pending["finished_at"] is None
    assert pending["outputs"] is None
    stored = gated.post(
        "warmcell/api/v1/sql", {"query": f"SELECT status FROM runs WHERE run_id = '{run_id}'"}
    ).json()
    assert stored["rows"] == [["running"]]

    gate.open()
    done = ended(gated, "held", run_id)
    assert done["status"] == "succeeded"
    assert done["outputs"] == {"output": 7}
    for name in ("created_at", "started_at", "finished_at"):
        assert RFC3339.fullmatch(done[name])
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]
    assert [step["step"] for step in done["steps"]] == ["stay"]
    listed = gated.get("warmcell/held/runs?status=succeeded&limit=1").json()["runs"]
    assert listed[0]["run_id"] == run_id


def test_wait(gated: JupyterServer, gate: Gate) -> None:
    """`wait=N` answers 200 when the run ends in time, and 202 when not."""
    prefer = {"Prefer": "respond-async, wait=30"}
    gate.open()
    soon = gated.post("warmcell/held/invoke", {"parameters": gate.parameters()}, headers=prefer)
    assert soon.status == 200, soon.text
    assert soon.headers["preference-applied"] == "respond-async, wait=30"
    assert soon.json()["outputs"] == {"output": 0}
    gate.path.unlink()
    prefer = {"Prefer": "respond-async; foo, wait=0"}
    later = gated.post("warmcell/held/invoke", {"parameters": gate.parameters()}, headers=prefer)
    assert later.status == 202
    gate.open()
    assert ended(gated, "held", later.json()["run_id"])["status"] == "succeeded"


def test_a_run_that_cannot_start_is_there(gated: JupyterServer) -> None:
    """Parameters that do not fit make a failed run, with the pointers to what was wrong."""
    run_id = submit(gated, "held", {"gate": "x", "value": "much"})
    run = ended(gated, "held", run_id)
    assert run["status"] == "failed"
    assert run["error"]["type"] == "ParameterError"
    assert run["error"]["errors"][0]["pointer"] == "/parameters/value"


def test_the_history_keeps_what_is_fetched_later(gated: JupyterServer, gate: Gate) -> None:
    """Where a deployment records nothing, an asynchronous run is kept, without its parameters."""
    gate.open()
    run_id = submit(gated, "unrecorded", gate.parameters(value=3))
    run = ended(gated, "unrecorded", run_id)
    assert run["outputs"] == {"output": 3}
    assert run["parameters"] is None
    assert run["steps"] == []


def test_queue_position_and_cancel_of_a_queued_run(gated: JupyterServer, gate: Gate) -> None:
    """A queued run knows how many are ahead; cancelled it ends at once and never runs."""
    first = submit(gated, "single", gate.parameters())
    gate.entered()
    second = submit(gated, "single", gate.parameters())
    third = submit(gated, "single", gate.parameters())
    queued = status(gated, "single", third)
    assert queued["status"] == "queued"
    assert queued["queued_ahead"] == 1
    assert queued["eta_s"] >= 0
    assert queued["started_at"] is None

    answer = gated.delete(f"warmcell/single/runs/{second}")
    assert answer.status == 202, answer.text
    assert answer.json() == {"run_id": second, "status": "cancelled"}
    assert status(gated, "single", second)["status"] == "cancelled"
    assert gated.delete(f"warmcell/single/runs/{second}").status == 409
    assert status(gated, "single", third)["queued_ahead"] == 0
    gate.open()
    assert ended(gated, "single", first)["status"] == "succeeded"
    assert ended(gated, "single", third)["status"] == "succeeded"
    assert status(gated, "single", second)["steps"] == []


@pytest.mark.parametrize("name", ["held", "polite", "awaiting"])
def test_cancel_of_a_running_run(gated: JupyterServer, gate: Gate, name: str) -> None:
    """A thread is interrupted, code that looks at the context ends, an awaitable is cancelled."""
    run_id = submit(gated, name, gate.parameters())
    gate.entered()
    assert gated.delete(f"warmcell/{name}/runs/{run_id}").status == 202
    run = ended(gated, name, run_id)
    assert run["status"] == "cancelled"
    assert run["steps"][0]["status"] in ("cancelled", "succeeded")
    if name != "held":
        gate.left()
    again = gated.delete(f"warmcell/{name}/runs/{run_id}")
    assert again.status == 409
    assert "already ended" in again.json()["detail"]


def test_a_list_by_a_status_that_there_is_not(gated: JupyterServer) -> None:
    """Told, and not answered with an empty list."""
    refused = gated.get("warmcell/held/runs?status=failed,suceeded")
    assert refused.status == 422
    assert "'suceeded'" in refused.json()["detail"]
    assert "succeeded" in refused.json()["hint"]
    assert gated.get("warmcell/held/runs?status=failed,%20lost").status == 200


def test_unknown_and_foreign_runs(gated: JupyterServer, gate: Gate) -> None:
    """A run is found under its own deployment only."""
    gate.open()
    run_id = submit(gated, "held", gate.parameters())
    ended(gated, "held", run_id)
    for method in ("GET", "DELETE"):
        assert gated.request(method, f"warmcell/single/runs/{run_id}").status == 404
        assert gated.request(method, "warmcell/held/runs/nothing").status == 404


def test_timeouts_of_queue_and_run(gated: JupyterServer, gate: Gate) -> None:
    """Each part has a timeout of its own, and each says 504 and which it was."""
    blocking = submit(gated, "single", gate.parameters())
    gate.entered()
    body = {"parameters": gate.parameters(), "queue_timeout": 0.1}
    queued = gated.post("warmcell/single/invoke", body)
    assert queued.status == 504
    assert "waited in the queue" in queued.json()["detail"]
    run_id = submit(gated, "single", gate.parameters(), queue_timeout=0.1)
    assert ended(gated, "single", run_id)["status"] == "timed_out"
    gate.open()
    ended(gated, "single", blocking)
    gate.path.unlink()

    body = {"parameters": gate.parameters(), "run_timeout": 0.1}
    running = gated.post("warmcell/single/invoke", body)
    assert running.status == 504
    assert "did not end within 0.1 s" in running.json()["detail"]
    run_id = submit(gated, "single", gate.parameters(), timeout=0.1)
    assert ended(gated, "single", run_id)["status"] == "timed_out"
    for name in ("timeout", "queue_timeout", "run_timeout"):
        wrong = gated.post("warmcell/held/invoke", {"parameters": {}, name: 0})
        assert wrong.status == 422
        assert wrong.json()["errors"][0]["pointer"] == f"/{name}"


def test_runs_outlive_a_kernel_that_only_waits_for_them(
    gated: JupyterServer, gate: Gate, tmp_path: Path, lonely: Callable[[str], Kernel]
) -> None:
    """When the worker dies, the running run is lost with the cause, and what waits in the queue is
    served by the kernel in which the deployment is restored; so is what comes meanwhile."""
    kernel = lonely("mortal")
    path = "warmcell/api/v1/deployments/mortal"
    wait_until(lambda: gated.get(path).json()["stored"] == "stored")
    running = submit(gated, "mortal", gate.parameters(value=1))
    gate.entered()
    waiting = submit(gated, "mortal", gate.parameters(value=2))
    kernel.kill()
    lost = ended(gated, "mortal", running)
    assert lost["status"] == "lost"
    assert "died" in lost["error"]["message"]
    assert status(gated, "mortal", waiting)["status"] == "queued"
    later = submit(gated, "mortal", gate.parameters(value=3))
    gate.open()
    assert ended(gated, "mortal", waiting)["outputs"] == {"output": 2}
    assert ended(gated, "mortal", later)["outputs"] == {"output": 3}
    gated.delete(path)


def test_an_undeploy_lets_what_waits_run_out(
    gated: JupyterServer, gate: Gate, lonely: Callable[[str], Kernel]
) -> None:
    """Drain: new calls answer 404, admitted ones are still executed."""
    kernel = lonely("leaving")
    runs = [submit(gated, "leaving", gate.parameters(value=number)) for number in range(3)]
    gate.entered()
    kernel.run("held_deployment.undeploy()")
    assert gated.invoke("leaving", gate.parameters()).status == 404
    gate.open()

    def outputs() -> list[object]:
        found = [gated.get(f"warmcell/api/v1/runs/{run_id}").json() for run_id in runs]
        return [run["outputs"] for run in found]

    wait_until(lambda: outputs() == [{"output": number} for number in range(3)])
