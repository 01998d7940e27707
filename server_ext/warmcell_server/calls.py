"""Calls of a deployment: waiting for a place, executed by a worker, ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from warmcell.records import ErrorInfo
from warmcell_server.workers import Binding

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment

__all__ = ["CallResult", "Pending", "Waiting"]


class CallResult(msgspec.Struct):
    """How a call ended. ``status`` is a terminal one, or "invalid" when the parameters do not fit
    the signature. ``outputs`` and ``parameters`` are JSON; ``execution_time`` is in seconds."""

    run_id: str
    run_name: str | None
    status: str
    outputs: bytes | None
    parameters: bytes | None
    error: ErrorInfo | None
    errors: list[dict[str, str]] | None
    execution_time: float
    deployment: str
    pipeline: str
    snapshot: int
    snapshot_id: str


@dataclass(eq=False, slots=True)
class Waiting:
    """A call that was admitted. ``deadline`` and ``created_at`` are microseconds, UTC."""

    run_id: str
    run_name: str | None
    parameters: bytes
    user: str | None
    trigger: str
    created_at: int
    deadline: int
    future: asyncio.Future[CallResult]


@dataclass(eq=False, slots=True)
class Pending:
    """A call that a worker executes; ``shown`` once the history has it as running."""

    call: Waiting
    deployment: Deployment
    binding: Binding
    sent_at: int
    shown: bool = False
