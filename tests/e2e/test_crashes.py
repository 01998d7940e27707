"""``kill -9``: callers get honest answers, and what was acknowledged stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.support.jupyter import JupyterServer

ACKNOWLEDGED = 200


def test_a_killed_kernel_ends_its_calls(start_server: Callable[..., JupyterServer]) -> None:
    """The caller of a run whose kernel dies gets an error at once, and the run is lost, with the
    cause; the server goes on, and the deployment is not ready until it is restored."""
    server = start_server()
    kernel = server.kernel()
    kernel.run("%load_ext warmcell")
    kernel.run("import threading\nentered = threading.Event()\ndef state():\n    return entered")
    kernel.run(
        "%%step\ndef stay(x: int) -> int:\n"
        "    from warmcell import get_step_context\n"
        "    get_step_context().pipeline_state.set()\n"
        "    threading.Event().wait(60)\n    return x"
    )
    kernel.run("%%pipeline --on-init state\ndef hang(x: int) -> int:\n    return stay(x)")
    kernel.run("hang.deploy('hang')")
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(server.invoke, "hang", {"x": 1}, timeout=60)
        assert kernel.value("entered.wait(60)") is True
        kernel.kill()
        answer = calling.result(5)
    assert answer.status == 503
    problem = answer.json()
    assert "kernel" in problem["detail"].lower()
    run = server.get(f"warmcell/api/v1/runs/{problem['run_id']}").json()
    assert run["status"] == "lost"
    assert run["error"]["message"]
    assert server.get("warmcell/hang/readyz").status == 503
    later = server.post("warmcell/hang/invoke", {"parameters": {"x": 1}, "timeout": 0.1})
    assert later.status == 503
    assert int(later.headers["retry-after"]) >= 1


def test_acknowledged_calls_survive_the_server(start_server: Callable[..., JupyterServer]) -> None:
    """Right after 200 acknowledged calls the server is killed: all are in the history of the next
    one, each once, and with their outputs."""
    server = start_server()
    kernel = server.kernel()
    kernel.run("%load_ext warmcell")
    kernel.run("%%step\ndef square(x: int) -> int:\n    return x * x")
    kernel.run("%%pipeline\ndef squares(x: int) -> int:\n    return square(x)")
    kernel.run("squares.deploy('squares')")

    def call(x: int) -> str:
        answer = server.invoke("squares", {"x": x})
        assert answer.status == 200, answer.text
        return str(answer.json()["metadata"]["run_id"])

    with ThreadPoolExecutor(8) as pool:
        acknowledged = list(pool.map(call, range(ACKNOWLEDGED)))
    server.kill()
    server.start()
    table = server.post(
        "warmcell/api/v1/sql",
        {"query": "select run_id, status, outputs::varchar from runs where pipeline = 'squares'"},
    ).json()
    rows = {row[0]: row for row in table["rows"]}
    found = Counter(row[0] for row in table["rows"])
    assert [found[run_id] for run_id in acknowledged] == [1] * ACKNOWLEDGED
    assert {rows[run_id][1] for run_id in acknowledged} == {"succeeded"}
    for x, run_id in enumerate(acknowledged):
        assert str(x * x) in rows[run_id][2]


def test_history_survives_a_restart_of_everything(
    start_server: Callable[..., JupyterServer],
) -> None:
    """Runs of cells and of calls are there after the server and its kernels ended as usual."""
    server = start_server()
    kernel = server.kernel()
    kernel.run("%load_ext warmcell")
    kernel.run("%%pipeline\ndef once(x: int) -> int:\n    return x")
    kernel.run("once(3)")
    kernel.run("once.deploy('once')")
    server.invoke("once", {"x": 4})
    server.stop()
    server.start()
    runs = server.get("warmcell/api/v1/runs?pipeline=once").json()["runs"]
    assert [(run["trigger"], run["status"]) for run in runs] == [
        ("call", "succeeded"),
        ("cell", "succeeded"),
    ]
    again = server.kernel()
    again.run("%load_ext warmcell")
    assert again.value("[run.status for run in __import__('warmcell').Client().list_runs()]") == [
        "succeeded",
        "succeeded",
    ]
