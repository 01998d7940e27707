"""Rows as answers: dictionaries that JSON can hold, with RFC 3339 times and JSON decoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from warmcell.errors import QueryError
from warmcell.ids import rfc3339
from warmcell_server.store.jsontext import decode

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["asked", "dicts"]

_TIMES = frozenset({"created_at", "updated_at", "expires_at", "time"})

T = TypeVar("T")


def dicts(
    cursor: DuckDBPyConnection, query: str, values: Iterable[Any] = (), json: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Return the rows of a query. Columns named in ``json`` are decoded; those that are called
    like a time are microseconds, and become RFC 3339."""
    rows = cursor.execute(query, list(values)).fetchall()
    names = [column[0] for column in cursor.description or ()]
    decoded = frozenset(json)
    return [
        {name: _plain(name, value, decoded) for name, value in zip(names, row, strict=True)}
        for row in rows
    ]


def asked(request: Mapping[str, Any], form: type[T]) -> T:
    """Return what a request says, typed; numbers may be text, as in a URL.

    Raises :class:`QueryError` for what ``form`` does not have, or not so.
    """
    try:
        return msgspec.convert(dict(request), form, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(getattr(form, "__struct_fields__", ()))
        raise QueryError(f"Wrong filter: {error}.", hint=f"There are: {known}.") from error


def _plain(name: str, value: Any, decoded: frozenset[str]) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return rfc3339(value)
    return decode(value) if name in decoded else value
