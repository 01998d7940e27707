"""A deployment outlives its kernel and its server, and answers as before."""

from __future__ import annotations

import http.client
import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import gates
from tests.support.deployed import described, served_by, stored
from tests.support.gates import Gate, ended, submit, wait_until
from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = (
    "%load_ext warmcell\n"
    "import dataclasses, os, numpy as np, pydantic\n"
    "from warmcell.config import DeploymentSettings, EndpointMethod, EndpointSpec, MiddlewareSpec\n"
    "from warmcell import get_step_context, pipeline, step",
    "weights = np.linspace(-1, 1, 100_000)\n"
    "offset = 2.5\n"
    "class Customer(pydantic.BaseModel):\n    name: str\n    age: int = 30\n"
    "@dataclasses.dataclass\nclass Score:\n    value: float\n    text: str\n"
    "def helper(x):\n    return float(weights[x % 1000]) + offset",
    "%%step\ndef score(customer: Customer) -> Score:\n"
    "    state = get_step_context().pipeline_state\n"
    "    return Score(helper(customer.age) * state['factor'], customer.name.upper())",
    "def load():\n    return {'factor': 3, 'pid': os.getpid()}",
    "%%pipeline --on-init load\n"
    "def churn(customer: Customer) -> Score:\n    return score(customer)",
    "def marked(request, call_next):\n"
    "    response = call_next(request)\n"
    "    response.headers['X-Marked'] = request.headers.get('X-Mark', 'none')\n"
    "    return response\n"
    "def about(kind: str, state) -> dict:\n    return {'kind': kind, 'factor': state['factor']}\n"
    "settings = DeploymentSettings(\n"
    "    custom_middlewares=[MiddlewareSpec(marked)],\n"
    "    custom_endpoints=[EndpointSpec('/about/{kind}', EndpointMethod.GET, about)])",
    "deployed = churn.deploy('churn', settings=settings)\nother = churn.deploy('other')",
)
CUSTOMERS = [{"name": name, "age": age} for name, age in (("ada", 36), ("Bö", 1), ("c", 999))]
OWN = re.compile(rb'("(?:run_id|run_name|execution_time)":)("[^"]*"|[^,}]*)')
PID = """\
%load_ext warmcell
import os
from warmcell import pipeline, step

@step
def pid() -> int:
    return os.getpid()

@pipeline
def who() -> int:
    return pid()
"""


def answers(server: JupyterServer) -> list[Any]:
    """What callers see of the deployments of CELLS: statuses, bodies and headers of their own."""
    found: list[Any] = []
    for name in ("churn", "other"):
        for customer in [*CUSTOMERS, {"name": 1}]:
            answer = server.invoke(name, {"customer": customer}, headers={"X-Mark": "m"})
            found.append((answer.status, body_of(answer), answer.headers.get("x-marked")))
    about = server.get("warmcell/churn/about/this")
    found.append((about.status, about.body))
    document = server.get("warmcell/churn/openapi.json").body
    found.append(re.sub(rb'"Run of [^"]*"', b"-", document))  # its examples are the newest runs
    return found


def body_of(answer: Response) -> bytes:
    """The bytes of the answer without what every run has of its own."""
    return OWN.sub(rb"\1-", answer.body)


@pytest.fixture
def server(start_server: Callable[..., JupyterServer]) -> JupyterServer:
    return start_server()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def kill(server: JupyterServer, kernel: Kernel, name: str) -> None:
    """``kill -9`` a kernel, and wait until the server saw that: what is sent to it in between is
    lost."""
    kernel.kill()
    wait_until(lambda: described(server, name)["worker_pid"] != kernel.pid)


def deploy(server: JupyterServer, *cells: str, notebook: str = "test.ipynb") -> Kernel:
    kernel = server.kernel(notebook)
    for cell in cells:
        kernel.run(cell)
    return kernel


