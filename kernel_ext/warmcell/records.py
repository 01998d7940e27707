"""What is kept of a run, as typed records.

A worker makes them, the host appends them to the spool as JSON lines, the store turns them into
rows. Times are integers: microseconds since the epoch, UTC. New fields go last and have a default,
so that an old spool still loads.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Status: TypeAlias = Literal[
    "queued", "running", "succeeded", "failed", "cancelled", "timed_out", "lost"
]
StepStatus: TypeAlias = Literal[
    "running", "succeeded", "failed", "cancelled", "timed_out", "skipped", "lost"
]
TERMINAL: frozenset[str] = frozenset({"succeeded", "failed", "cancelled", "timed_out", "lost"})


class ErrorInfo(msgspec.Struct, omit_defaults=True):
    """Why a run or a step did not succeed."""

    type: str
    message: str
    step: str | None = None
    traceback: str | None = None
    hint: str | None = None
    errors: list[dict[str, str]] | None = None  # of parameters: pointer, message, type


class RunRecord(msgspec.Struct, omit_defaults=True):
    """One run in one state. A later record of the same ``run_id`` replaces an earlier one."""

    run_id: str
    pipeline: str
    status: Status
    created_at: int
    trigger: str = "cell"
    run_name: str | None = None
    deployment: str | None = None
    snapshot: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    parameters: msgspec.Raw | None = None
    outputs: msgspec.Raw | None = None
    error: ErrorInfo | None = None
    notebook: str | None = None
    kernel_id: str | None = None
    user: str | None = None
    host_id: str | None = None
    traceparent: str | None = None  # W3C Trace Context of the call
    idempotency_key: str | None = None  # digest of principal, deployment and key
    fingerprint: str | None = None  # digest of the body that came with the key
    origin: str | None = None  # the run that this one repeats: of a rerun, a shadow, a replay


class StepRecord(msgspec.Struct, array_like=True):
    """One step run. ``inputs`` maps a parameter to where its value came from: ``"$customer"`` for
    a pipeline parameter, ``"features.output"`` for a step's output, ``"="`` for a literal."""

    step: str
    index: int
    status: StepStatus
    started_at: int | None = None
    finished_at: int | None = None
    attempts: int = 1
    upstream: tuple[str, ...] = ()
    inputs: dict[str, str] = {}
    error: ErrorInfo | None = None
    cached: str | None = None  # the run whose results were taken again
    uncached: str | None = None  # why they were not, where they might have been


class ArtifactRecord(msgspec.Struct, array_like=True):
    """One named output of a step run. ``value`` is its JSON form where that is small."""

    step: str
    name: str
    kind: str
    type: str
    size: int | None = None
    digest: str | None = None
    preview: str | None = None
    value: msgspec.Raw | None = None
    version: str | None = None  # id of the artifact version, where one is kept


class VersionRecord(msgspec.Struct, omit_defaults=True):
    """One artifact version: a stored value. ``id`` is a UUIDv7 of whoever made it; the store
    numbers it. ``value`` is its JSON where that is small, else ``files`` are in the folder of
    blobs. A later record of the same ``id`` replaces what it says."""

    id: str
    artifact: str
    kind: str
    type: str
    status: str  # pending | stored | lost | refused: reason
    created_at: int
    version: str | None = None
    run_id: str | None = None
    step: str | None = None
    name: str | None = None
    pipeline: str | None = None
    role: str | None = None
    size: int | None = None
    digest: str | None = None
    value: msgspec.Raw | None = None
    files: list[FileRecord] = []
    facts: dict[str, object] = {}
    about: dict[str, object] = {}
    tags: list[str] = []
    user: str | None = None


class FileRecord(msgspec.Struct):
    """One file of an artifact version: its name in it, the blob that has it, its bytes."""

    name: str
    blob: str
    size: int


class UseRecord(msgspec.Struct, omit_defaults=True):
    """A run takes the artifact version ``version`` (an id) as ``input`` of a step, or of itself."""

    run_id: str
    input: str
    version: str
    time: int
    step: str | None = None


class MetadataRecord(msgspec.Struct, omit_defaults=True):
    """Something that was logged about ``kind`` "run", "step" (``subject``: run id, slash, name),
    "artifact_version" or "model_version"."""

    kind: str
    subject: str
    key: str
    value: msgspec.Raw
    type: str
    time: int
    run_id: str | None = None
    step: str | None = None


class TagRecord(msgspec.Struct, omit_defaults=True):
    """A tag was put on a subject, or with ``remove`` taken from it. What it says of the tag itself
    counts where nobody knew that tag before."""

    tag: str
    kind: str
    subject: str
    time: int
    color: str | None = None
    exclusive: bool | None = None
    cascade: bool | None = None
    remove: bool = False
    run_id: str | None = None  # that said so
    user: str | None = None


