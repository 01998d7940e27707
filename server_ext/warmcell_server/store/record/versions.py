"""Artifact versions: numbered as they come in, found by name, number, label or alias."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, NotFound, QueryError
from warmcell.records import TagRecord, VersionRecord
from warmcell_server.store.spooled import SpooledVersion

from .finding import DELETED
from .tags import put_tags

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = [
    "CHANGES",
    "VERSION_COLUMNS",
    "lose_versions",
    "lose_versions_of",
    "put_version",
    "put_versions",
    "sign_version",
]

VERSION_COLUMNS = (
    "id", "artifact", "number", "version", "run_id", "step", "name", "pipeline", "kind", "type",
    "role", "size", "digest", "value", "files", "facts", "about", "status", "created_at", "user",
    "host_id",
)  # fmt: skip

_SIGNATURES = 30  # of other people, that a version keeps

_encode = msgspec.json.Encoder().encode


def put_versions(
    connection: DuckDBPyConnection, records: Iterable[VersionRecord], host_id: str
) -> None:
    """Store versions. A new one gets the next number of its artifact, in the order in which they
    come; one that is known keeps its number and its label, and one that was deleted stays so."""
    found = {record.id: record for record in records}
    known: dict[str, tuple[int, str, str]] = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT id, number, version, status FROM data.artifact_versions "
            "WHERE id IN (SELECT unnest(?::VARCHAR[]))",
            [list(found)],
        ).fetchall()
    }
    names = {record.artifact for record in found.values() if record.id not in known}
    last: dict[str, int] = dict(
        connection.execute(
            "SELECT artifact, max(number) FROM data.artifact_versions "
            "WHERE artifact IN (SELECT unnest(?::VARCHAR[])) GROUP BY artifact",
            [list(names)],
        ).fetchall()
    )
    rows = []
    for record in found.values():
        if record.id in known:
            number, version, status = known[record.id]
            if status == DELETED or (status == "stored" and record.status == "pending"):
                continue
        else:
            number = last[record.artifact] = last.get(record.artifact, 0) + 1
            version = record.version or str(number)
        rows.append(_row(record, number, version, host_id))
    if rows:
        with connection.appender("data.artifact_versions", action="upsert") as appender:
            appender.append_rows(rows)
    tags = [
        TagRecord(tag, "artifact_version", record.id, record.created_at, user=record.user,
                  run_id=record.run_id)
        for record in found.values() if record.id not in known for tag in record.tags
    ]  # fmt: skip
    if tags:
        put_tags(connection, tags)


def put_version(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Store one version that no run made: ``record`` is the JSON of a :class:`VersionRecord`,
    ``host_id`` whose it is. Returns its ``id``, ``number`` and ``version``.

    Raises :class:`Conflict` for a label that the artifact has already, and for an id that has
    another content; :class:`QueryError` for what is no record.
    """
    try:
        record = msgspec.json.decode(request["record"], type=SpooledVersion)
    except (msgspec.DecodeError, KeyError) as error:
        raise QueryError(f"This is no artifact version: {error}.") from error
    if record.version is not None:
        taken = connection.execute(
            "SELECT count(*) FROM data.artifact_versions "
            "WHERE artifact = ? AND version = ? AND id <> ? AND status <> ?",
            [record.artifact, record.version, record.id, DELETED],
        ).fetchall()[0][0]
        if taken:
            raise Conflict(
                f"Artifact '{record.artifact}' has a version '{record.version}' already.",
                hint="Leave the version out to get the next number, or choose another one.",
            )
    other = connection.execute(
        "SELECT artifact, version FROM data.artifact_versions "
        "WHERE id = ? AND (artifact <> ? OR digest IS DISTINCT FROM ?)",
        [record.id, record.artifact, record.digest],
    ).fetchall()
    if other:
        raise Conflict(
            f"Version {other[0][1]} of artifact '{other[0][0]}' has the id {record.id} already.",
            hint="What is stored never changes: save it as a new version.",
        )
    put_versions(connection, [record], str(request.get("host_id") or ""))
    number, version = connection.execute(
        "SELECT number, version FROM data.artifact_versions WHERE id = ?", [record.id]
    ).fetchall()[0]
    return {"id": record.id, "number": number, "version": version}


def sign_version(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Add a signature to a version's ``about``: ``id``, ``signature``. Of many the newest stay.
    Raises :class:`NotFound`."""
    identifier, signature = str(request["id"]), str(request["signature"])
    rows = connection.execute(
        "SELECT about FROM data.artifact_versions WHERE id = ? AND status <> ?",
        [identifier, DELETED],
    ).fetchall()
    if not rows:
        raise NotFound(f"There is no artifact version {identifier!r}.")
    about: dict[str, Any] = msgspec.json.decode(rows[0][0] or "{}")
    given = about.get("signature")
    others = given if isinstance(given, list) else [given] if given else []
    kept = [one for one in others if one != signature][-_SIGNATURES:]
    about["signature"] = [*kept, signature]
    connection.execute(
        "UPDATE data.artifact_versions SET about = ? WHERE id = ?", [_json(about), identifier]
    )
    return {"id": identifier, "signatures": len(about["signature"])}


def lose_versions(connection: DuckDBPyConnection, alive: Callable[[str], bool]) -> None:
    """Mark as lost what hosts that are dead were still writing."""
    hosts = connection.execute(
        "SELECT DISTINCT host_id FROM data.artifact_versions WHERE status = 'pending'"
    ).fetchall()
    dead = [host for (host,) in hosts if not host or not alive(host)]
    if dead:
        connection.execute(
            "UPDATE data.artifact_versions SET status = 'lost' WHERE status = 'pending' "
            "AND coalesce(host_id, '') IN (SELECT coalesce(unnest(?::VARCHAR[]), ''))",
            [dead],
        )


def lose_pending(connection: DuckDBPyConnection, request: dict[str, Any]) -> int:
    """Mark as lost what kernels of the host ``host_id`` were writing, as one of them has died, and
    return how many there were. What another one still writes is stored when it is whole."""
    return len(
        connection.execute(
            "UPDATE data.artifact_versions SET status = 'lost' "
            "WHERE status = 'pending' AND host_id = ? RETURNING id",
            [str(request["host_id"])],
        ).fetchall()
    )


def lose_versions_of(connection: DuckDBPyConnection, runs: Collection[str]) -> None:
    """Mark as lost what the kernels of lost runs were still writing."""
    connection.execute(
        "UPDATE data.artifact_versions SET status = 'lost' WHERE status = 'pending' "
        "AND run_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(runs)],
    )


def _row(record: VersionRecord, number: int, version: str, host_id: str) -> list[Any]:
    value = bytes(record.value or b"")
    return [
        record.id, record.artifact, number, version, record.run_id, record.step, record.name,
        record.pipeline, record.kind, record.type, record.role, record.size, record.digest,
        value.decode("utf-8", "replace") if value not in (b"", b"null") else None,
        _json(record.files), _json(record.facts), _json(record.about), record.status,
        record.created_at, record.user, host_id,
    ]  # fmt: skip


def _json(value: Any) -> str | None:
    return _encode(value).decode() if value else None


CHANGES = {
    "lose_pending": lose_pending,
    "put_version": put_version,
    "sign_version": sign_version,
}
