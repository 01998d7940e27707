"""Spool lines become rows: decoding, and folding several records of one run into one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from warmcell.records import (
    TERMINAL,
    ArtifactRecord,
    CacheRecord,
    DeliveryEntry,
    DeliveryRecord,
    DeploymentRecord,
    DetailEntry,
    ErrorInfo,
    LogRecord,
    MetadataRecord,
    RunRecord,
    SnapshotRecord,
    StepRecord,
    TagRecord,
    VersionRecord,
)

from .spooled import (
    SpooledAudit,
    SpooledAuditEntry,
    SpooledDetail,
    SpooledEntry,
    SpooledRunEntry,
    SpooledSnapshotEntry,
)

__all__ = [
    "DEPLOYMENT_COLUMNS",
    "RUN_COLUMNS",
    "SNAPSHOT_COLUMNS",
    "Batch",
    "Row",
    "deployment_row",
    "merge_runs",
    "metadata_row",
    "snapshot_row",
]

Row: TypeAlias = list[Any]

RUN_COLUMNS = (
    "run_id", "run_name", "pipeline", "deployment", "snapshot", "trigger", "status", "created_at",
    "started_at", "finished_at", "parameters", "outputs", "error", "notebook", "kernel_id", "user",
    "host_id", "traceparent", "idempotency_key", "fingerprint", "origin",
)  # fmt: skip
SNAPSHOT_COLUMNS = (
    "pipeline", "number", "digest", "created_at", "input_schema", "output_schema", "source",
    "notes", "held", "environment", "settings", "notebook", "user", "stored", "manifest", "note",
)  # fmt: skip
DEPLOYMENT_COLUMNS = (
    "name", "pipeline", "snapshot", "state", "created_at", "updated_at", "host_id", "settings",
    "notebook", "user", "holder_label", "holder_url", "traffic",
    "endpoints",
)  # fmt: skip

_STATUS = RUN_COLUMNS.index("status")
_CREATED = RUN_COLUMNS.index("created_at")

_entries = msgspec.json.Decoder(SpooledEntry)
_details = msgspec.json.Decoder(SpooledDetail)
_encoder = msgspec.json.Encoder()


@dataclass
class Batch:
    """The rows of some spool lines, ready for the tables.

    A later record of a run, a step or an artifact has replaced an earlier one of the same batch.
    """

    runs: dict[str, Row] = field(default_factory=dict)
    steps: dict[tuple[str, int], Row] = field(default_factory=dict)
    artifacts: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    logs: list[Row] = field(default_factory=list)
    versions: dict[str, VersionRecord] = field(default_factory=dict)
    uses: list[Row] = field(default_factory=list)
    metadata: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    tags: list[TagRecord] = field(default_factory=list)
    cache: dict[str, CacheRecord] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    run_code: list[Row] = field(default_factory=list)
    snapshots: list[SnapshotRecord] = field(default_factory=list)
    deployments: list[DeploymentRecord] = field(default_factory=list)
    deliveries: dict[str, Row] = field(default_factory=dict)
    audit: list[Row] = field(default_factory=list)

    def add(self, line: bytes, host_id: str) -> None:
        """Add what a line says. ``host_id`` is whose spool it stands in.

        Raises :class:`msgspec.DecodeError` or :class:`RecursionError` for a line that is no
        record; the batch is as before then.
        """
        entry = _entries.decode(line)
        if isinstance(entry, SpooledRunEntry):
            detail = _detail(entry.detail)
            row = _run_row(entry.run, host_id)
            earlier = self.runs.get(row[0])
            self.runs[row[0]] = row if earlier is None else merge_runs(earlier, row)
            if detail is not None:
                self._add_detail(row[0], detail)
        elif isinstance(entry, DetailEntry):
            detail = _detail(entry.detail)
            if detail is not None:
                self._add_detail(entry.run_id, detail)
        elif isinstance(entry, SpooledSnapshotEntry):
            self.snapshots.append(entry.snapshot)
        elif isinstance(entry, DeliveryEntry):
            self.deliveries[entry.delivery.delivery_id] = _delivery_row(entry.delivery, host_id)
        elif isinstance(entry, SpooledAuditEntry):
            self.audit.append(_audit_row(entry.audit))
        else:
            self.deployments.append(entry.deployment)

    def _add_detail(self, run_id: str, detail: SpooledDetail) -> None:
        for step in detail.steps:
            self.steps[run_id, step.index] = _step_row(run_id, step)
        for artifact in detail.artifacts:
            key = run_id, artifact.step, artifact.name
            self.artifacts[key] = _artifact_row(run_id, artifact)
        for log in detail.logs:
            self.logs.append(_log_row(run_id, log))
        for version in detail.versions:
            self.versions[version.id] = version
        for use in detail.uses:
            self.uses.append([use.run_id, use.step, use.input, use.version, use.time])
        for one in detail.metadata:
            self.metadata[one.kind, one.subject, one.key] = metadata_row(one)
        self.tags += detail.tags
        for code in detail.code:
            self.code[code.digest] = _json(code.source) or "[]"
            self.run_code.append([run_id, code.digest])
        for made in detail.cache:
            self.cache[made.key] = made


def merge_runs(earlier: Row, later: Row) -> Row:
    """Return the row of a run of which two records are known.

    The later one counts, except that nothing unsaid wipes what was said, that a run which ended
    does not start again, and that ``lost`` is no better than any other end.
    """
    before, after = earlier[_STATUS], later[_STATUS]
    if before in TERMINAL and (after not in TERMINAL or after == "lost"):
        earlier, later = later, earlier
    merged = [old if new is None else new for old, new in zip(earlier, later, strict=True)]
    merged[_CREATED] = min(earlier[_CREATED], later[_CREATED])
    if later[_STATUS] == "succeeded":
        merged[RUN_COLUMNS.index("error")] = None
    return merged


def snapshot_row(record: SnapshotRecord) -> Row:
    """Return the values of :data:`SNAPSHOT_COLUMNS`."""
    return [
        record.pipeline, record.number, record.digest, record.created_at,
        _json(record.input_schema), _json(record.output_schema), record.source,
        _encoder.encode(record.notes).decode(), _json(record.held), _json(record.environment),
        _json(record.settings), record.notebook, record.user, record.stored,
        _json(record.manifest), record.note,
    ]  # fmt: skip


def deployment_row(record: DeploymentRecord, label: str | None, url: str | None) -> Row:
    """Return the values of :data:`DEPLOYMENT_COLUMNS`; ``label`` and ``url`` are the holder's."""
    return [
        record.name, record.pipeline, record.snapshot, record.state, record.created_at,
        record.updated_at, record.host_id, _json(record.settings), record.notebook, record.user,
        label, url, _json(record.traffic), _json(record.endpoints),
    ]  # fmt: skip


