"""How much a store holds, and deleting what is old. The deleting runs on the writer thread."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmcell.ids import now

from .files import Layout
from .operations import Prune
from .record.deleting import remove
from .record.keepers import keepers

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["prune", "referenced", "usage"]

GRACE = 3600.0  # seconds: a blob is written before the record that refers to it
BATCH = 5_000  # runs that are deleted in one transaction: a part of a second
_DAY = 86_400_000_000
_DIGEST = re.compile(r"[0-9a-f]{32}")
_SITE = re.compile(r'"site":\s*"([0-9a-f]{32})"')
_ENDED = "status NOT IN ('queued', 'running')"

# What a run takes, in bytes of text; DuckDB's compressed blocks are not known per run. `{young}` is
# a condition on run ids, which sort by time.
_SIZES = """
SELECT run_id, any_value(created_at) AS created_at, sum(size) AS size FROM (
    SELECT run_id, created_at, 200 + coalesce(strlen(parameters), 0)
        + coalesce(strlen(outputs), 0) + coalesce(strlen(error), 0) AS size
        FROM data.runs WHERE {young}
    UNION ALL SELECT run_id, NULL, 100 + coalesce(strlen(error), 0) FROM data.steps WHERE {young}
    UNION ALL SELECT run_id, NULL, 100 + coalesce(strlen(value), 0) + coalesce(strlen(preview), 0)
        + CASE WHEN digest IS NULL THEN 0 ELSE coalesce(size, 0) END
        FROM data.artifacts WHERE {young}
    UNION ALL SELECT run_id, NULL, 300 + coalesce(size, 0) FROM data.artifact_versions
        WHERE run_id IS NOT NULL AND {young}
    UNION ALL SELECT run_id, NULL, 50 + strlen(text) FROM data.logs WHERE {young}
    UNION ALL SELECT run_id, NULL, 200 + strlen(url) + coalesce(strlen(error), 0)
        FROM data.deliveries WHERE {young}
) GROUP BY run_id
"""
_ALL = _SIZES.format(young="true")


def usage(cursor: DuckDBPyConnection, layout: Layout) -> dict[str, Any]:
    """Return the number of ``runs``, ``snapshots`` and ``artifacts`` (versions), ``oldest``
    (microseconds or None), and the bytes of the ``database``, the ``blobs``, the ``spool`` and
    their ``total``; ``artifact_bytes`` is what the versions are as if none shared a file.
    ``last_day`` and ``last_week`` say what came, as ``runs`` and their ``bytes``."""
    runs, oldest = cursor.execute("SELECT count(*), min(created_at) FROM data.runs").fetchall()[0]
    snapshots = cursor.execute("SELECT count(*) FROM data.snapshots").fetchall()[0][0]
    artifacts, kept = cursor.execute(
        "SELECT count(*), coalesce(sum(size), 0)::BIGINT FROM data.artifact_versions "
        "WHERE status <> 'deleted'"
    ).fetchall()[0]
    blocks = cursor.execute(
        "SELECT block_size * total_blocks FROM pragma_database_size()"
    ).fetchall()
    database = int(blocks[0][0]) + _size(layout.database.with_name(f"{layout.database.name}.wal"))
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
        "last_day": _growth(cursor, _DAY),
        "last_week": _growth(cursor, 7 * _DAY),
    }


def _growth(cursor: DuckDBPyConnection, span: int) -> dict[str, int]:
    """The runs of the last ``span`` microseconds, and the bytes of what they left."""
    since = now() - span
    first = f"{since // 1000:012x}"  # a UUIDv7 begins with its milliseconds
    sizes = _SIZES.format(young=f"run_id >= '{first[:8]}-{first[8:]}'")
    runs, size = cursor.execute(
        f"SELECT count(*), coalesce(sum(size), 0)::BIGINT FROM ({sizes}) WHERE created_at >= ?",
        [since],
    ).fetchall()[0]
    return {"runs": runs, "bytes": size}


def prune(
    layout: Layout, wanted: Prune, do: Callable[[Callable[[DuckDBPyConnection], Any]], Any]
) -> dict[str, Any]:
    """Delete ended runs older than ``max_age_days``, those beyond the newest ``max_runs``, then the
    oldest until what is left takes at most ``max_bytes``; return how many ``runs``, ``versions`` of
    artifacts, ``blobs`` and ``bytes`` of blobs went. A ``dry_run`` says so and deletes nothing.

    With a ``pipeline`` or a ``deployment`` all this is about its runs only. Runs that go on,
    snapshots and deployments stay; the audit goes by age only. What a run made goes with it, unless
    something else keeps that (see :mod:`.record.keepers`). A blob goes when nothing refers to it
    and it is older than an hour, since blobs are written ahead of their records.

    ``do`` does each part, always with the same connection and in a transaction of its own, so that
    records and reads need not wait for all of it.
    """
    runs = do(lambda connection: _doom(connection, wanted))
    versions = 0
    for low in range(0, runs, BATCH):
        versions += do(partial(_spare if wanted.dry_run else _forget_some, low=low))
    if not wanted.dry_run:
        do(lambda connection: _forget_rest(connection, wanted))
    count, size = do(lambda con: _sweep(con, layout.blobs, dry_run=wanted.dry_run))
    return {"runs": runs, "versions": versions, "blobs": count, "bytes": size}


def _doom(connection: DuckDBPyConnection, wanted: Prune) -> int:
    """Put the runs to delete and the versions that they made into temporary tables; return how many
    runs there are."""
    scope, values = ["true"], []
    for name in ("pipeline", "deployment"):
        if (value := getattr(wanted, name)) is not None:
            scope.append(f"r.{name} = ?")
            values.append(value)
    where = " AND ".join(scope)
    connection.execute("CREATE OR REPLACE TEMP TABLE doomed_ids (run_id VARCHAR)")
    if wanted.max_age_days is not None:
        connection.execute(
            f"INSERT INTO doomed_ids SELECT run_id FROM data.runs r "
            f"WHERE {_ENDED} AND created_at < ? AND {where}",
            [now() - round(wanted.max_age_days * _DAY), *values],
        )
    if wanted.max_runs is not None:
        connection.execute(
            f"INSERT INTO doomed_ids SELECT run_id FROM data.runs r WHERE {_ENDED} AND {where} "
            "ORDER BY created_at DESC, run_id DESC OFFSET ?",
            [*values, wanted.max_runs],
        )
    if wanted.max_bytes is not None:
        connection.execute(
            "INSERT INTO doomed_ids SELECT run_id FROM (SELECT r.run_id, r.status, sum(s.size) "
            "OVER (ORDER BY r.created_at DESC, r.run_id DESC ROWS UNBOUNDED PRECEDING) AS total "
            f"FROM ({_ALL}) s JOIN data.runs r ON r.run_id = s.run_id "
            f"WHERE r.run_id NOT IN (FROM doomed_ids) AND {where}) WHERE {_ENDED} AND total > ?",
            [*values, wanted.max_bytes],
        )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE doomed AS SELECT run_id, "
        "row_number() OVER (ORDER BY run_id) - 1 AS number "
        "FROM (SELECT DISTINCT run_id FROM doomed_ids)"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE doomed_versions AS SELECT v.id, d.number "
        "FROM data.artifact_versions v JOIN doomed d ON d.run_id = v.run_id "
        "WHERE v.status NOT IN ('deleted', 'pending')"
    )
    return int(connection.execute("SELECT count(*) FROM doomed").fetchall()[0][0])


def _spare(connection: DuckDBPyConnection, low: int) -> int:
    """Take what something keeps from the versions of a batch of runs; return how many are left."""
    return len(_unkept(connection, low))


def _forget_some(connection: DuckDBPyConnection, low: int) -> int:
    """Delete a batch of runs; return how many versions went."""
    versions = _unkept(connection, low)
    remove(connection, versions)
    _forget(connection, low)
    return len(versions)


def _unkept(connection: DuckDBPyConnection, low: int) -> set[str]:
    rows = connection.execute(
        "SELECT id FROM doomed_versions WHERE number BETWEEN ? AND ?", [low, low + BATCH - 1]
    ).fetchall()
    made = {version for (version,) in rows}
    kept = list(keepers(connection, made, "SELECT run_id FROM doomed"))
    if kept:
        connection.execute(
            "DELETE FROM doomed_versions WHERE id IN (SELECT unnest(?::VARCHAR[]))", [kept]
        )
    return made.difference(kept)


def _forget(connection: DuckDBPyConnection, low: int) -> None:
    """Delete a batch of runs with all that is theirs."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE going AS "
        f"SELECT run_id FROM doomed WHERE number BETWEEN {low:d} AND {low + BATCH - 1:d}"
    )
    # The bounds let DuckDB leave out what is older or newer.
    bounds = connection.execute("SELECT min(run_id), max(run_id) FROM going").fetchall()[0]
    for table in ("steps", "artifacts", "logs", "deliveries", "uses", "cache", "run_code", "runs"):
        connection.execute(
            f"DELETE FROM data.{table} WHERE run_id BETWEEN ? AND ? AND run_id IN (FROM going)",
            bounds,
        )
    for table in ("metadata", "tagged", "curated"):
        # Of a step the subject is the id of its run, a slash and its name; "0" follows the slash.
        connection.execute(
            f"DELETE FROM data.{table} WHERE subject >= ? AND subject < ? || '0' "
            "AND kind IN ('run', 'step') AND split_part(subject, '/', 1) IN (FROM going)",
            bounds,
        )


