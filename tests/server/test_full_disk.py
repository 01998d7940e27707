"""Runs that end while the disk of the store is full."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks.faults.inflicting import full_disk
from tests.support import gates
from tests.support.gates import Gate, ended, submit, wait_until
from tests.support.jupyter import JupyterServer


def test_ends_that_found_no_room_are_recorded_later(
    start_server: Callable[..., JupyterServer], tmp_path: Path
) -> None:
    """Whoever waits is told 503; once there is room, the history has the ends, and the same
    Idempotency-Key gets the answer of the run that was executed."""
    server = start_server()
    kernel = server.kernel()
    kernel.run(gates.CELLS)
    kernel.run("held.deploy('held')")
    gate = Gate(tmp_path)
    body = {"parameters": gate.parameters(value=3)}
    key = {"Idempotency-Key": "full"}
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.post, "warmcell/held/invoke", body, headers=key)
        detached = submit(server, "held", gate.parameters(value=4))
        wait_until(lambda: server.get("warmcell/held/info").json()["in_flight"] == 2)
        with full_disk(server.pid, 0):
            gate.open()
            refused = waiting.result(30)
            wait_until(lambda: server.get("warmcell/held/info").json()["in_flight"] == 0)
            assert refused.status == 503, refused.text
            assert server.get("warmcell/held/info").json()["queued"] == 0
            again = server.post("warmcell/held/invoke", body, headers=key)
            assert again.status == 503, again.text
            assert again.headers["retry-after"]
    run = ended(server, "held", detached)
    assert (run["status"], run["outputs"]) == ("succeeded", {"output": 4})

    def replayed() -> bool:
        answer = server.post("warmcell/held/invoke", body, headers=key)
        return answer.status == 200 and answer.headers["idempotency-replayed"] == "true"

    wait_until(replayed)
    query = "SELECT status, count(*) FROM runs GROUP BY status"
    rows = server.post("warmcell/api/v1/sql", {"query": query}).json()["rows"]
    assert rows == [["succeeded", 2]]
