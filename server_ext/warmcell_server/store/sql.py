"""A user's SQL: guarded, read-only, bounded in rows and in time, answered in JSON's own types."""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from warmcell.errors import QueryError

from .guard import check
from .jsontext import decode
from .made import expanded

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["MAX_ROWS", "Table", "deadline", "run_query"]

MAX_ROWS = 100_000
_CHUNK = 1000


class Table(msgspec.Struct):
    """The answer to a query. ``types`` are DuckDB's names; ``rows`` hold JSON values: times are
    RFC 3339 text (UTC), intervals seconds, bytes base64, JSON columns decoded.
    ``truncated`` says that there was more than ``limit`` rows."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    truncated: bool = False


def run_query(
    cursor: DuckDBPyConnection, query: str, limit: int, timeout: float, blobs: Path
) -> Table:
    """Run ``query`` on a cursor of its own. ``blobs`` has the files of artifacts.

    Raises :class:`QueryError` if it is refused, fails or takes more than ``timeout`` seconds.
    """
    if not 0 < limit <= MAX_ROWS:
        raise QueryError(f"limit must be 1 to {MAX_ROWS}; it is {limit}.")
    if not timeout > 0:
        raise QueryError(f"timeout must be more than 0 seconds; it is {timeout}.")
    with deadline(cursor, timeout):
        check(cursor, query)
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return _fetch(cursor.execute(expanded(cursor, query, blobs)), limit)
        except duckdb.InterruptException as error:
            raise QueryError(
                f"The query took more than {timeout:g} s and was stopped.",
                hint="Narrow it, for example by created_at.",
            ) from error
        except duckdb.Error as error:
            raise QueryError(str(error).strip()) from error


def _fetch(cursor: DuckDBPyConnection, limit: int) -> Table:
    description = cursor.description or ()
    types = [str(column[1]) for column in description]
    table = Table([column[0] for column in description], types, [])
    while len(table.rows) <= limit:
        rows = cursor.fetchmany(min(_CHUNK, limit + 1 - len(table.rows)))
        if not rows:
            break
        table.rows += [
            [_cell(value, kind) for value, kind in zip(row, types, strict=True)] for row in rows
        ]
    table.truncated = len(table.rows) > limit
    del table.rows[limit:]
    return table


@contextmanager
def deadline(cursor: DuckDBPyConnection, timeout: float) -> Iterator[None]:
    """Interrupt what the cursor executes within, once it has taken ``timeout`` seconds."""
    over = threading.Event()

    def watch() -> None:
        # Again and again: an interrupt between two statements of the query would be lost.
        pause = timeout
        while not over.wait(pause):
            cursor.interrupt()
            pause = 0.05

    thread = threading.Thread(target=watch, name="warmcell-deadline", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _cell(value: Any, kind: str = "") -> Any:
    """Return ``value`` in JSON's own types."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return decode(value) if kind == "JSON" else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return value.isoformat() + "Z"
    if isinstance(value, date | clock):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {str(_cell(key)): _cell(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_cell(part) for part in value]
    return str(value)
