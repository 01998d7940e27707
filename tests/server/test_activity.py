"""Jupyter's culling ends kernels that nobody uses, and takes none that has traffic."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import msgspec

from tests.support import gates
from tests.support.gates import Gate, wait_until
from tests.support.jupyter import JupyterServer
from warmcell import wire
from warmcell_server.deployment import Deployment
from warmcell_server.lifetimes import idle_seconds
from warmcell_server.workers import Binding, Worker

IDLE_SECONDS = 3
CULLING = [
    f"--MappingKernelManager.cull_idle_timeout={IDLE_SECONDS}",
    "--MappingKernelManager.cull_interval=1",
    "--MappingKernelManager.cull_connected=True",  # these tests hold a connection to each kernel
]


def test_requests_to_own_endpoints_count_as_use() -> None:
    """They are no runs, and are seen at what holds the snapshot."""
    none = msgspec.Raw(b"{}")
    body = wire.Deploy("name", "pipeline", "key", "digest", none, none)
    hello = wire.Hello(wire.PROTOCOL, "kernel", 1, "3.13")
    binding = Binding("key", 1, Worker(hello, cast(asyncio.Transport, None)), body)
    binding.since -= 1000
    deployment = Deployment("name", "pipeline", 1, "digest", none, none, 0, 0)
    deployment.binding, deployment.warm = binding, [binding]
    assert idle_seconds(deployment) >= 1000
    binding.in_flight = 1
    assert idle_seconds(deployment) == 0
    binding.in_flight, binding.used_at = 0, time.monotonic()
    assert idle_seconds(deployment) < 1000


def test_culling_takes_what_nobody_calls(
    start_server: Callable[..., JupyterServer], tmp_path: Path
) -> None:
    """While one kernel is culled, two that were idle for Jupyter as long live on: one that works on
    a call, and one that is to be kept. The next call brings back what was culled, in a kernel that
    is culled again, while the other lives on by short calls; without them it is culled too."""
    server = start_server(arguments=CULLING)
    gate, closed = Gate(tmp_path), Gate(tmp_path / "closed")
    gate.open()
    closed.path.parent.mkdir()

    def described(name: str) -> dict[str, Any]:
        found: dict[str, Any] = server.get(f"warmcell/api/v1/deployments/{name}").json()
        return found

    def deploy(name: str, settings: str = "") -> int:
        kernel = server.kernel(f"{name}.ipynb")
        kernel.run(gates.CELLS)
        kernel.run(f"held.deploy('{name}'{settings})")
        return kernel.pid

    def lives(pid: int) -> bool:
        return Path(f"/proc/{pid}").exists()

    stop = threading.Event()

    def traffic() -> set[int]:
        statuses = set()
        while not stop.wait(0.1):
            statuses.add(server.invoke("used", gate.parameters()).status)
        return statuses

    with ThreadPoolExecutor() as pool:
        kept = deploy("kept", ", keep_alive=True")
        used = deploy("used")
        long = pool.submit(server.invoke, "used", closed.parameters(value=7))
        closed.entered()
        idle = deploy("idle")
        wait_until(lambda: described("idle")["stored"] == "stored")
        wait_until(lambda: not lives(idle))
        assert lives(kept)
        assert lives(used)

        calls = pool.submit(traffic)
        closed.open()
        assert long.result(30).json()["outputs"] == {"output": 7}
        assert server.invoke("idle", gate.parameters(value=8)).json()["outputs"] == {"output": 8}
        again = described("idle")["worker_pid"]
        assert again not in (idle, None)
        wait_until(lambda: not lives(again))
        assert lives(used)
        stop.set()
        assert calls.result(30) == {200}
        wait_until(lambda: not lives(used))
        assert lives(kept)