def test_a_killed_kernel_changes_no_answer(server: JupyterServer) -> None:
    """``kill -9``: who calls meanwhile waits; answers, endpoints and middleware are the same to the
    byte, from one dedicated kernel in the same folder, under the same snapshot number."""
    (server.root / "sub").mkdir()
    kernel = deploy(server, *CELLS[:-1])
    kernel.run("os.chdir('sub')")
    kernel.run(CELLS[-1])
    before = answers(server)
    assert before[0][0] == 200
    assert before[0][2] == "m"
    stored(server, "churn", "other")
    was = described(server, "churn")
    assert (was["served_by"], was["state"]) == ("notebook", "serving")
    kill(server, kernel, "churn")
    assert answers(server) == before
    now = [described(server, name) for name in ("churn", "other")]
    assert [d["served_by"] for d in now] == ["dedicated", "dedicated"]
    assert [d["snapshot"] for d in now] == [1, 2]
    assert [d["reason"] for d in now] == ["", ""]
    assert now[0]["worker_pid"] == now[1]["worker_pid"] != kernel.pid
    assert os.readlink(f"/proc/{now[0]['worker_pid']}/cwd") == str(server.root / "sub")
    changed = {
        "worker",
        "worker_pid",
        "served_by",
        "lag",
        "rss",
        "in_flight",
        "replicas",
        "trusted",
    }
    changed |= {name for name in was if name.endswith(("_runs", "_at"))}
    assert {k: v for k, v in now[0].items() if k not in changed} == {
        k: v for k, v in was.items() if k not in changed
    }


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_server_that_ended_serves_again(server: JupyterServer, end: str) -> None:
    """After ``kill -9`` and after a usual end, everything comes back by itself; so it does after
    the next one, which restores what was restored."""
    deploy(server, *CELLS)
    before = answers(server)
    stored(server, "churn", "other")
    for _ in range(2):
        getattr(server, end)()
        server.start()
        about = server.get("warmcell/churn/about/this")  # as early as it can be asked for
        assert (about.status, about.body) in before
        served_by(server, "churn", "dedicated")
        assert answers(server) == before


def test_kernels_that_people_end(server: JupyterServer) -> None:
    """A restart and a shutdown of the kernel by Jupyter's API."""
    kernel = deploy(server, PID, "who.deploy('who')")
    stored(server, "who")
    assert server.post(f"api/kernels/{kernel.id}/restart").status == 200
    wait_until(lambda: described(server, "who")["worker_pid"] != kernel.pid)
    first = server.invoke("who").json()["outputs"]["output"]
    assert first != kernel.pid
    (own,) = server.kernels() - {kernel.id}
    server.delete(f"api/kernels/{own}")
    wait_until(lambda: described(server, "who")["worker_pid"] != first)
    assert server.invoke("who").json()["outputs"]["output"] not in (kernel.pid, first)
    assert server.delete("warmcell/api/v1/deployments/who").status == 200
    wait_until(lambda: server.kernels() == {kernel.id})


def test_the_notebook_takes_its_own_back(server: JupyterServer) -> None:
    """The same notebook deploys again without `overtake`; another one is refused. What served in
    between ends."""
    kernel = deploy(server, PID, "who.deploy('who')", notebook="mine.ipynb")
    stored(server, "who")
    kernel.kill()
    served_by(server, "who", "dedicated")
    dedicated = described(server, "who")["worker_pid"]
    stranger = deploy(server, PID, notebook="other.ipynb")
    refused = stranger.run("who.deploy('who')", check=False)
    assert refused.ename == "NameTaken"
    assert "mine.ipynb" in refused.evalue
    assert described(server, "who")["worker_pid"] == dedicated
    again = deploy(server, PID, "who.deploy('who')", notebook="mine.ipynb")
    now = described(server, "who")
    assert (now["served_by"], now["worker_pid"], now["snapshot"]) == ("notebook", again.pid, 1)
    assert server.invoke("who").json()["outputs"] == {"output": again.pid}
    wait_until(lambda: not Path(f"/proc/{dedicated}").exists())


