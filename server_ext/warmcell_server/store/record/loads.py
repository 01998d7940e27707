"""The artifact versions that a snapshot's ``on_init`` loaded for a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmcell.ids import now

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "put_loads"]


def put_loads(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Say that ``snapshot`` of ``pipeline`` loaded ``versions`` (ids) for ``deployment``, in the
    place of what was said of that before."""
    of = [request["deployment"], request["pipeline"], request["snapshot"]]
    versions = list(dict.fromkeys(request["versions"]))
    rows = connection.execute(
        "SELECT version FROM data.loads WHERE deployment = ? AND pipeline = ? AND snapshot = ?", of
    ).fetchall()
    if {version for (version,) in rows} != set(versions):
        connection.execute(
            "DELETE FROM data.loads WHERE deployment = ? AND pipeline = ? AND snapshot = ? "
            "AND version NOT IN (SELECT unnest(?::VARCHAR[]))",
            [*of, versions],
        )
        connection.execute(
            "INSERT OR IGNORE INTO data.loads "
            "SELECT ?, ?, ?, id, ? FROM data.artifact_versions "
            "WHERE id IN (SELECT unnest(?::VARCHAR[]))",
            [*of, now(), versions],
        )
    return {"versions": len(versions)}


CHANGES = {"put_loads": put_loads}
