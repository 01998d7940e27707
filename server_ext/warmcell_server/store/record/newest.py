"""The newest rows that fit, in a table of any size: first which, of two narrow columns.

DuckDB reads a table from its newest rows on, and stops when it has enough, as long as the
conditions compare a column with a value. What it cannot use so, ``IN`` and whatever another table
says, is asked of the newest part first, here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.ids import created

from .tags import tag_condition, tag_test

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["RUNS", "VERSIONS", "Source", "Wish", "bounded", "newest"]

_APART = 16  # alternatives that are asked one by one; more are one question
_FIRST = 512  # tagged ones that are looked at first; four times as many each time after
_SLACK = 5_000_000  # microseconds: between an id and the time of what has it


class Source(NamedTuple):
    """A table whose ids sort by time: of ``kind``, as tags call it, with the column ``key``."""

    table: str
    key: str
    kind: str


RUNS = Source("data.runs", "run_id", "run")
VERSIONS = Source("data.artifact_versions", "id", "artifact_version")


class Wish(NamedTuple):
    """What is looked for: SQL conditions with their ``values``; ``either``, by column, what it may
    be; ``tags`` as :func:`.tags.tag_condition` has them; what comes after ``before``, the time and
    the id of a row."""

    where: Sequence[str] = ()
    values: Sequence[Any] = ()
    either: Mapping[str, Sequence[str]] = {}
    tags: Sequence[str] = ()
    before: tuple[int, str] | None = None


Found = list[tuple[int, str]]


def newest(cursor: DuckDBPyConnection, source: Source, wish: Wish, need: int) -> list[str]:
    """The ids of the first ``need`` rows that fit, the newest first."""
    tests = [tag_test(text) for text in wish.tags]
    has = [text for text, (_, _, absent) in zip(wish.tags, tests, strict=True) if not absent]
    lacks = [name for _, name, absent in tests if absent]
    if has:
        found = _with_tags(cursor, source, wish, need, has, lacks)
    elif lacks:
        found = _without_tags(cursor, source, wish, need, lacks)
    else:
        found = _narrow(cursor, source, wish, need)
    return [identifier for _, identifier in found]


def bounded(key: str, ids: Sequence[str]) -> tuple[str, list[Any]]:
    """A condition for these ids; the bounds let DuckDB leave out what is older or newer."""
    condition = f"{key} BETWEEN ? AND ? AND {key} IN (SELECT unnest(?::VARCHAR[]))"
    return condition, [min(ids), max(ids), list(ids)]


def _narrow(cursor: DuckDBPyConnection, source: Source, wish: Wish, need: int) -> Found:
    where, values = list(wish.where), list(wish.values)
    if wish.before is not None:
        where.append(f"created_at <= ? AND (created_at < ? OR {source.key} < ?)")
        values += [wish.before[0], wish.before[0], wish.before[1]]
    order = f"ORDER BY created_at DESC, {source.key} DESC LIMIT {need:d}"
    if source.key in wish.either:
        order = ""  # which would keep DuckDB from using its index
    found: Found = []
    for more, given in _alternatives(wish.either):
        clause = " AND ".join([*where, *more]) or "true"
        found += cursor.execute(
            f"SELECT created_at, {source.key} FROM {source.table} WHERE {clause} {order}",
            [*values, *given],
        ).fetchall()
    return sorted(found, reverse=True)[:need]


def _alternatives(
    either: Mapping[str, Sequence[str]],
) -> list[tuple[list[str], list[Any]]]:
    """Each combination of what columns may be, as conditions and values."""
    choices = [list(dict.fromkeys(options)) for options in either.values()]
    combined = list(product(*choices))
    if len(combined) <= _APART:
        return [([f"{column} = ?" for column in either], list(values)) for values in combined]
    conditions = [f"{column} IN (SELECT unnest(?::VARCHAR[]))" for column in either]
    return [(conditions, choices)]


def _with_tags(
    cursor: DuckDBPyConnection,
    source: Source,
    wish: Wish,
    need: int,
    has: Sequence[str],
    lacks: Sequence[str],
) -> Found:
    """From the newest of what has the tags to the oldest, until there is enough."""
    where, values = tag_condition(source.kind, "subject", has[1:])
    first, name, _ = tag_test(has[0])
    # Of a name each subject comes once; of tags that are like something it may come often.
    once = "" if first == "tag = ?" else "DISTINCT"
    below: str | None = None
    chunk = _FIRST
    found: Found = []
    while True:
        rows = cursor.execute(
            f"SELECT {once} subject FROM data.tagged WHERE kind = ? AND {first} AND {where} "
            f"AND {'true' if below is None else 'subject < ?'} ORDER BY subject DESC "
            f"LIMIT {chunk:d}",
            [source.kind, name, *values, *([] if below is None else [below])],
        ).fetchall()
        subjects = [subject for (subject,) in rows]
        if subjects:
            found += _of(cursor, source, wish, need, subjects, lacks)
            found = sorted(found, reverse=True)[:need]
        if len(subjects) < chunk:
            return found
        below, chunk = subjects[-1], chunk * 4
        made = created(below) * 1000
        if made and len(found) == need and found[-1][0] > made + _SLACK:
            return found


def _of(
    cursor: DuckDBPyConnection,
    source: Source,
    wish: Wish,
    need: int,
    subjects: Sequence[str],
    lacks: Sequence[str],
) -> Found:
    if len(subjects) <= _APART and not wish.either:
        among = wish._replace(either={source.key: subjects})  # each by its key
    else:
        condition, values = bounded(source.key, subjects)
        among = wish._replace(where=[*wish.where, condition], values=[*wish.values, *values])
    if not lacks:
        return _narrow(cursor, source, among, need)
    return _without(cursor, source, _narrow(cursor, source, among, len(subjects)), lacks)


def _without_tags(
    cursor: DuckDBPyConnection, source: Source, wish: Wish, need: int, lacks: Sequence[str]
) -> Found:
    """From the newest to the oldest, without what has one of the tags, until there is enough."""
    found: Found = []
    chunk = max(need, _FIRST)
    while True:
        rows = _narrow(cursor, source, wish, chunk)
        found += _without(cursor, source, rows, lacks)
        if len(rows) < chunk or len(found) >= need:
            return found[:need]
        wish, chunk = wish._replace(before=rows[-1]), chunk * 4


def _without(
    cursor: DuckDBPyConnection, source: Source, rows: Found, lacks: Sequence[str]
) -> Found:
    if not rows:
        return rows
    condition, values = bounded("subject", [identifier for _, identifier in rows])
    gone: set[str] = set()
    for name in lacks:
        found = cursor.execute(
            f"SELECT subject FROM data.tagged WHERE kind = ? AND tag = ? AND {condition}",
            [source.kind, name, *values],
        ).fetchall()
        gone.update(subject for (subject,) in found)
    return [row for row in rows if row[1] not in gone]