def test_who_cannot_wait_is_told(server: JupyterServer, gate: Gate) -> None:
    """While a deployment comes back its state is "restoring": a call whose deadline passes gets 503
    with Retry-After, others are answered; a run in flight is lost with the cause."""
    kernel = deploy(
        server,
        gates.CELLS,
        "def opened(path):\n"
        "    while not pathlib.Path(path).exists():\n        time.sleep(0.01)\n"
        f"slow = held.with_options(on_init=opened, on_init_kwargs={{'path': '{gate.path}'}})",
    )
    gate.open()
    kernel.run("slow.deploy('slow')")
    stored(server, "slow")
    gate.path.unlink()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(server.invoke, "slow", gate.parameters())
        gate.entered()
        kernel.kill()
        lost = running.result(30)
        assert lost.status == 503
        assert "died" in lost.json()["detail"]
        run = server.get(f"warmcell/api/v1/runs/{lost.json()['run_id']}").json()
        assert run["status"] == "lost"
        found = described(server, "slow")
        assert (found["state"], found["ready"]) == ("restoring", False)
        assert "is being restored" in found["reason"]
        ready = server.get("warmcell/slow/readyz")
        assert (ready.status, int(ready.headers["retry-after"]) >= 1) == (503, True)
        body = {"parameters": gate.parameters(), "timeout": 0.2}
        late = server.post("warmcell/slow/invoke", body)
        assert late.status == 503, late.text
        assert int(late.headers["retry-after"]) >= 1
        patient = pool.submit(server.invoke, "slow", gate.parameters(value=4))
        detached = submit(server, "slow", gate.parameters(value=5))
        gate.open()
        assert patient.result(30).json()["outputs"] == {"output": 4}
    assert ended(server, "slow", detached)["outputs"] == {"output": 5}


def test_idempotent_runs_are_sent_once_more(server: JupyterServer, gate: Gate) -> None:
    """A run in flight is executed again by the restored kernel, once: it is lost when that dies."""
    kernel = deploy(server, gates.CELLS, "held.deploy('held', idempotent=True)")
    stored(server, "held")
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(server.invoke, "held", gate.parameters(value=n)) for n in range(3)]
        gate.entered()
        wait_until(lambda: described(server, "held")["in_flight"] == 3)
        kernel.kill()
        served_by(server, "held", "dedicated")
        wait_until(lambda: described(server, "held")["in_flight"] == 3)
        gate.open()
        assert [c.result(30).json()["outputs"]["output"] for c in calls] == [0, 1, 2]
        gate.path.unlink()
        run = submit(server, "held", gate.parameters(value=7))
        for _ in range(2):
            wait_until(lambda: described(server, "held")["in_flight"] == 1)
            os.kill(described(server, "held")["worker_pid"], signal.SIGKILL)
            wait_until(lambda: described(server, "held")["in_flight"] == 0)
        assert ended(server, "held", run)["status"] == "lost"


def test_a_standby_serves_at_once(server: JupyterServer) -> None:
    """It is ready before it is needed, serves what the kernel that died did under the settings of
    the last deploy, and is replaced; a deploy of something else replaces it too, and an undeploy
    ends it."""
    kernel = deploy(server, PID, "deployed = who.deploy('who', standby=True, auth='public')")
    wait_until(lambda: described(server, "who")["standby"] == "ready")
    kernel.run("who.deploy('who', standby=True, timeout=77)")
    assert described(server, "who")["standby"] == "ready"
    known = server.kernels() - {kernel.id}
    assert len(known) == 1
    kernel.kill()
    served_by(server, "who", "dedicated")
    assert described(server, "who")["settings"]["timeout"] == 77
    assert server.invoke("who", authenticated=False).status == 401
    spare = server.invoke("who").json()["outputs"]["output"]
    wait_until(lambda: described(server, "who")["standby"] == "ready")
    os.kill(spare, signal.SIGKILL)
    wait_until(lambda: described(server, "who")["worker_pid"] != spare)
    assert server.invoke("who").json()["outputs"]["output"] != spare
    again = deploy(server, PID.replace("return os", "return -os"), "who.deploy('who')")
    assert server.invoke("who").json()["outputs"] == {"output": -again.pid}
    assert described(server, "who")["standby"] is None
    server.delete("warmcell/api/v1/deployments/who")
    wait_until(lambda: server.kernels() <= {kernel.id, again.id})


