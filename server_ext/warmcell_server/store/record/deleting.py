"""Deleting artifact versions: never one that something keeps. Writer thread only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict
from warmcell.ids import now

from .answers import asked
from .finding import DELETED
from .keepers import keepers, said

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "delete_versions", "prune_versions", "remove"]

_DAY = 86_400_000_000
_SHOWN = 100


class Doomed(msgspec.Struct, forbid_unknown_fields=True):
    """Versions to delete, by id."""

    ids: list[str]


class Pruning(msgspec.Struct, forbid_unknown_fields=True):
    """What goes: versions older than ``days``; all but the newest ``keep`` of an artifact; the
    oldest until the rest takes at most ``bytes``. ``artifact`` may have ``*`` in it. With
    ``dry_run`` nothing goes."""

    days: float | None = None
    keep: int | None = None
    bytes: int | None = None
    artifact: str | None = None
    dry_run: bool = False


def delete_versions(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Delete versions by id, all or none; those that are gone already are no error.

    Returns how many ``versions`` went and their ``bytes``. Raises :class:`Conflict` if something
    keeps one of them, or one is still being written.
    """
    ids = asked(request, Doomed).ids
    rows = connection.execute(
        "SELECT id, artifact, version, status FROM data.artifact_versions "
        "WHERE id IN (SELECT unnest(?::VARCHAR[])) AND status <> ?",
        [ids, DELETED],
    ).fetchall()
    kept = keepers(connection, [row[0] for row in rows])
    for identifier, artifact, version, status in rows:
        if status == "pending":
            raise Conflict(
                f"Version {version} of artifact '{artifact}' is still being written.",
                hint="Delete it once it is stored.",
            )
        if identifier in kept:
            raise _kept(artifact, version, kept[identifier])
    return remove(connection, [row[0] for row in rows])


def prune_versions(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Delete what a :class:`Pruning` names, except what something keeps.

    Without a bound, everything goes that nothing keeps. Returns how many ``versions`` go and their
    ``bytes``, how many would, but are ``kept``, and the first hundred as ``names``.
    """
    wanted = asked(request, Pruning)
    where, values = ["status NOT IN (?, 'pending')"], [DELETED]
    if wanted.artifact is not None:
        where.append("artifact GLOB ?")
        values.append(wanted.artifact)
    rows = connection.execute(
        "SELECT id, artifact, version, created_at, coalesce(size, 0), "
        "row_number() OVER (PARTITION BY artifact ORDER BY number DESC) "
        f"FROM data.artifact_versions WHERE {' AND '.join(where)} ORDER BY created_at DESC, id",
        values,
    ).fetchall()
    chosen = _chosen(rows, wanted)
    kept = keepers(connection, [row[0] for row in chosen])
    doomed = [row for row in chosen if row[0] not in kept]
    gone = {"versions": len(doomed), "bytes": sum(row[4] for row in doomed)}
    if not wanted.dry_run:
        gone = remove(connection, [row[0] for row in doomed])
    names = [f"{artifact}@{version}" for _, artifact, version, *_ in doomed[:_SHOWN]]
    return {**gone, "kept": len(kept), "names": names, "dry_run": wanted.dry_run}


def _chosen(rows: Sequence[tuple[Any, ...]], wanted: Pruning) -> list[tuple[Any, ...]]:
    """The rows (newest first) that the bounds do not spare."""
    if wanted.days is None and wanted.keep is None and wanted.bytes is None:
        return list(rows)
    limit = None if wanted.days is None else now() - round(wanted.days * _DAY)
    total, chosen = 0, []
    for row in rows:
        old = limit is not None and row[3] < limit
        many = wanted.keep is not None and row[5] > wanted.keep
        if not (old or many):
            total += row[4]
        if old or many or (wanted.bytes is not None and total > wanted.bytes):
            chosen.append(row)
    return chosen


def remove(connection: DuckDBPyConnection, ids: Collection[str]) -> dict[str, int]:
    """Delete versions whatever keeps them, with what is said about them; return how many
    ``versions`` there were and their ``bytes``. Their files go with the next sweep of the blobs.

    Of the newest one of an artifact its number stays, so that no other ever gets the same.
    """
    if not ids:
        return {"versions": 0, "bytes": 0}
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE removed AS SELECT unnest(?::VARCHAR[]) AS id", [list(ids)]
    )
    # The bounds let DuckDB leave out what is older or newer.
    picked = "BETWEEN ? AND ? AND {0} IN (FROM removed)".format
    bounds = [min(ids), max(ids)]
    count, size = connection.execute(
        "SELECT count(*), coalesce(sum(size), 0)::BIGINT FROM data.artifact_versions "
        f"WHERE id {picked('id')} AND status <> '{DELETED}'",
        bounds,
    ).fetchall()[0]
    if not count:
        return {"versions": 0, "bytes": 0}
    connection.execute(
        f"UPDATE data.artifact_versions SET status = '{DELETED}', value = NULL, files = NULL, "
        f"facts = NULL, about = NULL, size = NULL WHERE id {picked('id')}",
        bounds,
    )
    connection.execute(
        f"DELETE FROM data.artifact_versions v WHERE status = '{DELETED}' AND number < ("
        "SELECT max(w.number) FROM data.artifact_versions w WHERE w.artifact = v.artifact)"
    )
    for table in ("metadata", "tagged", "model_links"):
        connection.execute(
            f"DELETE FROM data.{table} WHERE kind = 'artifact_version' "
            f"AND subject {picked('subject')}",
            bounds,
        )
    for table in ("uses", "curated"):
        connection.execute(f"DELETE FROM data.{table} WHERE version {picked('version')}", bounds)
    # A step whose result is gone has to run again.
    connection.execute(
        "DELETE FROM data.cache WHERE key IN (SELECT key FROM ("
        "SELECT key, unnest(versions::VARCHAR[]) AS version FROM data.cache) "
        f"WHERE version {picked('version')})",
        bounds,
    )
    return {"versions": int(count), "bytes": int(size)}


def _kept(artifact: str, version: str, by: Sequence[dict[str, Any]]) -> Conflict:
    more = f", and {len(by) - 3} more" if len(by) > 3 else ""
    reasons = "; ".join(map(said, by[:3]))
    return Conflict(
        f"Version {version} of artifact '{artifact}' is in use and stays: {reasons}{more}.",
        hint="Delete or unlink what uses it first; a tag goes with remove_tags.",
    )


CHANGES = {"delete_versions": delete_versions, "prune_versions": prune_versions}
