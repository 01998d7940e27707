"""Artifact versions: numbered as they come in, found by name, number, label or alias."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.records import VersionRecord

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["VERSION_COLUMNS", "put_versions"]

VERSION_COLUMNS = (
    "id", "artifact", "number", "version", "run_id", "step", "name", "pipeline", "kind", "type",
    "role", "size", "digest", "value", "files", "facts", "about", "status", "created_at", "user",
    "host_id",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode


def put_versions(
    connection: DuckDBPyConnection, records: Iterable[VersionRecord], host_id: str
) -> None:
    """Store versions. A new one gets the next number of its artifact, in the order in which they
    come; one that is known keeps its number and its label."""
    found = {record.id: record for record in records}
    known = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT id, number, version FROM data.artifact_versions "
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
            number, version = known[record.id]
        else:
            number = last[record.artifact] = last.get(record.artifact, 0) + 1
            version = record.version or str(number)
        rows.append(_row(record, number, version, host_id))
    with connection.appender("data.artifact_versions", action="upsert") as appender:
        appender.append_rows(rows)


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
