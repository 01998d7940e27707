"""Workers: the kernels that execute runs, as the host sees them."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmcell import wire

__all__ = ["Binding", "Worker"]


class Worker:
    """One connected kernel. Belongs to the host's event loop."""

    def __init__(self, hello: wire.Hello, transport: asyncio.Transport) -> None:
        self.hello = hello
        self.kernel_id = hello.kernel_id
        self.notebook = hello.notebook
        self.pid = hello.pid
        self.vitals: wire.Vitals | None = None
        self.heard_at = time.monotonic()
        self.gone = False
        self.verdict = ""  # why the host ended the link, if it did
        self._transport = transport

    def send(self, message: wire.ToWorker) -> None:
        """Queue ``message`` for the kernel; lost without an error when the kernel is gone, as its
        calls are then answered by the loss of the connection."""
        if not self._transport.is_closing():
            self._transport.write(wire.frame(message))

    def heard(self, vitals: wire.Vitals) -> None:
        """The kernel reported on itself."""
        self.vitals, self.heard_at = vitals, time.monotonic()

    def is_kernel_of(self, other: Worker) -> bool:
        """Whether both are links of the same process, one after the other."""
        return (self.kernel_id, self.pid) == (other.kernel_id, other.pid)

    def label(self) -> str:
        """Name the worker for people: its notebook, else its kernel."""
        return self.notebook or f"kernel {self.kernel_id}"

    def end(self, verdict: str) -> None:
        """Let go of the kernel at once; ``verdict`` says why, to any caller."""
        self.verdict = verdict
        self._transport.abort()

    def epitaph(self) -> str:
        """Say what became of a worker whose connection ended. Any caller may read it: no paths."""
        if self.verdict:
            return self.verdict
        state = _process_state(self.pid)
        if state in ("gone", "Z", "X"):
            return f"The kernel (process {self.pid}) died"
        return f"The kernel (process {self.pid}) closed its link"


@dataclass(eq=False)
class Binding:
    """A snapshot held warm by a worker under ``key``, ``since`` a time of the monotonic clock."""

    key: str
    snapshot: int
    worker: Worker
    body: wire.Deploy
    in_flight: int = 0
    retired: bool = False
    has_secrets: bool = field(init=False)  # whether its signature has a place for one
    since: float = field(default_factory=time.monotonic)
    dedicated: bool = False  # the kernel was started by the host, and has no notebook
    used_at: float = 0.0  # when its last call ended, of the monotonic clock
    calls: int = 0  # that were sent to it
    worn: str = ""  # why it is to be replaced
    start_seconds: float | None = None  # from the start of its kernel until it was warm

    @property
    def holds(self) -> tuple[str, int]:
        """The pipeline and the number of its snapshot: a name may serve several pipelines, one
        after the other."""
        return self.body.pipeline, self.snapshot

    @property
    def alive(self) -> bool:
        """Whether calls can be sent to it."""
        return not (self.worker.gone or self.retired)

    def describe(self) -> dict[str, Any]:
        """The binding as the control plane shows a replica; seconds, and ``rss`` in bytes."""
        vitals = self.worker.vitals
        return {
            "snapshot": self.snapshot,
            "served_by": "dedicated" if self.dedicated else "notebook",
            "kernel_id": self.worker.kernel_id,
            "pid": self.worker.pid,
            "in_flight": self.in_flight,
            "runs": self.calls,
            "rss": vitals.rss if vitals else None,
            "start_seconds": self.start_seconds,
            "age_seconds": round(time.monotonic() - self.since, 3),
            "worn": self.worn or None,
        }

    def __post_init__(self) -> None:
        self.has_secrets = b'"writeOnly"' in bytes(self.body.input_schema)  # pydantic's mark


def _process_state(pid: int) -> str:
    """Return the state letter of a process (proc(5)), "gone", or "" where it cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return "gone"
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return "gone"
        except PermissionError:
            pass
        return ""
    except OSError:
        return "gone"
    state, *numbers = stat.rpartition(")")[2].split()
    # A process that is being killed closes its sockets before it counts as dead.
    exiting = int(numbers[5]) & 0x4  # PF_EXITING of its flags
    return "X" if exiting else state
