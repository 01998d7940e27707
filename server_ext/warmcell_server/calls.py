"""Calls of a deployment: waiting for a place, executed by a worker, ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.records import ErrorInfo
from warmcell_server.workers import Binding

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment

__all__ = ["PLAIN", "CallResult", "Pending", "Waiting", "Wanted", "heard", "invoke_message"]


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a caller wants beside a run of these parameters; times in seconds.

    ``detached``: the run belongs to the server, whoever goes away. ``stream``: somebody listens to
    its events. ``plain``: it is kept without its steps and their outputs. ``key`` and
    ``fingerprint`` are digests of an Idempotency-Key and of its body.
    ``snapshot`` of ``pipeline`` is the one to run on, whatever is served; ``origin`` the run that
    this one repeats.
    ``content_type``, ``query``, ``file``, ``accept`` and ``headers``: see
    :class:`warmcell.wire.Invoke`.
    """

    run_name: str | None = None
    timeout: float | None = None
    queue_timeout: float | None = None
    run_timeout: float | None = None
    detached: bool = False
    stream: bool = False
    plain: bool = False
    callback_url: str | None = None
    key: str | None = None
    fingerprint: str | None = None
    traceparent: str | None = None
    content_type: str | None = None
    query: dict[str, str] | None = None
    file: str | None = None
    accept: str | None = None
    headers: dict[str, str] | None = None
    snapshot: int | None = None
    pipeline: str | None = None
    origin: str | None = None

    @property
    def kept(self) -> bool:
        """Whether the run has to be in the history before its caller hears of it, whatever the
        deployment records: somebody will ask for it by its id or its key, or is told of it."""
        return self.detached or self.key is not None or self.callback_url is not None


PLAIN = Wanted()


class CallResult(msgspec.Struct):
    """How a call ended. ``status`` is a terminal one, or "invalid" when the parameters do not fit
    the signature. ``outputs`` and ``parameters`` are JSON; ``execution_time`` is in seconds,
    ``queued`` and the times of ``steps`` are in microseconds. ``body`` of ``content_type`` is what
    a caller gets who did not want JSON."""

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
    queued: int = 0
    steps: list[tuple[str, int]] = []
    body: bytes | None = None
    content_type: str | None = None
    http_status: int = 0
    headers: dict[str, str] | None = None


@dataclass(eq=False, slots=True)
class Waiting:
    """A call that was admitted. Times are microseconds, UTC; a deadline of 0 never comes.

    ``deadline`` is for the whole call, ``queue_deadline`` for its beginning, ``run_limit`` for the
    time from its beginning.
    """

    run_id: str
    parameters: bytes
    user: str | None
    trigger: str
    wanted: Wanted
    deployment: Deployment
    created_at: int
    deadline: int
    queue_deadline: int
    run_limit: int
    future: asyncio.Future[CallResult]
    pending: Pending | None = None
    snapshot: int | None = None  # the one to run on, where that is not what is served
    shadow: bool = False  # nobody waits for it, and its answer is only compared
    again: bool = False  # its worker went away, and it is sent once more


@dataclass(eq=False, slots=True)
class Pending:
    """A call that a worker executes; ``shown`` once the history has it as running."""

    number: int
    call: Waiting
    deployment: Deployment
    binding: Binding
    sent_at: int
    deadline: int
    shown: bool = False


def heard(future: asyncio.Future[Any]) -> None:
    """For a future that nobody may ask: asyncio need not say that its error was not."""
    if not future.cancelled():
        future.exception()


def invoke_message(pending: Pending) -> wire.Invoke:
    """What the worker is sent to execute a call."""
    call, limits = pending.call, pending.deployment.limits
    wanted, deadline = call.wanted, pending.deadline
    message = wire.Invoke(
        pending.number,
        pending.binding.key,
        call.run_id,
        call.parameters,
        (deadline - pending.sent_at) / 1_000_000 if deadline else None,
        limits.record != "none" and not wanted.plain,
        wanted.run_name,
        pending.deployment.name,
    )
    if limits.record != "all" and not wanted.kept:
        message.fleeting = True
    message.traceparent = wanted.traceparent
    if limits.redact:
        message.redact = limits.redact
    if limits.artifacts:
        message.artifacts = limits.artifacts
        message.enable_cache = limits.enable_cache
    if wanted is not PLAIN:
        message.stream = wanted.stream or wanted.detached
        message.content_type, message.query = wanted.content_type, wanted.query
        message.file, message.accept = wanted.file, wanted.accept
        message.headers, message.user = wanted.headers, call.user
    return message