def test_what_cannot_be_restored_says_why(server: JupyterServer, gate: Gate) -> None:
    """What never can be stored, and what was not stored yet; both are 503, also after a restart of
    the server, while what can be restored is."""
    kernel = deploy(
        server,
        PID,
        "import copyreg, fractions, pathlib, threading\n"
        "def slowly(number):\n"
        "    if threading.current_thread().name == 'warmcell-snapshot':\n"
        f"        pathlib.Path('{gate.path}.entered').touch()\n"
        "        threading.Event().wait(600)\n"
        "    return fractions.Fraction, (str(number),)\n"
        "copyreg.pickle(fractions.Fraction, slowly)\n"
        "rows, slow = (n for n in range(3)), [fractions.Fraction(n) for n in range(20_000)]",
        "@step\ndef following() -> int:\n    return next(rows)\n"
        "@pipeline\ndef follow() -> int:\n    return following()\n"
        "@step\ndef counting() -> int:\n    return len(slow)\n"
        "@pipeline\ndef count() -> int:\n    return counting()",
        "follow.deploy('follow')\nwho.deploy('who')\ncount.deploy('count')",
    )
    wait_until(lambda: described(server, "follow")["stored"].startswith("refused"))
    stored(server, "who")
    gate.entered()
    kernel.kill()
    for _ in range(2):
        served_by(server, "who", "dedicated")
        for name, why in (("follow", "`rows` cannot be stored"), ("count", "restored yet")):
            wait_until(lambda name=name: described(server, name)["state"] == "detached")
            found = described(server, name)
            assert why in found["reason"]
            assert "Deploy it again from " in found["reason"]
            assert server.invoke(name).status == 503
        server.kill()
        server.start()


def test_a_kernel_that_dies_again_and_again(server: JupyterServer, gate: Gate) -> None:
    """Each attempt waits longer than the one before, and `reason` says so; who cannot wait so long
    is told at once. Once it holds, it serves. An undeploy ends the attempts, and who waits for one
    of its own endpoints is told."""
    kernel = deploy(
        server,
        gates.CELLS,
        "import os\n"
        "from warmcell.config import EndpointMethod, EndpointSpec\n"
        "def about() -> str:\n    return 'it'\n"
        "endpoint = EndpointSpec('/about', EndpointMethod.GET, about)\n"
        "def opened(path):\n"
        "    if not pathlib.Path(path).exists():\n        os._exit(1)\n"
        f"frail = held.with_options(on_init=opened, on_init_kwargs={{'path': '{gate.path}'}})",
    )
    gate.open()
    kernel.run("frail.deploy('frail', custom_endpoints=[endpoint])")
    stored(server, "frail")
    gate.path.unlink()
    kernel.kill()
    for number, seconds in ((2, 1), (3, 2), (4, 4)):
        said = f"Attempt {number} to restore it is made {seconds} s later"
        wait_until(lambda said=said: said in described(server, "frail")["reason"])
    body = {"parameters": gate.parameters(), "timeout": 0.5}
    refused = server.post("warmcell/frail/invoke", body)
    assert refused.status == 503
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    gate.open()
    assert server.invoke("frail", gate.parameters(value=3)).json()["outputs"] == {"output": 3}
    assert described(server, "frail")["reason"] == ""
    gate.path.unlink()
    os.kill(described(server, "frail")["worker_pid"], signal.SIGKILL)
    wait_until(lambda: "Attempt" in described(server, "frail")["reason"])
    waiting = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {"Authorization": f"token {server.token}"}
    waiting.request("GET", "/warmcell/frail/about", headers=headers)
    assert server.delete("warmcell/api/v1/deployments/frail").status == 200
    assert waiting.getresponse().status == 503
    waiting.close()
    wait_until(lambda: server.kernels() <= {kernel.id})
