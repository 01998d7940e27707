"""What a server says of its deployments, and waiting for it to be so."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

__all__ = ["author", "described", "ended_process", "served_by", "stored", "until"]


def described(server: JupyterServer, name: str) -> dict[str, Any]:
    """The deployment as the control plane shows it."""
    found: dict[str, Any] = server.get(f"warmcell/api/v1/deployments/{name}").json()
    return found


def until(
    server: JupyterServer, name: str, fits: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Wait until a deployment is as ``fits`` says, and return how it is."""
    found: dict[str, Any] = {}

    def look() -> object:
        nonlocal found
        found = described(server, name)
        return fits(found)

    wait_until(look)
    return found


def stored(server: JupyterServer, *names: str) -> None:
    """Wait until the snapshots are stored."""
    for name in names:
        until(server, name, lambda found: found["stored"] == "stored")


def served_by(server: JupyterServer, name: str, by: str) -> None:
    """Wait until a deployment is served from there."""
    until(server, name, lambda found: found["served_by"] == by)


def author(server: JupyterServer, *cells: str, notebook: str = "test.ipynb") -> Kernel:
    """A kernel of a notebook that has run these cells."""
    kernel = server.kernel(notebook)
    for cell in cells:
        kernel.run(cell)
    return kernel


def ended_process(pid: int) -> bool:
    """Whether a process is gone, or a zombie that nobody has waited for yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"
