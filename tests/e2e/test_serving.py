"""A notebook cell becomes a URL: real server, real kernel, calls over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

SPIN = "while True:\n    sum(number * number for number in range(1000))"


@pytest.fixture
def deployed(kernel: Kernel) -> Iterator[Callable[[str, str], None]]:
    """Run cells and deploy the pipeline of that name; it is undeployed after the test."""
    names = []

    def deploy(name: str, *cells: str) -> None:
        for cell in cells:
            kernel.run(cell)
        kernel.run(f"{name}_deployment = {name}.deploy('{name}')")
        names.append(name)

    yield deploy
    for name in names:
        kernel.run(f"{name}_deployment.undeploy()", check=False)


def test_cells_become_a_url(jupyter_server: JupyterServer, deployed: Callable[..., None]) -> None:
    """Step and pipeline cells answer a POST with the outputs and the facts of the run."""
    deployed(
        "greeting",
        "%%step\ndef greet(name: str) -> str:\n    return f'Hello {name}'",
        "%%step shout(text) -> loud\nloud = text.upper()",
        "%%pipeline\ndef greeting(name: str = 'you') -> str:\n    return shout(greet(name))",
    )
    answer = jupyter_server.invoke("greeting", {"name": "Ada"})
    assert answer.status == 200, answer.text
    body = answer.json()
    assert body["success"] is True
    assert body["outputs"] == {"loud": "HELLO ADA"}
    assert body["error"] is None
    assert body["execution_time"] >= 0
    metadata = body["metadata"]
    assert metadata["deployment"] == metadata["pipeline"] == "greeting"
    assert metadata["snapshot"] == 1
    assert metadata["parameters_used"] == {"name": "Ada"}

    run = jupyter_server.get(f"warmcell/greeting/runs/{metadata['run_id']}").json()
    assert run["status"] == "succeeded"
    assert run["trigger"] == "call"
    full = jupyter_server.get(f"warmcell/api/v1/runs/{metadata['run_id']}").json()
    assert [step["step"] for step in full["steps"]] == ["greet", "shout"]
    assert jupyter_server.invoke("greeting").json()["outputs"] == {"loud": "HELLO YOU"}


def test_edits_change_nothing_until_the_next_deploy(
    jupyter_server: JupyterServer, kernel: Kernel, deployed: Callable[..., None]
) -> None:
    """Globals, helpers, closures, classes and steps of the notebook may change; answers do not."""
    deployed(
        "frozen",
        "offset = 1\n"
        "table = {'scale': 10}\n"
        "def helper(x):\n    return x * table['scale'] + offset\n"
        "def outer(n):\n    def inner(x):\n        return x + n\n    return inner\n"
        "closure = outer(100)\n"
        "class Rule:\n    def apply(self, x):\n        return x + 1000\n"
        "rule = Rule()",
        "%%step\ndef work(x: int) -> int:\n    return rule.apply(closure(helper(x)))",
        "%%pipeline\ndef frozen(x: int) -> int:\n    return work(x)",
    )
    before = jupyter_server.invoke("frozen", {"x": 1}).json()["outputs"]
    assert list(before.values()) == [1111]

    kernel.run("offset = 5")
    kernel.run("table = {'scale': 0}")
    kernel.run("def helper(x):\n    return -x")
    kernel.run("closure = outer(7)")
    kernel.run("Rule.apply = lambda self, x: -1")
    kernel.run("%%step\ndef work(x: int) -> int:\n    return 0")
    assert jupyter_server.invoke("frozen", {"x": 1}).json()["outputs"] == before

    kernel.run("frozen.deploy('frozen')")
    answer = jupyter_server.invoke("frozen", {"x": 1}).json()
    assert list(answer["outputs"].values()) == [0]
    assert answer["metadata"]["snapshot"] == 2


def test_a_busy_cell_does_not_stop_calls(
    jupyter_server: JupyterServer, kernel: Kernel, deployed: Callable[..., None]
) -> None:
    """While a cell spins in pure Python, calls are answered; the Interrupt button ends the cell
    and leaves the deployment serving."""
    deployed(
        "busy",
        "%%step\ndef twice(x: int) -> int:\n    return 2 * x",
        "%%pipeline\ndef busy(x: int) -> int:\n    return twice(x)",
    )
    cell = kernel.start(SPIN)
    assert cell.started.wait(30)
    answers = [jupyter_server.invoke("busy", {"x": x}).json()["outputs"] for x in range(20)]
    assert [list(outputs.values()) for outputs in answers] == [[2 * x] for x in range(20)]
    assert cell.status == "running"
    kernel.interrupt()
    assert cell.wait(30, check=False).ename == "KeyboardInterrupt"
    assert jupyter_server.invoke("busy", {"x": 4}).status == 200


def test_many_calls_run_at_once(
    jupyter_server: JupyterServer, deployed: Callable[..., None]
) -> None:
    """Eight calls that wait for each other inside their steps all end."""
    deployed(
        "meeting",
        "import threading\nfrom warmcell import get_step_context\n"
        "def open_barrier():\n    return threading.Barrier(8, timeout=60)",
        "%%step\ndef meet(x: int) -> int:\n"
        "    get_step_context().pipeline_state.wait()\n    return x",
        "%%pipeline --on-init open_barrier\ndef meeting(x: int) -> int:\n    return meet(x)",
    )
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: jupyter_server.invoke("meeting", {"x": x}), range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert [list(answer.json()["outputs"].values()) for answer in answers] == [
        [x] for x in range(8)
    ]


def test_redeploying_drops_no_call(
    jupyter_server: JupyterServer, kernel: Kernel, deployed: Callable[..., None]
) -> None:
    """While new snapshots take over one after the other, every call is answered by one of them."""
    cell = "%%step\ndef version(x: int) -> int:\n    return {}"
    deployed(
        "rolling",
        cell.format(0),
        "%%pipeline\ndef rolling(x: int) -> int:\n    return version(x)",
    )
    stop = threading.Event()

    def call() -> list[tuple[int, int]]:
        seen = []
        while not stop.is_set():
            answer = jupyter_server.invoke("rolling", {"x": 1})
            assert answer.status == 200, answer.text
            body = answer.json()
            (value,) = body["outputs"].values()
            seen.append((body["metadata"]["snapshot"], value))
        return seen

    with ThreadPoolExecutor(4) as pool:
        calling = [pool.submit(call) for _ in range(4)]
        try:
            for number in range(1, 6):
                kernel.run(cell.format(number))
                kernel.run("rolling.deploy('rolling')")
        finally:
            stop.set()
        answers = [answer for future in calling for answer in future.result(60)]
    assert answers
    assert all(snapshot == value + 1 for snapshot, value in answers)
    assert list(jupyter_server.invoke("rolling", {"x": 1}).json()["outputs"].values()) == [5]


def test_a_call_in_flight_ends_on_its_own_snapshot(
    jupyter_server: JupyterServer, kernel: Kernel, deployed: Callable[..., None]
) -> None:
    """A call that began before a redeploy still gets the answer of the snapshot it began with."""
    deployed(
        "gate",
        "import threading\nfrom warmcell import get_step_context\n"
        "entered, leave = threading.Event(), threading.Event()\n"
        "def state():\n    return entered, leave",
        "%%step\ndef wait(x: int) -> str:\n"
        "    entered, leave = get_step_context().pipeline_state\n"
        "    entered.set()\n    leave.wait(60)\n    return 'old'",
        "%%pipeline --on-init state\ndef gate(x: int) -> str:\n    return wait(x)",
    )
    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(jupyter_server.invoke, "gate", {"x": 1})
        assert kernel.value("entered.wait(60)") is True
        kernel.run("%%step\ndef wait(x: int) -> str:\n    return 'new'")
        kernel.run("gate.deploy('gate')")
        assert list(jupyter_server.invoke("gate", {"x": 1}).json()["outputs"].values()) == ["new"]
        kernel.run("leave.set()")
        assert list(old.result(60).json()["outputs"].values()) == ["old"]


def test_undeploying_answers_not_found(
    jupyter_server: JupyterServer, kernel: Kernel, deployed: Callable[..., None]
) -> None:
    """After undeploy() the URL is gone: 404 as a problem document."""
    deployed("brief", "%%pipeline\ndef brief(x: int = 1) -> int:\n    return x")
    assert jupyter_server.invoke("brief").status == 200
    kernel.run("brief_deployment.undeploy()")
    answer = jupyter_server.invoke("brief")
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert "brief" in answer.json()["detail"]


def test_a_step_that_raises_is_named(
    jupyter_server: JupyterServer, deployed: Callable[..., None]
) -> None:
    """The caller gets 500 with run and step, and never the traceback of the kernel."""
    deployed(
        "broken",
        "%%step\ndef divide(x: int) -> float:\n    return 1 / x",
        "%%pipeline\ndef broken(x: int) -> float:\n    return divide(x)",
    )
    assert jupyter_server.invoke("broken", {"x": 2}).status == 200
    answer = jupyter_server.invoke("broken", {"x": 0})
    assert answer.status == 500
    problem = answer.json()
    assert problem["step"] == "divide"
    assert "ZeroDivisionError" in problem["detail"]
    assert "Traceback" not in answer.text
    run = jupyter_server.get(f"warmcell/api/v1/runs/{problem['run_id']}").json()
    assert run["status"] == "failed"
    assert run["error"]["type"] == "ZeroDivisionError"


def test_output_of_a_call_reaches_no_cell(
    jupyter_server: JupyterServer, kernel: Kernel, deployed: Callable[..., None]
) -> None:
    """What a served step prints is in the log of its run, not in the cell that happens to run."""
    deployed(
        "chatty",
        "%%step\ndef talk(x: int) -> int:\n    print('served', x)\n    return x",
        "%%pipeline\ndef chatty(x: int) -> int:\n    return talk(x)",
    )
    cell = kernel.start(SPIN)
    assert cell.started.wait(30)
    run_id = jupyter_server.invoke("chatty", {"x": 7}).json()["metadata"]["run_id"]
    kernel.interrupt()
    cell.wait(30, check=False)
    assert "served" not in cell.stdout
    run = jupyter_server.get(f"warmcell/api/v1/runs/{run_id}").json()
    assert "served 7" in "".join(entry["text"] for entry in run["logs"])


def test_two_notebooks_serve_at_once(
    jupyter_server: JupyterServer, kernel: Kernel, deployed: Callable[..., None]
) -> None:
    """A second notebook deploys under a name of its own, and is told who holds a taken one."""
    cell = "%%pipeline\ndef {0}(x: int = 1) -> str:\n    return '{0}'"
    deployed("first", cell.format("first"))
    other = jupyter_server.kernel("other.ipynb")
    other.run("%load_ext warmcell")
    other.run(cell.format("second"))
    other.run("second.deploy('second')")
    for name in ("first", "second"):
        assert list(jupyter_server.invoke(name).json()["outputs"].values()) == [name]
    refused = other.run("second.deploy('first')", check=False)
    assert refused.ename == "NameTaken"
    assert "test.ipynb" in refused.evalue
    other.run("second.undeploy() if hasattr(second, 'undeploy') else None")
