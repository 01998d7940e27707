"""What the history gets of calls: when they are admitted, while they take long, when they end."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import msgspec

from warmcell import wire
from warmcell.errors import StoreError
from warmcell.ids import now, rfc3339
from warmcell.records import TERMINAL, ErrorInfo, RunEntry, RunRecord, Status
from warmcell.secrets import stands_in
from warmcell_server.calls import Pending, Waiting
from warmcell_server.store import Store
from warmcell_server.tracing import derive

__all__ = ["CallRecords"]

MOST_OWED = 1000  # ends; of those beyond, the oldest stay in flight until this host ends
LARGE = 64 << 10  # bytes of parameters; more is recorded once the worker has described it

_SHOWN = (
    "run_id", "run_name", "pipeline", "deployment", "snapshot", "trigger", "status", "created_at",
    "started_at", "finished_at", "parameters", "outputs", "error", "notebook", "user",
    "traceparent", "origin",
)  # fmt: skip

log = logging.getLogger("warmcell.dispatcher")
_encode = msgspec.json.Encoder().encode


class CallRecords:
    """Writes the calls of one host to its spool."""

    def __init__(self, store: Store, host_id: str) -> None:
        self._store = store
        self._host_id = host_id
        self._owed: deque[bytes] = deque(maxlen=MOST_OWED)

    def admitted(self, call: Waiting, status: Status) -> None:
        """A call whose id somebody is about to get. Raises :class:`StoreError`."""
        self._store.append(RunEntry(self._record(call, status)))

    def running(self, pending: Pending) -> None:
        """A call that takes long; after a crash it is then `lost`."""
        record = self._record(pending.call, "running")
        self._describe(record, pending)
        record.started_at = pending.sent_at
        self._append(record)

    def ended(
        self, pending: Pending, answer: wire.Answer, started_at: int, finished_at: int
    ) -> StoreError | None:
        """A call that a worker executed; returns why it could not be recorded, if so."""
        failed = answer.status == "invalid"
        status: Any = "failed" if failed else answer.status
        record = self._record(pending.call, status, described=answer.parameters is not None)
        self._describe(record, pending)
        record.started_at, record.finished_at = started_at, finished_at
        keeps = pending.deployment.limits.record != "none"
        if answer.parameters is not None and keeps:
            record.parameters = msgspec.Raw(answer.parameters)
        if answer.outputs is not None:
            record.outputs = msgspec.Raw(answer.recorded or answer.outputs)
        if answer.status != "succeeded":  # else it is about the form of the answer alone
            record.error = answer.error
        if answer.errors is not None and answer.error is not None:
            record.error = msgspec.structs.replace(answer.error, errors=answer.errors)
        detail = None if answer.detail is None else msgspec.Raw(answer.detail)
        line = _encode(RunEntry(record, detail))
        try:
            self._store.append_line(line)
        except StoreError as failure:
            log.error("Run %s could not be recorded: %s", record.run_id, failure)
            if pending.shown or pending.call.wanted.kept:
                self._owed.append(line)
            return failure
        return None

    def catch_up(self) -> None:
        """Record the ends that found no room: the history still has those runs in flight."""
        try:
            while self._owed:
                self._store.append_line(self._owed[0])
                self._owed.popleft()
        except StoreError:
            return  # still none; the next look tries again

    def unserved(self, call: Waiting, status: Status, error: ErrorInfo) -> None:
        """A call that never reached a worker."""
        record = self._record(call, status)
        record.finished_at, record.error = now(), error
        self._append(record)

    def live(self, call: Waiting) -> dict[str, Any]:
        """A call in flight, in the form in which the store describes a run."""
        record = self._record(call, "queued" if call.pending is None else "running")
        found: dict[str, Any] = {name: getattr(record, name) for name in _SHOWN}
        found["created_at"] = rfc3339(call.created_at)
        if call.pending is not None:
            found["started_at"] = rfc3339(call.pending.sent_at)
            found["snapshot"] = call.pending.binding.snapshot
        return {
            **found, "duration": None, "steps": [], "artifacts": [], "logs": [], "deliveries": []
        }  # fmt: skip

    def _record(self, call: Waiting, status: Status, *, described: bool = False) -> RunRecord:
        """What is stored of a call. Raw parameters are not where the signature has a secret (that
        which is served, or the one that the call began with) or names are to be redacted, where a
        named secret of this user is in them, nor where nothing is to be recorded: only the worker's
        dump of them has secrets masked, and is there where they are ``described``."""
        deployment, wanted, pending = call.deployment, call.wanted, call.pending
        hidden = (
            described
            or deployment.has_secrets
            or (pending is not None and pending.binding.has_secrets)
            or deployment.limits.record == "none"
            or deployment.limits.redact
            or wanted.content_type is not None
            or len(call.parameters) > LARGE
            or stands_in(call.parameters)
        )
        return RunRecord(
            run_id=call.run_id,
            pipeline=deployment.pipeline,
            status=status,
            created_at=call.created_at,
            trigger=call.trigger,
            run_name=wanted.run_name,
            deployment=deployment.name,
            snapshot=deployment.snapshot,
            parameters=None if hidden else msgspec.Raw(call.parameters),
            notebook=deployment.notebook,
            user=call.user,
            host_id=self._host_id,
            traceparent=wanted.traceparent or derive(call.run_id),
            idempotency_key=wanted.key,
            fingerprint=wanted.fingerprint,
            origin=wanted.origin,
        )

    def _describe(self, record: RunRecord, pending: Pending) -> None:
        binding = pending.binding
        record.pipeline, record.snapshot = binding.body.pipeline, binding.snapshot
        record.kernel_id = binding.worker.kernel_id

    def _append(self, record: RunRecord) -> None:
        try:
            self._store.append(RunEntry(record))
        except StoreError as failure:
            log.error("Run %s could not be recorded: %s", record.run_id, failure)
            if record.status in TERMINAL:
                self._owed.append(_encode(RunEntry(record)))
