"""A kernel of a Jupyter server, reached as a browser reaches it: REST and one websocket."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import websocket

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class CellFailed(AssertionError):
    """A cell raised although the test expected it to run; the message is its traceback."""


@dataclass
class Cell:
    """One executed cell and everything that it put out.

    ``wait`` returns once the reply came and the kernel is idle again for this cell, so that no
    output is missing.
    """

    code: str
    status: str = "running"
    stdout: str = ""
    stderr: str = ""
    result: dict[str, Any] | None = None
    displays: list[dict[str, Any]] = field(default_factory=list)
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    printed: threading.Event = field(default_factory=threading.Event)
    _replied: threading.Event = field(default_factory=threading.Event)
    _idle: threading.Event = field(default_factory=threading.Event)

    @property
    def text(self) -> str:
        """The plain text of the cell's value, or an empty string."""
        return str((self.result or {}).get("text/plain", ""))

    def wait(self, timeout: float = 60.0, *, check: bool = True) -> Cell:
        """Wait for the end. Raises TimeoutError, and with ``check`` CellFailed if it raised."""
        deadline = time.monotonic() + timeout
        for event in (self._replied, self._idle):
            if not event.wait(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"no end after {timeout} s of the cell:\n{self.code}")
        if check and self.status != "ok":
            shown = COLOURS.sub("", "\n".join(self.traceback)).splitlines()
            raise CellFailed("\n".join(shown[-30:]) or f"{self.ename}: {self.evalue}")
        return self

    def take(self, kind: str, content: dict[str, Any]) -> None:
        """Add one message of the kernel."""
        match kind:
            case "stream":
                name = content["name"]
                setattr(self, name, getattr(self, name) + content["text"])
                self.printed.set()
            case "execute_result":
                self.result = content["data"]
            case "display_data" | "update_display_data":
                self.displays.append(content["data"])
                self.printed.set()
            case "error":
                self.ename, self.evalue = content["ename"], content["evalue"]
                self.traceback = content["traceback"]
            case "execute_reply":
                self.status = content["status"]
                if self.status != "ok" and not self.ename:
                    self.ename = content.get("ename", self.status)
                    self.evalue = content.get("evalue", "")
                self._replied.set()
            case "status":
                if content["execution_state"] == "busy":
                    self.started.set()
                elif content["execution_state"] == "idle":
                    self._idle.set()


class Kernel:
    """One kernel. Started through the server's sessions, so that it knows its notebook."""

    def __init__(self, server: Any, path: str = "test.ipynb") -> None:
        self._server = server
        session = server.post(
            "api/sessions",
            {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}},
        )
        if session.status != 201:
            raise RuntimeError(f"no session: {session.status} {session.text}")
        self.session_id: str = session.json()["id"]
        self.id: str = session.json()["kernel"]["id"]
        self._cells: dict[str, Cell] = {}
        self._sending = threading.Lock()
        self._session = uuid.uuid4().hex
        self.messages: list[dict[str, Any]] = []
        self._socket = websocket.create_connection(
            server.url.replace("http", "ws", 1) + f"api/kernels/{self.id}/channels",
            header=[f"Authorization: token {server.token}"],
            timeout=60,
        )
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, name="kernel-reader", daemon=True)
        self._reader.start()
        self.pid = int(self.run("import os; os.getpid()").text)

    def start(self, code: str, *, silent: bool = False) -> Cell:
        """Send a cell and return at once."""
        identifier = uuid.uuid4().hex
        cell = self._cells[identifier] = Cell(code)
        message = {
            "header": {
                "msg_id": identifier,
                "msg_type": "execute_request",
                "session": self._session,
                "username": "test",
                "version": "5.4",
                "date": "2026-01-01T00:00:00Z",
            },
            "parent_header": {},
            "metadata": {},
            "content": {
                "code": code,
                "silent": silent,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": False,
                "stop_on_error": False,
            },
            "channel": "shell",
            "buffers": [],
        }
        with self._sending:
            self._socket.send(json.dumps(message))
        return cell

    def run(self, code: str, *, timeout: float = 60.0, check: bool = True) -> Cell:
        """Run a cell to its end."""
        return self.start(code).wait(timeout, check=check)

    def value(self, expression: str, *, timeout: float = 60.0) -> Any:
        """The value of an expression that JSON can carry."""
        text = self.run(f"__import__('json').dumps({expression})", timeout=timeout).text
        return json.loads(ast.literal_eval(text))

    def interrupt(self) -> None:
        """Press the Interrupt button."""
        self._server.post(f"api/kernels/{self.id}/interrupt", {})

    def kill(self) -> None:
        """``kill -9`` the kernel's process."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the connection and end the kernel; harmless when either is gone."""
        with contextlib.suppress(OSError):  # the server is gone, and its kernels with it
            self._server.delete(f"api/sessions/{self.session_id}")
        self._socket.close()
        self._reader.join(timeout=10)

    def _read(self) -> None:
        while True:
            try:
                text = self._socket.recv()
            except (websocket.WebSocketException, OSError):
                break
            if not text:
                break
            message = json.loads(text)
            self.messages.append(message)
            cell = self._cells.get(message.get("parent_header", {}).get("msg_id", ""))
            if cell is not None:
                cell.take(message["header"]["msg_type"], message["content"])
