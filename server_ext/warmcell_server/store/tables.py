"""Changes of single rows: snapshots, deployments, runs that were lost. Writer thread only."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import NameTaken
from warmcell.ids import now
from warmcell.records import TERMINAL, DeploymentRecord, ErrorInfo, SnapshotRecord

from .operations import TakeDeliveries
from .rows import DEPLOYMENT_COLUMNS, SNAPSHOT_COLUMNS, Row, deployment_row, snapshot_row

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "add_snapshot",
    "check_owner",
    "claim",
    "lose_runs",
    "lose_steps_of",
    "put_deployment",
    "put_snapshot",
    "take_deliveries",
]


def add_snapshot(connection: duckdb.DuckDBPyConnection, record: SnapshotRecord) -> int:
    """Store a snapshot unless its pipeline has one of the same digest; return its number. A note
    that is given replaces the one that is there."""
    number = _number(connection, record)
    if number is not None:
        if record.note is not None:
            connection.execute(
                "UPDATE data.snapshots SET note = ? WHERE pipeline = ? AND number = ?",
                [record.note, record.pipeline, number],
            )
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
    *,
    overtake: bool = False,
) -> dict[str, Any] | None:
    """Give a name to the host of ``record``, and return who had it: ``notebook``, ``user``,
    ``pipeline`` and ``snapshot``; None for a name that was free.

    Raises :class:`NameTaken` if another live host serves it, and if it belongs to another notebook
    unless that is to be ``overtake``n.
    """
    rows = connection.execute(
        'SELECT host_id, state, holder_label, holder_url, notebook, "user", pipeline, snapshot '
        "FROM data.deployments WHERE name = ?",
        [record.name],
    ).fetchall()
    before: dict[str, Any] | None = None
    if rows:
        holder_id, state, holder_label, holder_url, *had = rows[0]
        if state != "removed":
            before = dict(zip(("notebook", "user", "pipeline", "snapshot"), had, strict=True))
        theirs = state in ("serving", "restoring", "resting") and holder_id != record.host_id
        if theirs and alive(holder_id):
            holder = " at ".join(part for part in (holder_label, holder_url) if part) or holder_id
            raise NameTaken(
                f"The name {record.name!r} is served by another host: {holder}.",
                holder=holder,
                hint="Undeploy it there first, or deploy under another name.",
            )
    if before is not None and not overtake:
        check_owner(record.name, before["notebook"], record.notebook)
    row = deployment_row(record, label, url)
    _upsert(connection, "deployments", DEPLOYMENT_COLUMNS, row)
    return before


def check_owner(name: str, owner: str | None, notebook: str | None) -> None:
    """Raise :class:`NameTaken` if a name belongs to another notebook. What was deployed outside of
    any, from a module say, belongs to nobody; ``churn.ipynb::churn`` is a pipeline of a notebook
    that was deployed from elsewhere."""
    if owner is None or not owner.endswith(".ipynb"):
        return
    file = (notebook or "").partition("::")[0]
    if not file or (file != owner and not owner.endswith(f"/{file}")):
        raise NameTaken(
            f"Deployment {name!r} belongs to {owner}, and this is {notebook or 'no notebook'}.",
            holder=owner,
            hint="Choose another name, or take it over with deploy(..., overtake=True).",
        )


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
        lose_steps_of(connection, [run_id for (run_id,) in rows])
        lost += len(rows)
    return lost


def lose_steps_of(connection: duckdb.DuckDBPyConnection, runs: Collection[str]) -> None:
    """Mark as lost the steps that ran when their ``runs`` were lost."""
    connection.execute(
        "UPDATE data.steps SET status = 'lost' WHERE status = 'running' "
        "AND run_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(runs)],
    )


def take_deliveries(
    connection: duckdb.DuckDBPyConnection, wanted: TakeDeliveries, alive: Callable[[str], bool]
) -> list[dict[str, Any]]:
    """Give the unfinished deliveries of dead hosts to who wants them, and return those that are
    its own and due by then, the first due first.

    Each has the fields of a ``DeliveryRecord``, and ``run_status`` and ``traceparent`` of its run.
    """
    host_id = wanted.host_id
    hosts = connection.execute(
        "SELECT DISTINCT host_id FROM data.deliveries WHERE status = 'pending'"
    ).fetchall()
    dead = [holder for (holder,) in hosts if holder != host_id and not alive(holder)]
    if dead:
        # What waited for the end of its run, in a host that died before: the run is lost by now.
        connection.execute(
            "UPDATE data.deliveries SET next_at = $now, created_at = coalesce(r.finished_at, $now) "
            "FROM data.runs r WHERE r.run_id = deliveries.run_id "
            "AND r.status IN (SELECT unnest($ends::VARCHAR[])) "
            "AND deliveries.status = 'pending' AND next_at IS NULL "
            "AND deliveries.host_id IN (SELECT unnest($dead::VARCHAR[]))",
            {"now": now(), "ends": list(TERMINAL), "dead": dead},
        )
        connection.execute(
            "UPDATE data.deliveries SET host_id = $host WHERE status = 'pending' "
            "AND next_at IS NOT NULL AND host_id IN (SELECT unnest($dead::VARCHAR[]))",
            {"host": host_id, "dead": dead},
        )
    cursor = connection.execute(
        "SELECT delivery_id, d.run_id, d.deployment, url, d.status, d.created_at, updated_at, "
        "attempts, next_at, response, d.error, d.host_id, r.status AS run_status, r.traceparent "
        "FROM data.deliveries d JOIN data.runs r ON r.run_id = d.run_id "
        "WHERE d.status = 'pending' AND d.host_id = ? AND next_at <= ? "
        "AND r.status IN (SELECT unnest(?::VARCHAR[])) "
        "QUALIFY row_number() OVER (PARTITION BY lower(regexp_extract(url, '://([^/?#]*)', 1)) "
        "ORDER BY next_at, delivery_id) <= ? ORDER BY next_at, delivery_id LIMIT ?",
        [host_id, wanted.until, list(TERMINAL), wanted.each, wanted.limit],
    )
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


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
