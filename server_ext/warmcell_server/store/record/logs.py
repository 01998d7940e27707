"""Searching what runs wrote, whatever started them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from warmcell.errors import QueryError
from warmcell.ids import rfc3339

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["READS"]

MOST = 10_000
SECONDS = 10.0

_COLUMNS = "l.time, l.run_id, r.run_name, r.pipeline, r.deployment, l.step, l.stream, l.level"


class SearchLogs(msgspec.Struct, forbid_unknown_fields=True):
    """Pieces of output, the newest first. ``text`` is looked for whatever its case; with ``regex``
    it is a regular expression. ``since`` and ``until`` are microseconds; several streams or levels
    are joined by commas; ``before`` is the ``next`` of the page before."""

    text: str | None = None
    regex: bool = False
    run_id: str | None = None
    pipeline: str | None = None
    deployment: str | None = None
    step: str | None = None
    stream: str | None = None
    level: str | None = None
    since: int | None = None
    until: int | None = None
    before: str | None = None
    limit: int = 100


def search_logs(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return ``logs``, the newest first, and ``next``, the cursor of the next page or None.

    Raises :class:`QueryError` for a filter that makes no sense, and where it takes too long.
    """
    from ..sql import deadline

    try:
        wanted = msgspec.convert(request, SearchLogs)
    except msgspec.ValidationError as error:
        raise QueryError(f"Wrong filter: {error}.") from error
    if not 0 < wanted.limit <= MOST:
        raise QueryError(f"limit must be 1 to {MOST}.")
    where, values = _conditions(wanted)
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    query = (
        f"SELECT {_COLUMNS}, l.text, l.rowid FROM data.logs l "
        f"LEFT JOIN data.runs r ON r.run_id = l.run_id {clause} "
        "ORDER BY l.time DESC, l.rowid DESC LIMIT ?"
    )
    try:
        with deadline(cursor, SECONDS):
            rows = cursor.execute(query, [*values, wanted.limit + 1]).fetchall()
    except duckdb.InterruptException as error:
        raise QueryError(
            f"The search took more than {SECONDS:g} s and was stopped.",
            hint="Narrow it down with since, pipeline, deployment or run_id.",
        ) from error
    except duckdb.InvalidInputException as error:
        raise QueryError(f"{wanted.text!r} is no regular expression: {error}.") from error
    page = rows[: wanted.limit]
    more = len(rows) > wanted.limit
    return {
        "logs": [_described(row) for row in page],
        "next": f"{page[-1][0]}-{page[-1][-1]}" if more else None,
    }


def _conditions(wanted: SearchLogs) -> tuple[list[str], list[Any]]:
    where: list[str] = []
    values: list[Any] = []

    def add(condition: str, *given: Any) -> None:
        where.append(condition)
        values.extend(given)

    if wanted.text and wanted.regex:
        add("regexp_matches(l.text, ?, 'i')", wanted.text)
    elif wanted.text:
        add("contains(lower(l.text), lower(?))", wanted.text)
    for column in ("l.run_id", "r.pipeline", "r.deployment", "l.step"):
        value = getattr(wanted, column[2:])
        if value is not None:
            add(f"{column} = ?", value)
    cases: dict[str, Callable[[str], str]] = {"stream": str.lower, "level": str.upper}
    for name, case in cases.items():
        value = getattr(wanted, name)
        if value is not None:
            chosen = [case(part.strip()) for part in value.split(",")]
            add(f"l.{name} IN (SELECT unnest(?::VARCHAR[]))", chosen)
    if wanted.since is not None:
        add("l.time >= ?", wanted.since)
    if wanted.until is not None:
        add("l.time < ?", wanted.until)
    if wanted.before is not None:
        time, _, row = wanted.before.partition("-")
        if not (time.isdecimal() and row.isdecimal()):
            raise QueryError(f"{wanted.before!r} is no cursor: it is the `next` of a page.")
        add("(l.time < ? OR (l.time = ? AND l.rowid < ?))", int(time), int(time), int(row))
    return where, values


def _described(row: tuple[Any, ...]) -> dict[str, Any]:
    time, run_id, run_name, pipeline, deployment, step, stream, level, text, _ = row
    return {
        "time": rfc3339(time),
        "run_id": run_id,
        "run_name": run_name,
        "pipeline": pipeline,
        "deployment": deployment,
        "step": step,
        "stream": stream,
        "level": level,
        "text": text,
    }


READS = {"search_logs": search_logs}
