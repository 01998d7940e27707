"""A real ipykernel without a server, for what only a kernel does: routing of output, interrupts."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

SECONDS = 30.0


class Cell:
    """One executed cell: what it printed, displayed and returned."""

    def __init__(self) -> None:
        self.streams = {"stdout": "", "stderr": ""}
        self.displays: list[dict[str, Any]] = []
        self.result = ""
        self.error: dict[str, Any] | None = None

    def take(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "stream":
            self.streams[content["name"]] += content["text"]
        elif kind in ("display_data", "update_display_data"):
            self.displays.append(content["data"])
        elif kind == "execute_result":
            self.result = content["data"]["text/plain"]
        elif kind == "error":
            self.error = content

    @property
    def shown(self) -> str:
        """All that one can read below the cell."""
        displays = "".join(d.get("text/plain", "") for d in self.displays)
        return self.streams["stdout"] + self.streams["stderr"] + displays


class Process:
    """A kernel. Output of every cell is kept, also what comes after its end."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client
        self.cells: dict[str, Cell] = {}

    def start(self, code: str) -> str:
        """Send a cell; returns its id."""
        identifier = self.client.execute(code, store_history=True)
        self.cells[identifier] = Cell()
        return identifier

    def wait(self, identifier: str, *, until: str | None = None) -> Cell:
        """Wait until the cell has ended, or has printed ``until``."""
        cell = self.cells[identifier]
        while True:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            parent = message["parent_header"].get("msg_id", "")
            kind, content = message["header"]["msg_type"], message["content"]
            if parent in self.cells:
                self.cells[parent].take(kind, content)
            if until is not None and until in cell.shown:
                return cell
            if parent == identifier and kind == "status" and content["execution_state"] == "idle":
                return cell

    def run(self, code: str) -> Cell:
        """Run a cell that succeeds."""
        cell = self.wait(self.start(code))
        assert cell.error is None, "\n".join(cell.error["traceback"])
        return cell

    def value(self, expression: str) -> Any:
        """The value of an expression, from its text."""
        import ast

        return ast.literal_eval(self.run(expression).result)

    def settle(self) -> None:
        """Take what is still on its way: output is sent every 0.2 s, in order."""
        self.run("import sys; sys.stdout.flush(); sys.stderr.flush()")
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=0.5)
            except queue.Empty:
                return
            parent = message["parent_header"].get("msg_id", "")
            if parent in self.cells:
                self.cells[parent].take(message["header"]["msg_type"], message["content"])


@contextmanager
def process() -> Iterator[Process]:
    """Start a kernel and end it."""
    manager = KernelManager()
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels(hb=False)  # its thread hangs when the kernel has been killed
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield Process(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
