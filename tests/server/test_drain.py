"""Drain: what was admitted before a redeploy or a shutdown is still answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import gates
from tests.support.gates import Gate, ended, submit, wait_until
from tests.support.jupyter import JupyterServer


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_a_redeploy_refuses_nobody(start_server: Callable[..., JupyterServer], gate: Gate) -> None:
    """A call in flight ends on the snapshot that it began with; one that waits goes to the new."""
    server = start_server()
    kernel = server.kernel()
    kernel.run(gates.CELLS)
    kernel.run("held.deploy('held', concurrency=1)")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(server.invoke, "held", gate.parameters(value=1))
        gate.entered()
        second = pool.submit(server.invoke, "held", gate.parameters(value=2))
        wait_until(lambda: server.get("warmcell/held/info").json()["queued"] == 1)
        kernel.run(gates.CELLS.replace("return value", "return -value"))
        kernel.run("held.deploy('held', concurrency=1)")
        gate.open()
        answers = [first.result(30), second.result(30)]
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.json()["outputs"]["output"] for answer in answers] == [1, -2]
    assert [answer.json()["metadata"]["snapshot"] for answer in answers] == [1, 2]


def test_a_shutdown_answers_what_runs_and_says_what_became_of_the_rest(
    start_server: Callable[..., JupyterServer], gate: Gate, tmp_path: Path
) -> None:
    """SIGTERM: the running call gets its answer, who waits hears 503, and what was acknowledged is
    in the history of the next server."""
    server = start_server()
    kernel = server.kernel()
    kernel.run(gates.CELLS)
    kernel.run("held.deploy('held', concurrency=1)")
    with ThreadPoolExecutor() as pool:
        running = pool.submit(server.invoke, "held", gate.parameters(value=1))
        gate.entered()
        waiting = pool.submit(server.invoke, "held", gate.parameters(value=2))
        wait_until(lambda: server.get("warmcell/held/info").json()["queued"] == 1)
        detached = submit(server, "held", gate.parameters(value=3))
        os.kill(server.pid, signal.SIGTERM)
        refused = waiting.result(30)
        gate.open()
        answer = running.result(30)
    assert refused.status == 503
    assert "shut down" in refused.json()["detail"]
    assert answer.status == 200, answer.text
    server.stop()

    again = start_server()
    kept = again.get(f"warmcell/api/v1/runs/{answer.json()['metadata']['run_id']}").json()
    assert kept["outputs"] == {"output": 1}
    lost = ended(again, "held", detached)
    assert lost["status"] == "lost"
    assert "shut down" in lost["error"]["message"]
