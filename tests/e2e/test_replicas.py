"""Kernels of their own: isolated deployments, replicas, their health, their rest and their end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.deployed import author, described, ended_process, stored, until
from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELL = """\
%load_ext warmcell
import os, pathlib, threading, time
import numpy as np
from warmcell import get_step_context, pipeline, step
from warmcell.config import DeploymentSettings, EndpointMethod, EndpointSpec

factor = 1
ballast = []
initialised_in = []

def load():
    initialised_in.append(os.getpid())
    return {"pid": os.getpid()}

@step
def answer(gate: str = "", grow: int = 0) -> dict:
    if grow:
        ballast.append(np.ones(grow * 131_072))  # MiB
    if gate:
        pathlib.Path(f"{gate}.{os.getpid()}").touch()
        while not pathlib.Path(gate).exists():
            time.sleep(0.005)
    state = get_step_context().pipeline_state
    return {"pid": os.getpid(), "state": state["pid"], "factor": factor}

@pipeline(on_init=load)
def job(gate: str = "", grow: int = 0) -> dict:
    return answer(gate, grow)

def about() -> dict:
    return {"pid": os.getpid()}
"""


@pytest.fixture
def server(jupyter_server: JupyterServer) -> JupyterServer:
    return jupyter_server


@pytest.fixture
def notebook(server: JupyterServer, request: pytest.FixtureRequest) -> Iterator[Kernel]:
    kernel = author(server, CELL, notebook=f"{request.node.name}.ipynb")
    yield kernel
    kernel.close()


def outputs(server: JupyterServer, name: str, **parameters: Any) -> dict[str, Any]:
    reply = server.invoke(name, parameters)
    assert reply.status == 200, reply.text
    found: dict[str, Any] = reply.json()["outputs"]["output"]
    return found


def pids(server: JupyterServer, name: str) -> set[int]:
    return {one["pid"] for one in described(server, name)["replicas"]}


def crew(server: JupyterServer, name: str, count: int, *, without: set[int] | None = None) -> Any:
    """Wait until so many replicas serve, none of them in ``without``."""
    return until(
        server,
        name,
        lambda found: (
            len(found["replicas"]) == count
            and not (without or set()) & {one["pid"] for one in found["replicas"]}
        ),
    )


def test_isolated(server: JupyterServer, notebook: Kernel) -> None:
    """It is served from a kernel of its own from the start: ``on_init`` runs there and not in the
    notebook, whose cells and end do not concern it. Drift, a new snapshot and a rollback are as
    for any other."""
    notebook.run("one = job.deploy('isolated', isolated=True)")
    home = notebook.value("os.getpid()")
    assert notebook.value("initialised_in") == []
    found = described(server, "isolated")
    assert (found["served_by"], found["state"], found["stored"]) == (
        "dedicated",
        "serving",
        "stored",
    )
    replica = found["replicas"][0]
    assert replica["start_seconds"] > 0
    assert replica["pid"] not in (home, server.pid)
    assert outputs(server, "isolated") == {
        "pid": replica["pid"], "state": replica["pid"], "factor": 1
    }  # fmt: skip
    wait_until(lambda: described(server, "isolated")["replicas"][0]["rss"])

    notebook.run("factor = 2")
    assert notebook.value("one.drift().drifted") == ["factor"]
    # Of the same code something is known already that could not be stored then.
    number = notebook.value("job.deploy('plain').snapshot")
    stored(server, "plain")
    notebook.run(
        "from warmcell import wire\nfrom warmcell.link import control\n"
        f"control('PATCH', 'api/v1/snapshots/job/{number}', wire.Stored('refused: disk full'))"
    )
    notebook.run("one = job.deploy('isolated', isolated=True)")
    assert outputs(server, "isolated")["factor"] == 2
    assert notebook.value("one.rollback().snapshot") == 1
    assert outputs(server, "isolated")["factor"] == 1
    assert outputs(server, "isolated")["pid"] == replica["pid"], "the last one stayed warm"

    spinning = notebook.start("while not pathlib.Path('go').exists(): pass")
    assert outputs(server, "isolated")["factor"] == 1
    (server.root / "go").touch()
    spinning.wait()
    notebook.kill()
    assert outputs(server, "isolated")["pid"] == replica["pid"]


def test_what_cannot_be_stored_cannot_be_isolated(server: JupyterServer, notebook: Kernel) -> None:
    """The deploy says what it is and the way out; what was served before is still served."""
    notebook.run("job.deploy('whole')")
    told = notebook.run(
        "lock = threading.Thread(target=print)\n"
        "import duckdb\ncon = duckdb.connect()\n"
        "@step\ndef ask() -> int:\n    return con.sql('SELECT 1').fetchone()[0]\n"
        "@pipeline\ndef asking() -> int:\n    return ask()\n"
        "try:\n    asking.deploy('whole', replicas=2)\n"
        "except Exception as error:\n    print(type(error).__name__, error)",
    ).stdout
    assert "DeployError" in told
    assert "con" in told
    assert "on_init" in told
    assert outputs(server, "whole")["factor"] == 1
    assert described(server, "whole")["served_by"] == "notebook"


def test_replicas(server: JupyterServer, notebook: Kernel, tmp_path: Path) -> None:
    """Calls go where least is in flight; ``concurrency`` is of each. When one is killed the other
    answers at once, and it is replaced. After a restart of the server all come back. Fewer are
    wanted: one is let go."""
    notebook.run("job.deploy('many', replicas=2, concurrency=1)")
    first = crew(server, "many", 2)
    both = {one["pid"] for one in first["replicas"]}
    assert first["replicas_wanted"] == 2
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(outputs, server, "many", gate=str(gate)) for _ in range(2)]
        for pid in both:
            wait_until(Path(f"{gate}.{pid}").exists)
        gate.touch()
        assert {call.result()["pid"] for call in calls} == both
    killed = min(both)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: killed not in pids(server, "many"))
    assert outputs(server, "many")["pid"] == max(both)
    again = crew(server, "many", 2, without={killed})
    server.kill()
    server.start()
    new = crew(server, "many", 2, without={one["pid"] for one in again["replicas"]})
    assert {outputs(server, "many")["pid"] for _ in range(4)} <= {r["pid"] for r in new["replicas"]}


def test_a_worn_replica_is_replaced(server: JupyterServer, notebook: Kernel) -> None:
    """After so many runs, and above a limit of memory; no call fails meanwhile, and the old kernel
    ends."""
    notebook.run("job.deploy('worn', isolated=True, recycle_after=3, memory_limit='600 MB')")
    old = outputs(server, "worn")["pid"]
    for _ in range(3):
        outputs(server, "worn")
    new = crew(server, "worn", 1, without={old})["replicas"][0]["pid"]
    wait_until(lambda: ended_process(old))
    assert outputs(server, "worn")["pid"] == new
    assert outputs(server, "worn", grow=700)["pid"] == new
    crew(server, "worn", 1, without={old, new})
    assert outputs(server, "worn")["factor"] == 1


def test_a_kernel_that_hangs_is_replaced(server: JupyterServer, notebook: Kernel) -> None:
    """One that is stopped is not heard of: a dedicated one is ended; from a notebook's the
    deployment moves on, and does not come back by itself when the notebook does, least of all when
    it was undeployed meanwhile."""
    notebook.run("job.deploy('hung', isolated=True, hang_timeout=2.0)")
    notebook.run("job.deploy('moved', hang_timeout=2.0)\njob.deploy('gone', hang_timeout=2.0)")
    stored(server, "moved", "gone")
    old = outputs(server, "hung")["pid"]
    home = outputs(server, "moved")["pid"]
    assert home == notebook.pid
    os.kill(old, signal.SIGSTOP)
    os.kill(home, signal.SIGSTOP)
    try:
        crew(server, "hung", 1, without={old})
        wait_until(lambda: ended_process(old))
        moved = until(server, "moved", lambda found: found["served_by"] == "dedicated")
        assert outputs(server, "moved")["pid"] == moved["worker_pid"] != home
        until(server, "gone", lambda found: found["served_by"] == "dedicated")
        assert server.delete("warmcell/api/v1/deployments/gone").status == 200
    finally:
        os.kill(home, signal.SIGCONT)
    assert notebook.value("1 + 1") == 2
    assert outputs(server, "moved")["pid"] == moved["worker_pid"]
    notebook.run("job.deploy('moved', hang_timeout=2.0)")
    assert outputs(server, "moved")["pid"] == home
    assert server.invoke("gone").status == 404, "what was undeployed came back with its kernel"


def test_rest_and_end(server: JupyterServer, notebook: Kernel) -> None:
    """Without calls a kernel is let go after ``keep_alive``: the deployment rests, also over a
    restart of its server, until the next call, or a request to an endpoint of its own. With
    ``expires_in`` it ends, and the history says so."""
    notebook.run(
        "endpoint = EndpointSpec('/about', EndpointMethod.GET, about)\n"
        "job.deploy('resting', settings=DeploymentSettings(\n"
        "    isolated=True, keep_alive=1.0, custom_endpoints=[endpoint]))"
    )
    old = outputs(server, "resting")["pid"]
    found = until(server, "resting", lambda found: found["state"] == "resting")
    assert "next call" in found["reason"]
    wait_until(lambda: ended_process(old))
    new = outputs(server, "resting")["pid"]
    assert new != old
    until(server, "resting", lambda found: found["state"] == "resting")
    server.stop()
    server.start()
    assert described(server, "resting")["state"] == "resting"
    about = server.get("warmcell/resting/about")
    assert about.status == 200, about.text
    assert described(server, "resting")["worker_pid"] == about.json()["pid"]

    other = author(server, CELL, notebook="expiring.ipynb")
    other.run("job.deploy('brief', expires_in=1.5)")
    assert described(server, "brief")["expires_at"] is not None
    wait_until(lambda: server.get("warmcell/brief/health").status == 404)
    history = server.get("warmcell/api/v1/deployments/brief/history").json()["history"]
    assert (history[0]["event"], history[0]["user"]) == ("deployment.removed", "expires_in")


def test_a_rollback_to_what_is_not_warm_any_more(server: JupyterServer, notebook: Kernel) -> None:
    """It is restored in a kernel of its own first; what was served is served until then. One that
    never was is not found."""
    for factor in range(1, 7):
        notebook.run(f"factor = {factor}\nlast = job.deploy('long')")
        stored(server, "long")
    warm = described(server, "long")["warm"]
    numbers = notebook.value("[s['number'] for s in last.snapshots()]")
    oldest = min(numbers)
    assert oldest not in warm
    path = "warmcell/api/v1/deployments/long/rollback"
    for number in (999, 10**12, 10**30):
        assert server.post(path, {"to": number}).status == 404
    reply = server.post(path, {"to": oldest})
    assert reply.status == 200, reply.text
    assert reply.json()["snapshot"] == oldest
    assert outputs(server, "long") == {
        "pid": described(server, "long")["worker_pid"],
        "state": described(server, "long")["worker_pid"],
        "factor": 1,
    }
    assert described(server, "long")["served_by"] == "dedicated"


def test_the_notebook_on_kernels(server: JupyterServer, repository: Path) -> None:
    """What notebooks/kernels.ipynb promises, cell by cell."""
    kernel = server.kernel("kernels.ipynb")
    cells = nbformat.read(repository / "notebooks" / "kernels.ipynb", as_version=4).cells
    said = {
        cell["id"]: kernel.run(cell.source).stdout.split()
        for cell in cells
        if cell.cell_type == "code"
    }
    assert said["deploy"] == ["True", "notebook"]
    assert said["isolated"] == ["False", "dedicated"]
    assert said["kill"] == ["True", "serving"]
    assert said["replicas"].count("dedicated") == 2
    assert said["rest"][-2:] == ["again?", "serving"]
    kernel.close()