class CacheRecord(msgspec.Struct, omit_defaults=True):
    """A step's results that may be taken again by whoever has the same ``key``. ``parts`` are what
    went into that, ``outputs`` the :class:`ArtifactRecord` of each, as JSON and without values."""

    key: str
    run_id: str
    step: str
    pipeline: str
    versions: list[str]
    outputs: msgspec.Raw
    parts: dict[str, str]
    created_at: int
    expires_at: int | None = None


class CodeRecord(msgspec.Struct):
    """What a run without a snapshot was made of: a list of ``name``, ``kind``, ``source`` and
    ``cell``, as JSON. ``digest`` is of that text, so that it is kept once."""

    digest: str
    source: msgspec.Raw


class LogRecord(msgspec.Struct, array_like=True):
    """One piece of captured output. ``stream`` is stdout, stderr, log or display."""

    time: int
    stream: str
    text: str
    step: str | None = None
    level: str | None = None


class RunDetail(msgspec.Struct, omit_defaults=True):
    """The parts of a run. Several details of one run add up; a step record replaces an earlier
    one of the same ``index``."""

    steps: list[StepRecord] = []
    artifacts: list[ArtifactRecord] = []
    logs: list[LogRecord] = []
    versions: list[VersionRecord] = []
    uses: list[UseRecord] = []
    metadata: list[MetadataRecord] = []
    tags: list[TagRecord] = []
    cache: list[CacheRecord] = []
    code: list[CodeRecord] = []


class SnapshotRecord(msgspec.Struct, omit_defaults=True):
    """One snapshot of a pipeline. ``digest`` is its identity; ``number`` counts per pipeline."""

    pipeline: str
    number: int
    digest: str
    created_at: int
    input_schema: msgspec.Raw
    output_schema: msgspec.Raw
    source: str = ""  # JSON text: [{"name", "kind", "source", "cell"}]
    notes: list[str] = []
    held: msgspec.Raw | None = None  # JSON: [{"name", "by": "copy"|"reference", "size", ...}]
    environment: msgspec.Raw | None = None
    settings: msgspec.Raw | None = None
    notebook: str | None = None
    user: str | None = None
    stored: str = "pending"  # pending | stored | refused: reason
    manifest: msgspec.Raw | None = None  # where the stored form's bytes are
    note: str | None = None  # what its author said when it was deployed


class DeploymentRecord(msgspec.Struct, omit_defaults=True):
    """A name, and the snapshot that it serves. ``state``: serving | restoring | resting |
    detached | removed."""

    name: str
    pipeline: str
    snapshot: int
    state: str
    created_at: int
    updated_at: int
    host_id: str
    settings: msgspec.Raw | None = None
    notebook: str | None = None
    user: str | None = None
    traffic: msgspec.Raw | None = None  # how calls are shared between snapshots, unless all to one
    endpoints: msgspec.Raw | None = None  # its custom endpoints, known before they are restored


class DeliveryRecord(msgspec.Struct, omit_defaults=True):
    """The delivery of a run's end to its ``callback_url``. A later record of the same
    ``delivery_id`` replaces an earlier one. ``status``: pending | delivered | failed | refused."""

    delivery_id: str  # the webhook-id, the same in all attempts
    run_id: str
    deployment: str
    url: str
    status: str
    created_at: int
    updated_at: int
    attempts: int = 0
    next_at: int | None = None
    response: int | None = None  # HTTP status of the last attempt
    error: str | None = None
    host_id: str | None = None


class AuditRecord(msgspec.Struct, omit_defaults=True):
    """Something that somebody did to who may do what: ``event`` such as "key.created"."""

    time: int
    event: str
    subject: str
    deployment: str | None = None
    user: str | None = None
    detail: msgspec.Raw | None = None


# -- spool lines -----------------------------------------------------------------------------


class RunEntry(msgspec.Struct, tag_field="entry", tag="run", omit_defaults=True):
    """A state of a run, with the parts that are new."""

    run: RunRecord
    detail: msgspec.Raw | None = None  # JSON of RunDetail, opaque to the host


class DetailEntry(msgspec.Struct, tag_field="entry", tag="detail"):
    """New parts of a run that goes on."""

    run_id: str
    detail: msgspec.Raw


class SnapshotEntry(msgspec.Struct, tag_field="entry", tag="snapshot"):
    """A snapshot, new or changed (its stored form was written)."""

    snapshot: SnapshotRecord


class DeploymentEntry(msgspec.Struct, tag_field="entry", tag="deployment"):
    """A deployment, new or changed."""

    deployment: DeploymentRecord


class DeliveryEntry(msgspec.Struct, tag_field="entry", tag="delivery"):
    """A delivery, new or changed."""

    delivery: DeliveryRecord


class AuditEntry(msgspec.Struct, tag_field="entry", tag="audit"):
    """A line of the audit."""

    audit: AuditRecord


Entry: TypeAlias = (
    RunEntry | DetailEntry | SnapshotEntry | DeploymentEntry | DeliveryEntry | AuditEntry
)