def _forget_rest(connection: DuckDBPyConnection, wanted: Prune) -> None:
    connection.execute("DELETE FROM data.code WHERE digest NOT IN (SELECT code FROM data.run_code)")
    if wanted.max_age_days is not None and wanted.pipeline is wanted.deployment is None:
        limit = now() - round(wanted.max_age_days * _DAY)
        connection.execute("DELETE FROM data.audit WHERE time < ?", [limit])
    # A delivery that was under way when its run went is recorded once more.
    connection.execute(
        "DELETE FROM data.deliveries WHERE updated_at < ? "
        "AND run_id NOT IN (SELECT run_id FROM data.runs)",
        [now() - _DAY],
    )


def _sweep(connection: DuckDBPyConnection, blobs: Path, *, dry_run: bool) -> tuple[int, int]:
    """Delete the blobs that nothing refers to but what is ``doomed``, which is gone already unless
    this is a dry run; return how many and their bytes."""
    kept = referenced(connection, blobs, doomed=dry_run)
    count = freed = 0
    young = time.time() - GRACE
    for path, size, changed in _blobs(blobs):
        name = _DIGEST.search(path.name)
        if name is None or name.group() in kept or changed > young:
            continue
        if not dry_run:
            path.unlink(missing_ok=True)
        count, freed = count + 1, freed + size
    return count, freed


