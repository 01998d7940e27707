"""Jupyter's culling ends kernels that nobody uses, and takes none that has traffic."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support import gates
from tests.support.gates import Gate, wait_until
from tests.support.jupyter import JupyterServer

IDLE_SECONDS = 3
CULLING = [
    f"--MappingKernelManager.cull_idle_timeout={IDLE_SECONDS}",
    "--MappingKernelManager.cull_interval=1",
    "--MappingKernelManager.cull_connected=True",  # these tests hold a connection to each kernel
]


def test_culling_takes_what_nobody_calls(
    start_server: Callable[..., JupyterServer], tmp_path: Path
) -> None:
    """While one kernel is culled, others that were idle for Jupyter as long live on: one that
    answers calls, one that works on a call, and one that is to be kept. What was culled answers
    again, from a kernel that lives as long as it has traffic; then the first one's traffic ends,
    and so does it."""
    server = start_server(arguments=CULLING)
    gate = Gate(tmp_path)
    gate.open()  # only one call waits at it

    def deploy(name: str, settings: str = "") -> int:
        kernel = server.kernel(f"{name}.ipynb")
        kernel.run(gates.CELLS)
        kernel.run(f"held.deploy('{name}'{settings})")
        wait_until(lambda: described(name)["stored"] == "stored")
        return kernel.pid

    def described(name: str) -> dict[str, Any]:
        found: dict[str, Any] = server.get(f"warmcell/api/v1/deployments/{name}").json()
        return found

    def lives(*pids: int) -> bool:
        return all(Path(f"/proc/{pid}").exists() for pid in pids)

    stop = {name: threading.Event() for name in ("busy", "idle")}

    def traffic(name: str) -> set[int]:
        statuses = set()
        while not stop[name].wait(0.1):
            statuses.add(server.invoke(name, gate.parameters()).status)
        return statuses

    with ThreadPoolExecutor() as pool:
        kept = deploy("kept", ", keep_alive=True")
        busy = deploy("busy")
        calls = pool.submit(traffic, "busy")
        working = deploy("working")
        closed = Gate(tmp_path / "closed")
        closed.path.parent.mkdir()
        long = pool.submit(server.invoke, "working", closed.parameters(value=7))
        closed.entered()
        idle = deploy("idle")
        wait_until(lambda: not lives(idle))
        assert lives(kept, busy, working)
        closed.open()
        assert long.result(30).json()["outputs"] == {"output": 7}

        more = pool.submit(traffic, "idle")
        wait_until(lambda: described("idle")["worker_pid"])
        restored = described("idle")["worker_pid"]
        stop["busy"].set()
        assert calls.result(30) == {200}
        wait_until(lambda: not lives(busy) and not lives(working))
        assert lives(kept, restored)
        stop["idle"].set()
        assert more.result(30) == {200}
