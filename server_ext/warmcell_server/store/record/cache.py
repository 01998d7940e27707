"""The cache of steps: whose results can be taken again, found by what their keys are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import QueryError
from warmcell.records import CacheRecord

from .answers import asked, dicts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "COLUMNS", "READS", "put_cache"]

COLUMNS = (
    "key", "run_id", "step", "pipeline", "versions", "created_at", "expires_at", "parts", "outputs",
)  # fmt: skip
MOST = 10_000  # entries of an answer
LENGTH = 1000  # characters of a value that comes along

_encode = msgspec.json.Encoder().encode

_SELECT = (
    "SELECT key, run_id, step, pipeline, versions, created_at, expires_at, parts, outputs "
    "FROM data.cache"
)
_VERSIONS = (
    "SELECT id, artifact, number, version, kind, type, role, status, digest, size, files, about, "
    "CASE WHEN length(value) <= ? THEN value END AS value, value IS NOT NULL AS inline "
    "FROM data.artifact_versions WHERE id IN (SELECT unnest(?::VARCHAR[]))"
)


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Entries of ``steps`` (names, with commas), and of those that a ``pipeline`` had, the newest
    ``each`` of every step; or those with one of ``keys``; with ``run`` those of a run: what its
    steps made, and what they took."""

    steps: str | None = None
    pipeline: str | None = None
    keys: str | None = None
    run: str | None = None
    each: int = 5


class Cleared(msgspec.Struct, forbid_unknown_fields=True):
    """Which entries go: of a ``step``, a ``pipeline``, a ``run``; all without any of these."""

    step: str | None = None
    pipeline: str | None = None
    run: str | None = None


def put_cache(connection: DuckDBPyConnection, records: Iterable[CacheRecord]) -> None:
    """Store entries; a later one of the same key takes the place of an earlier one."""
    rows = [
        [
            one.key, one.run_id, one.step, one.pipeline, _encode(one.versions).decode(),
            one.created_at, one.expires_at, _encode(one.parts).decode(),
            bytes(one.outputs).decode("utf-8", "replace"),
        ]
        for one in records
    ]  # fmt: skip
    with connection.appender("data.cache", action="upsert") as appender:
        appender.append_rows(rows)


def cached_steps(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return ``entries``, the newest first, and the artifact ``versions`` that they name, by id: as
    ``find_version`` has them, as far as a load needs it and without long values. ``steps`` are
    those that were looked for, ``full`` those of which there may be more, and ``refused`` says by
    step why what it gave last was not kept, where there is no entry of it.

    Raises :class:`QueryError` for a request that makes no sense.
    """
    wanted = asked(request, Wanted)
    if not 0 < wanted.each <= MOST:
        raise QueryError(f"each must be 1 to {MOST}.")
    entries: dict[str, dict[str, Any]] = {}
    names: list[str] = []
    full: list[str] = []
    refused: dict[str, dict[str, str]] = {}
    if wanted.steps is not None:
        names = wanted.steps.split(",")
        if wanted.pipeline is not None:
            query = "SELECT DISTINCT step FROM data.cache WHERE pipeline = ? LIMIT ?"
            rows = cursor.execute(query, [wanted.pipeline, MOST]).fetchall()
            names = list({*names, *(row[0] for row in rows)})
        # First which, of narrow columns: the parts of all would be many bytes to sort.
        picked = cursor.execute(
            f"SELECT unnest(max_by(rowid, created_at, {int(wanted.each) + 1})) FROM data.cache "
            "WHERE step IN (SELECT unnest(?::VARCHAR[])) GROUP BY step LIMIT ?",
            [names, MOST],
        ).fetchall()
        found = _entries(
            cursor,
            f"{_SELECT} WHERE rowid IN (SELECT unnest(?::BIGINT[])) ORDER BY created_at DESC, key",
            [[row[0] for row in picked]],
        )
        counts: dict[str, int] = {}
        for one in found:
            counts[one["step"]] = counts.get(one["step"], 0) + 1
            if counts[one["step"]] <= wanted.each:
                entries[one["key"]] = one
        full = [name for name, count in counts.items() if count > wanted.each]
        full = sorted(names) if len(found) == MOST else full
        refused = _refused(cursor, [name for name in names if name not in counts])
    if wanted.keys is not None:
        where = "WHERE key IN (SELECT unnest(?::VARCHAR[]))"
        for one in _entries(cursor, f"{_SELECT} {where}", [wanted.keys.split(",")]):
            entries[one["key"]] = one
    if wanted.run is not None:
        taken = cursor.execute(
            "SELECT DISTINCT cached FROM data.steps WHERE run_id = ? AND cached IS NOT NULL",
            [wanted.run],
        ).fetchall()
        runs = [wanted.run, *(row[0] for row in taken)]
        picked = cursor.execute(
            "SELECT rowid FROM data.cache WHERE run_id IN (SELECT unnest(?::VARCHAR[])) LIMIT ?",
            [runs, MOST],
        ).fetchall()
        query = f"{_SELECT} WHERE rowid IN (SELECT unnest(?::BIGINT[]))"
        for one in _entries(cursor, query, [[row[0] for row in picked]]):
            entries.setdefault(one["key"], one)
    ids = list({version for one in entries.values() for version in one["versions"]})
    found = dicts(cursor, _VERSIONS, [LENGTH, ids], json=("value", "files", "about"))
    return {
        "entries": list(entries.values()),
        "versions": {version["id"]: version for version in found},
        "steps": names,
        "full": full,
        "refused": refused,
    }


def _refused(cursor: DuckDBPyConnection, steps: list[str]) -> dict[str, dict[str, str]]:
    """The newest refusal of each of ``steps``: ``output``, ``run_id`` and ``status``. A step of
    which a later run kept all has none."""
    if not steps:
        return {}
    rows = cursor.execute(
        "SELECT step, arg_max(name, id) FILTER (status LIKE 'refused%'), max(run_id), "
        "arg_max(status, id) FILTER (status LIKE 'refused%') FROM data.artifact_versions "
        "WHERE step IN (SELECT unnest(?::VARCHAR[])) GROUP BY step "
        "HAVING max(run_id) FILTER (status LIKE 'refused%') = max(run_id) LIMIT ?",
        [steps, MOST],
    ).fetchall()
    return {
        step: {"output": output, "run_id": run_id, "status": status}
        for step, output, run_id, status in rows
    }


def clear_cache(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Forget whose results can be taken again; the artifacts stay. Returns how many ``entries``
    went."""
    wanted = asked(request, Cleared)
    given = {"step": wanted.step, "pipeline": wanted.pipeline, "run_id": wanted.run}
    where = [(name, value) for name, value in given.items() if value is not None]
    clause = f" WHERE {' AND '.join(f'{name} = ?' for name, _ in where)}" if where else ""
    rows = connection.execute(
        f"DELETE FROM data.cache{clause} RETURNING key", [value for _, value in where]
    ).fetchall()
    return {"entries": len(rows)}


def _entries(cursor: DuckDBPyConnection, query: str, values: list[Any]) -> list[dict[str, Any]]:
    return dicts(cursor, query, values, json=("versions", "parts", "outputs"))


READS = {"cached_steps": cached_steps}
CHANGES = {"clear_cache": clear_cache}