def referenced(connection: DuckDBPyConnection, blobs: Path, *, doomed: bool = False) -> set[str]:
    """Return the digests that something refers to; where runs and versions are ``doomed`` on this
    connection, something else than those."""
    but = (
        "run_id NOT IN (SELECT run_id FROM doomed)",
        "id NOT IN (SELECT id FROM doomed_versions)",
    )
    runs, versions = but if doomed else ("true", "true")
    kept = {
        digest
        for (digest,) in connection.execute(
            f"SELECT digest FROM data.artifacts WHERE digest IS NOT NULL AND {runs} UNION "
            "SELECT unnest(files ->> '$[*].blob') FROM data.artifact_versions "
            f"WHERE files IS NOT NULL AND {versions}"
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
    return kept


def _sites(connection: DuckDBPyConnection) -> set[str]:
    """Return the digests of the manifests of front ends that snapshots and deployments have."""
    rows = connection.execute(
        "SELECT settings FROM data.snapshots WHERE settings IS NOT NULL "
        "UNION ALL SELECT settings FROM data.deployments WHERE settings IS NOT NULL"
    ).fetchall()
    return {digest for (settings,) in rows for digest in _SITE.findall(settings)}


def _size(path: Path) -> int:
    """Bytes of a file, which is looked at but never opened; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


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
