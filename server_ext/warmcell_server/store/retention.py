"""How much a store holds, and deleting what is old. The deleting runs on the writer thread."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmcell.ids import now

from .files import Layout
from .record.deleting import remove
from .record.keepers import keepers

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["prune", "usage"]

GRACE = 3600.0  # seconds: a blob is written before the record that refers to it
_DAY = 86_400_000_000
_DIGEST = re.compile(r"[0-9a-f]{32}")
_SITE = re.compile(r'"site":\s*"([0-9a-f]{32})"')
_ENDED = "status NOT IN ('queued', 'running')"

# What a run takes, in bytes of text; DuckDB's compressed blocks are not known per run.
_SIZES = """
SELECT run_id, any_value(created_at) AS created_at, sum(size) AS size FROM (
    SELECT run_id, created_at, 200 + coalesce(strlen(parameters), 0)
        + coalesce(strlen(outputs), 0) + coalesce(strlen(error), 0) AS size FROM data.runs
    UNION ALL SELECT run_id, NULL, 100 + coalesce(strlen(error), 0) FROM data.steps
    UNION ALL SELECT run_id, NULL, 100 + coalesce(strlen(value), 0) + coalesce(strlen(preview), 0)
        + CASE WHEN digest IS NULL THEN 0 ELSE coalesce(size, 0) END FROM data.artifacts
    UNION ALL SELECT run_id, NULL, 300 + coalesce(size, 0) FROM data.artifact_versions
        WHERE run_id IS NOT NULL
    UNION ALL SELECT run_id, NULL, 50 + strlen(text) FROM data.logs
    UNION ALL SELECT run_id, NULL, 200 + strlen(url) + coalesce(strlen(error), 0)
        FROM data.deliveries
) GROUP BY run_id
"""


def usage(cursor: DuckDBPyConnection, layout: Layout) -> dict[str, Any]:
    """Return the number of ``runs``, ``snapshots`` and ``artifacts`` (versions), ``oldest``
    (microseconds or None), and the bytes of the ``database``, the ``blobs``, the ``spool`` and
    their ``total``; ``artifact_bytes`` is what the versions are as if none shared a file."""
    runs, oldest = cursor.execute("SELECT count(*), min(created_at) FROM data.runs").fetchall()[0]
    snapshots = cursor.execute("SELECT count(*) FROM data.snapshots").fetchall()[0][0]
    artifacts, kept = cursor.execute(
        "SELECT count(*), coalesce(sum(size), 0)::BIGINT FROM data.artifact_versions "
        "WHERE status <> 'deleted'"
    ).fetchall()[0]
    blocks = cursor.execute(
        "SELECT block_size * total_blocks FROM pragma_database_size()"
    ).fetchall()
    database = int(blocks[0][0])
    blobs = sum(size for _, size, _ in _blobs(layout.blobs))
    spool = sum(size for _, size, _ in _blobs(layout.spool))
    return {
        "runs": runs,
        "snapshots": snapshots,
        "artifacts": artifacts,
        "artifact_bytes": kept,
        "oldest": oldest,
        "database": database,
        "blobs": blobs,
        "spool": spool,
        "total": database + blobs + spool,
    }


def prune(
    connection: DuckDBPyConnection,
    layout: Layout,
    max_age_days: float | None,
    max_bytes: int | None,
) -> dict[str, Any]:
    """Delete ended runs older than ``max_age_days``, then the oldest until what is left takes at
    most ``max_bytes``; return how many ``runs``, ``versions`` of artifacts, ``blobs`` and
    ``bytes`` of blobs went.

    Runs that go on, snapshots and deployments stay; the audit goes by age only. What a run made
    goes with it, unless something else keeps that (see :mod:`.record.keepers`). A blob goes when
    nothing refers to it and it is older than an hour, since blobs are written ahead of their
    records.
    """
    doomed: set[str] = set()
    if max_age_days is not None:
        limit = now() - round(max_age_days * _DAY)
        rows = connection.execute(
            f"SELECT run_id FROM data.runs WHERE {_ENDED} AND created_at < ?",
            [limit],
        ).fetchall()
        doomed = {run_id for (run_id,) in rows}
        connection.execute("DELETE FROM data.audit WHERE time < ?", [limit])
    if max_bytes is not None:
        doomed |= _oldest(connection, doomed, max_bytes)
    versions = _forget(connection, doomed)
    # A delivery that was under way when its run went is recorded once more.
    connection.execute(
        "DELETE FROM data.deliveries WHERE updated_at < ? "
        "AND run_id NOT IN (SELECT run_id FROM data.runs)",
        [now() - _DAY],
    )
    count, size = _sweep(connection, layout.blobs)
    return {"runs": len(doomed), "versions": versions, "blobs": count, "bytes": size}


def _forget(connection: DuckDBPyConnection, doomed: set[str]) -> int:
    """Delete runs with all that is theirs; return how many versions of artifacts there were."""
    if not doomed:
        return 0
    picked, values = "IN (SELECT unnest(?::VARCHAR[]))", [list(doomed)]
    made = {
        version
        for (version,) in connection.execute(
            "SELECT id FROM data.artifact_versions "
            f"WHERE status NOT IN ('deleted', 'pending') AND run_id {picked}",
            values,
        ).fetchall()
    }
    made -= keepers(connection, made, doomed).keys()
    gone = remove(connection, made)
    for table in ("steps", "artifacts", "logs", "deliveries", "uses", "cache", "runs"):
        connection.execute(f"DELETE FROM data.{table} WHERE run_id {picked}", values)
    for table in ("metadata", "tagged"):
        # Of a step the subject is the id of its run, a slash and its name.
        connection.execute(
            f"DELETE FROM data.{table} WHERE kind IN ('run', 'step') "
            f"AND split_part(subject, '/', 1) {picked}",
            values,
        )
    return gone["versions"]


def _oldest(connection: DuckDBPyConnection, doomed: set[str], max_bytes: int) -> set[str]:
    """Return the oldest ended runs without which the others fit into ``max_bytes``."""
    rows = connection.execute(
        f"SELECT s.run_id, s.size, {_ENDED} FROM ({_SIZES}) s "
        "JOIN data.runs r ON r.run_id = s.run_id ORDER BY r.created_at DESC, r.run_id DESC"
    ).fetchall()
    total, more = 0, set()
    for run_id, size, ended in rows:
        if run_id in doomed:
            continue
        total += int(size)
        if total > max_bytes and ended:
            more.add(run_id)
    return more


def _sweep(connection: DuckDBPyConnection, blobs: Path) -> tuple[int, int]:
    """Delete the blobs that nothing refers to; return how many and their bytes."""
    kept = {
        digest
        for (digest,) in connection.execute(
            "SELECT digest FROM data.artifacts WHERE digest IS NOT NULL UNION "
            "SELECT unnest(files ->> '$[*].blob') FROM data.artifact_versions "
            "WHERE files IS NOT NULL"
        ).fetchall()
    }
    for (manifest,) in connection.execute(
        "SELECT manifest FROM data.snapshots WHERE manifest IS NOT NULL"
    ).fetchall():
        # Whatever the manifest's form, a digest in it is a reference.
        kept.update(_DIGEST.findall(manifest))
    for site in _sites(connection):
        kept.add(site)
        with contextlib.suppress(OSError):  # a manifest that is lost keeps nothing
            kept.update(_DIGEST.findall((blobs / site).read_text(errors="replace")))
    count = freed = 0
    young = time.time() - GRACE
    for path, size, changed in _blobs(blobs):
        name = _DIGEST.search(path.name)
        if name is None or name.group() in kept or changed > young:
            continue
        path.unlink(missing_ok=True)
        count, freed = count + 1, freed + size
    return count, freed


def _sites(connection: DuckDBPyConnection) -> set[str]:
    """Return the digests of the manifests of front ends that snapshots and deployments have."""
    rows = connection.execute(
        "SELECT settings FROM data.snapshots WHERE settings IS NOT NULL "
        "UNION ALL SELECT settings FROM data.deployments WHERE settings IS NOT NULL"
    ).fetchall()
    return {digest for (settings,) in rows for digest in _SITE.findall(settings)}


def _blobs(folder: Path) -> list[tuple[Path, int, float]]:
    """Return path, size in bytes and time of change of every file below ``folder``."""
    found = []
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            found.append((path, status.st_size, status.st_mtime))
    return found
