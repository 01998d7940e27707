"""A deployment whose runs stay in their step until the test lets them go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.http import Response
from tests.support.jupyter import JupyterServer

CELLS = """\
%load_ext warmcell

import asyncio, pathlib, time
from warmcell import get_step_context, pipeline, step

@step
def stay(gate: str, value: int) -> int:
    pathlib.Path(gate + ".entered").touch()
    while not pathlib.Path(gate).exists():
        time.sleep(0.005)
    return value

@pipeline
def held(gate: str, value: int = 0) -> int:
    return stay(gate, value)

@step
def look(gate: str) -> str:
    pathlib.Path(gate + ".entered").touch()
    try:
        while not get_step_context().cancelled:
            time.sleep(0.005)
        return "cancelled"
    finally:
        pathlib.Path(gate + ".left").touch()

@pipeline
def polite(gate: str) -> str:
    return look(gate)

@step
async def sleep(gate: str) -> str:
    pathlib.Path(gate + ".entered").touch()
    try:
        await asyncio.sleep(600)
    finally:
        pathlib.Path(gate + ".left").touch()

@pipeline
def awaiting(gate: str) -> str:
    return sleep(gate)
"""

PATIENCE = 30.0


class Gate:
    """A place where runs wait; one per test."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gate"

    def parameters(self, **more: Any) -> dict[str, Any]:
        return {"gate": str(self.path), **more}

    def open(self) -> None:
        """Let all runs go, now and later."""
        self.path.touch()

    def entered(self) -> None:
        """Wait until a run has come to the gate."""
        wait_until(self.path.with_name("gate.entered").exists)

    def left(self) -> None:
        """Wait until a run that was stopped has left."""
        wait_until(self.path.with_name("gate.left").exists)


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Look a few times per second; for things that announce themselves by no event."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError(f"It did not happen within {seconds} s.")


def status(server: JupyterServer, name: str, run_id: str) -> dict[str, Any]:
    """The run as a caller sees it."""
    answer = server.get(f"warmcell/{name}/runs/{run_id}")
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(server: JupyterServer, name: str, run_id: str) -> dict[str, Any]:
    """Wait for the end of a run and return it."""
    found: dict[str, Any] = {}

    def over() -> bool:
        nonlocal found
        found = status(server, name, run_id)
        return found["status"] not in ("queued", "running")

    wait_until(over)
    return found


def submit(server: JupyterServer, name: str, parameters: Any, **envelope: Any) -> str:
    """Start a run that belongs to the server and return its id."""
    body = {"parameters": parameters, "async": True, **envelope}
    answer: Response = server.post(f"warmcell/{name}/invoke", body)
    assert answer.status == 202, answer.text
    return str(answer.json()["run_id"])