def _run_row(run: RunRecord, host_id: str) -> Row:
    return [
        run.run_id, run.run_name, run.pipeline, run.deployment, run.snapshot, run.trigger,
        run.status, run.created_at, run.started_at, run.finished_at, _json(run.parameters),
        _json(run.outputs), _error(run.error), run.notebook, run.kernel_id, run.user,
        run.host_id or host_id, run.traceparent, run.idempotency_key, run.fingerprint, run.origin,
    ]  # fmt: skip


def _step_row(run_id: str, step: StepRecord) -> Row:
    return [
        run_id, step.index, step.step, step.status, step.started_at, step.finished_at,
        step.attempts, _encoder.encode(step.upstream).decode() if step.upstream else "[]",
        _encoder.encode(step.inputs).decode() if step.inputs else "{}", _error(step.error),
        step.cached, step.uncached,
    ]  # fmt: skip


def _artifact_row(run_id: str, artifact: ArtifactRecord) -> Row:
    return [
        run_id, artifact.step, artifact.name, artifact.kind, artifact.type, artifact.size,
        artifact.digest, artifact.preview, _json(artifact.value), artifact.version,
    ]  # fmt: skip


def metadata_row(one: MetadataRecord) -> Row:
    """Return the columns of data.metadata."""
    return [
        one.kind, one.subject, one.key, _json(one.value), one.type, one.time, one.run_id, one.step,
    ]  # fmt: skip


def _log_row(run_id: str, log: LogRecord) -> Row:
    return [run_id, log.time, log.stream, log.text, log.step, log.level]


def _delivery_row(delivery: DeliveryRecord, host_id: str) -> Row:
    return [
        delivery.delivery_id, delivery.run_id, delivery.deployment, delivery.url, delivery.status,
        delivery.created_at, delivery.updated_at, delivery.attempts, delivery.next_at,
        delivery.response, delivery.error, delivery.host_id or host_id,
    ]  # fmt: skip


def _audit_row(audit: SpooledAudit) -> Row:
    return [
        audit.time, audit.event, audit.subject, audit.deployment, audit.user, _json(audit.detail),
    ]  # fmt: skip


def _detail(raw: msgspec.Raw) -> SpooledDetail | None:
    data = bytes(raw)
    return None if data in (b"", b"null") else _details.decode(data)


def _json(raw: msgspec.Raw | None) -> str | None:
    data = b"" if raw is None else bytes(raw)
    if data in (b"", b"null"):
        return None
    # A record's JSON was checked for form, not for its characters: better odd than lost.
    return data.decode("utf-8", "replace")


def _error(error: ErrorInfo | None) -> str | None:
    return None if error is None else _encoder.encode(error).decode()
