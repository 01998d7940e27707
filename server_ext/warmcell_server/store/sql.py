"""A user's SQL: guarded, read-only, bounded in rows and in time, answered in JSON's own types."""

from __future__ import annotations

import base64
import math
import mmap
import threading
import time
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

__all__ = ["MAX_BYTES", "MAX_ROWS", "Table", "Watch", "deadline", "run_query"]

MAX_ROWS = 100_000
MAX_BYTES = 64 << 20
"""Of an answer, about: as text. What is beyond is left out, and the answer says so."""

GROWTH = 1 << 30
"""Bytes by which the process may grow while a query runs. DuckDB's own limit leaves out what a
function makes of one value."""

_CHUNK = 1000
_LOOK = 0.05  # seconds between two looks at the memory
_STATM = "/proc/self/statm"
_PAGE = mmap.PAGESIZE
_NARROW = "Narrow it, for example by created_at."


class Table(msgspec.Struct):
    """The answer to a query. ``types`` are DuckDB's names; ``rows`` hold JSON values: times are
    RFC 3339 text (UTC), intervals seconds, bytes base64, JSON columns decoded.
    ``truncated`` says that there was more than ``limit`` rows, or than :data:`MAX_BYTES`."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    truncated: bool = False


def run_query(
    cursor: DuckDBPyConnection, query: str, limit: int, timeout: float, blobs: Path
) -> Table:
    """Run ``query`` on a cursor of its own. ``blobs`` has the files of artifacts.

    Raises :class:`QueryError` if it is refused, fails, or takes more than ``timeout`` seconds or
    more memory than there is for it.
    """
    if not 0 < limit <= MAX_ROWS:
        raise QueryError(f"limit must be 1 to {MAX_ROWS}; it is {limit}.")
    if not timeout > 0:
        raise QueryError(f"timeout must be more than 0 seconds; it is {timeout}.")
    with deadline(cursor, timeout) as watch:
        check(cursor, query)
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return _fetch(cursor.execute(expanded(cursor, query, blobs)), limit)
        except duckdb.InterruptException as error:
            if watch.reason == "time":
                raise QueryError(
                    f"The query took more than {timeout:g} s and was stopped.", hint=_NARROW
                ) from error
            raise QueryError(
                "The query took memory that others need, and was stopped.", hint=_NARROW
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise QueryError(
                "The query takes more memory than there is for it.", hint=_NARROW
            ) from error
        except duckdb.Error as error:
            raise QueryError(str(error).strip()) from error


def _fetch(cursor: DuckDBPyConnection, limit: int) -> Table:
    description = cursor.description or ()
    types = [str(column[1]) for column in description]
    table = Table([column[0] for column in description], types, [])
    chunk, left = 1, MAX_BYTES
    while len(table.rows) <= limit:
        rows = cursor.fetchmany(min(chunk, limit + 1 - len(table.rows)))
        if not rows:
            break
        size = sum(map(_size, rows))
        left -= size
        if left < 0 and table.rows:
            table.truncated = True
            return table
        # Few at once where they are large.
        chunk = max(1, min(_CHUNK, chunk * 4, (1 << 20) * len(rows) // (size + 1)))
        table.rows += [
            [_cell(value, kind) for value, kind in zip(row, types, strict=True)] for row in rows
        ]
    table.truncated = len(table.rows) > limit
    del table.rows[limit:]
    return table


def _size(value: Any) -> int:
    """About how many bytes a value has as text."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(key) + _size(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return 8


class Watch:
    """Why a query was stopped: "time", "memory", or nothing."""

    reason = ""


@contextmanager
def deadline(cursor: DuckDBPyConnection, timeout: float) -> Iterator[Watch]:
    """Interrupt what the cursor executes within, once it has taken ``timeout`` seconds, or the
    process has grown by :data:`GROWTH`."""
    over = threading.Event()
    found = Watch()
    end, most = time.monotonic() + timeout, _resident() + GROWTH

    def watch() -> None:
        # Again and again: an interrupt between two statements of the query would be lost.
        while not over.wait(min(_LOOK, max(0.0, end - time.monotonic()) or _LOOK)):
            if not found.reason:
                if time.monotonic() >= end:
                    found.reason = "time"
                elif _resident() > most:
                    found.reason = "memory"
            if found.reason:
                cursor.interrupt()

    thread = threading.Thread(target=watch, name="warmcell-deadline", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def _resident() -> int:
    """Bytes of memory that the process has; 0 where nobody says."""
    try:
        with open(_STATM, "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


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
