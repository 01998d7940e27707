"""What can be asked of a store, typed: the same for the owner itself and over a peer's socket.

Each operation is safe to repeat, because a joined host repeats what was under way when the owner
went away.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

__all__ = [
    "AddSnapshot",
    "Change",
    "Claim",
    "Export",
    "Flush",
    "GetRun",
    "GetSnapshot",
    "IdempotencyKeys",
    "Import",
    "ListDeployments",
    "ListRuns",
    "ListSnapshots",
    "Operation",
    "Prune",
    "Query",
    "Read",
    "TakeDeliveries",
    "Usage",
]


class ListRuns(msgspec.Struct, tag="list_runs", omit_defaults=True, forbid_unknown_fields=True):
    """Runs, newest first. ``before`` is the id of the last run of the page before; ``since`` and
    ``until`` are microseconds or RFC 3339; several statuses or triggers are joined by commas;
    ``text`` is looked for in names, parameters and errors; ``tag`` is one that they have, or
    several with commas between them, see :func:`.record.tags.tag_condition`."""

    limit: int = 50
    offset: int = 0
    before: str | None = None
    pipeline: str | None = None
    deployment: str | None = None
    snapshot: int | None = None
    status: str | None = None
    trigger: str | None = None
    since: int | str | None = None
    until: int | str | None = None
    text: str | None = None
    tag: str | None = None


class GetRun(msgspec.Struct, tag="get_run"):
    """One run with its parts."""

    run_id: str


class Query(msgspec.Struct, tag="sql"):
    """A user's SQL. ``limit`` is in rows, ``timeout`` in seconds."""

    query: str
    limit: int
    timeout: float


class ListSnapshots(msgspec.Struct, tag="list_snapshots"):
    """Snapshots, newest first."""

    pipeline: str | None = None


class GetSnapshot(msgspec.Struct, tag="get_snapshot"):
    """One snapshot."""

    pipeline: str
    number: int


class ListDeployments(msgspec.Struct, tag="deployments"):
    """All deployments with their holders."""


class AddSnapshot(msgspec.Struct, tag="add_snapshot"):
    """A snapshot that may be new: JSON of a ``SnapshotRecord``."""

    snapshot: msgspec.Raw


class Claim(msgspec.Struct, tag="claim"):
    """A name for the host of ``deployment``, JSON of a ``DeploymentRecord``; ``label`` and
    ``url`` are that host's. With ``overtake`` also from another notebook."""

    deployment: msgspec.Raw
    label: str
    url: str
    overtake: bool = False


class Read(msgspec.Struct, tag="read"):
    """A question about the record: ``name`` is one of :data:`.record.READS`."""

    name: str
    request: dict[str, Any]


class Change(msgspec.Struct, tag="change"):
    """A change of the record: ``name`` is one of :data:`.record.CHANGES`."""

    name: str
    request: dict[str, Any]


class Flush(msgspec.Struct, tag="flush"):
    """Commit everything that is spooled by now."""


class Prune(msgspec.Struct, tag="prune"):
    """Delete old runs and blobs that nothing refers to; see :func:`.retention.prune`."""

    max_age_days: float | None = None
    max_bytes: int | None = None
    max_runs: int | None = None
    pipeline: str | None = None
    deployment: str | None = None
    dry_run: bool = False


class Export(msgspec.Struct, tag="export"):
    """All of the store as Parquet in the folder ``to``; see :func:`.exporting.export`."""

    to: str | None = None
    blobs: bool = True


class Import(msgspec.Struct, tag="import"):
    """What is new in an export, or in another store; see :mod:`.importing`."""

    source: str


class IdempotencyKeys(msgspec.Struct, tag="idempotency_keys"):
    """The keys that made runs since then, in microseconds; of one deployment or of all."""

    since: int
    deployment: str | None = None


class TakeDeliveries(msgspec.Struct, tag="take_deliveries"):
    """Callbacks that ``host_id`` has to deliver until then (microseconds), with those of hosts
    that died; at most ``limit``, and ``each`` per receiver."""

    host_id: str
    until: int
    limit: int
    each: int


class Usage(msgspec.Struct, tag="usage"):
    """How much there is."""


Operation: TypeAlias = (
    ListRuns
    | GetRun
    | Query
    | ListSnapshots
    | GetSnapshot
    | ListDeployments
    | AddSnapshot
    | Claim
    | Read
    | Change
    | Flush
    | Prune
    | Export
    | Import
    | IdempotencyKeys
    | TakeDeliveries
    | Usage
)
