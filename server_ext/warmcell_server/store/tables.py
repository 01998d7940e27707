"""Changes of single rows: snapshots, deployments, runs that were lost. Writer thread only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from warmcell.errors import NameTaken
from warmcell.records import DeploymentRecord, ErrorInfo, SnapshotRecord

from .rows import DEPLOYMENT_COLUMNS, SNAPSHOT_COLUMNS, Row, deployment_row, snapshot_row

if TYPE_CHECKING:
    import duckdb

__all__ = ["add_snapshot", "claim", "lose_runs", "put_deployment", "put_snapshot"]


def add_snapshot(connection: duckdb.DuckDBPyConnection, record: SnapshotRecord) -> int:
    """Store a snapshot unless its pipeline has one of the same digest; return its number."""
    number = _number(connection, record)
    if number is not None:
        return number
    rows = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM data.snapshots WHERE pipeline = ?",
        [record.pipeline],
    ).fetchall()
    number = int(rows[0][0])
    _upsert(
        connection,
        "snapshots",
        SNAPSHOT_COLUMNS,
        snapshot_row(msgspec.structs.replace(record, number=number)),
    )
    return number


def put_snapshot(connection: duckdb.DuckDBPyConnection, record: SnapshotRecord) -> None:
    """Store what changed of a snapshot, or a snapshot that is new; its number is kept."""
    number = _number(connection, record)
    if number is None:
        add_snapshot(connection, record)
        return
    record = msgspec.structs.replace(record, number=number)
    _upsert(connection, "snapshots", SNAPSHOT_COLUMNS, snapshot_row(record))


def put_deployment(
    connection: duckdb.DuckDBPyConnection, record: DeploymentRecord, host_id: str
) -> None:
    """Store what ``host_id`` spooled about a deployment.

    A name changes hands by :func:`claim` only: what a former holder said late is left out.
    """
    rows = connection.execute(
        "SELECT host_id, holder_label, holder_url FROM data.deployments WHERE name = ?",
        [record.name],
    ).fetchall()
    holder, label, url = rows[0] if rows else (host_id, None, None)
    if holder == host_id:
        row = deployment_row(record, label, url)
        _upsert(connection, "deployments", DEPLOYMENT_COLUMNS, row)


def claim(
    connection: duckdb.DuckDBPyConnection,
    record: DeploymentRecord,
    label: str,
    url: str,
    alive: Callable[[str], bool],
) -> None:
    """Give a name to the host of ``record``.

    Raises :class:`NameTaken` if another live host serves it.
    """
    rows = connection.execute(
        "SELECT host_id, state, holder_label, holder_url FROM data.deployments WHERE name = ?",
        [record.name],
    ).fetchall()
    if rows:
        holder_id, state, holder_label, holder_url = rows[0]
        if state == "serving" and holder_id != record.host_id and alive(holder_id):
            holder = " at ".join(part for part in (holder_label, holder_url) if part) or holder_id
            raise NameTaken(
                f"The name {record.name!r} is served by another host: {holder}.",
                holder=holder,
                hint="Undeploy it there first, or deploy under another name.",
            )
    row = deployment_row(record, label, url)
    _upsert(connection, "deployments", DEPLOYMENT_COLUMNS, row)


def lose_runs(
    connection: duckdb.DuckDBPyConnection, alive: Callable[[str], bool], labels: dict[str, str]
) -> int:
    """Mark the unfinished runs of dead hosts as lost; return how many there were.

    When they ended is not known, so that ``finished_at`` stays empty. ``labels`` names the hosts
    that are known to have died.
    """
    hosts = connection.execute(
        "SELECT DISTINCT host_id FROM data.runs WHERE status IN ('queued', 'running')"
    ).fetchall()
    lost = 0
    for (host_id,) in hosts:
        if host_id is not None and alive(host_id):
            continue
        name = labels.get(host_id, host_id or "unknown")
        error = ErrorInfo(
            type="RunLost",
            message=f"The host that executed the run ended before the run did ({name}).",
            hint="Run it again.",
        )
        rows = connection.execute(
            "UPDATE data.runs SET status = 'lost', error = ? "
            "WHERE status IN ('queued', 'running') AND host_id IS NOT DISTINCT FROM ? "
            "RETURNING run_id",
            [msgspec.json.encode(error).decode(), host_id],
        ).fetchall()
        connection.execute(
            "UPDATE data.steps SET status = 'lost' WHERE status = 'running' "
            "AND run_id IN (SELECT unnest(?::VARCHAR[]))",
            [[run_id for (run_id,) in rows]],
        )
        lost += len(rows)
    return lost


def _number(connection: duckdb.DuckDBPyConnection, record: SnapshotRecord) -> int | None:
    rows = connection.execute(
        "SELECT number FROM data.snapshots WHERE pipeline = ? AND digest = ?",
        [record.pipeline, record.digest],
    ).fetchall()
    return int(rows[0][0]) if rows else None


def _upsert(
    connection: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...], row: Row
) -> None:
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" * len(columns))
    connection.execute(
        f"INSERT OR REPLACE INTO data.{table} ({names}) VALUES ({marks})",
        row,
    )
