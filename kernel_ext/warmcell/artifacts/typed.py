"""Python values as JSON that gives the very same values back.

What JSON has stands as itself; anything else is an object with one key that begins with ``$``:
``{"$tuple": [1, 2]}``, ``{"$datetime": "2026-01-02T03:04:05"}``. An object whose own keys begin
with ``$``, or are no text, is ``{"$dict": [[key, value], ...]}``.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Any

from warmcell.artifacts.files import canonical

__all__ = ["from_typed", "to_typed"]

_DEEP = 100
_WORD = 1 << 63
_SAME = frozenset({type(None), bool, str})


def to_typed(value: Any, depth: int = 0) -> Any:
    """``value`` as what JSON has. Raises ``TypeError`` for what would not come back the same."""
    kind = type(value)
    if kind in _SAME:
        return value
    if kind is int:
        return value if -_WORD <= value < _WORD else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if depth > _DEEP:
        raise TypeError("it is nested too deeply")
    if kind is list:
        return [to_typed(item, depth + 1) for item in value]
    if kind is dict:
        if all(type(key) is str and key[:1] != "$" for key in value):
            return {key: to_typed(item, depth + 1) for key, item in value.items()}
        items = value.items()
        return {"$dict": [[to_typed(k, depth + 1), to_typed(v, depth + 1)] for k, v in items]}
    if kind is tuple:
        return {"$tuple": [to_typed(item, depth + 1) for item in value]}
    if kind is set or kind is frozenset:
        parts = sorted((to_typed(item, depth + 1) for item in value), key=canonical)
        return {f"${kind.__name__}": parts}
    write = _WRITE.get(kind)
    if write is None:
        raise TypeError(f"{kind.__qualname__} has no typed JSON form")
    return {f"${kind.__name__}": write(value)}


def from_typed(value: Any) -> Any:
    """What :func:`to_typed` was given. Raises ``ValueError`` for what it did not write."""
    if type(value) is list:
        return [from_typed(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key[:1] == "$":
            return _special(key[1:], inner)
    return {key: from_typed(item) for key, item in value.items()}


def _special(name: str, inner: Any) -> Any:
    if name == "dict":
        return {from_typed(key): from_typed(item) for key, item in inner}
    if name in _MANY:
        return _MANY[name](from_typed(item) for item in inner)
    read = _READ.get(name)
    if read is None:
        raise ValueError(f"This Warmcell does not know the form ${name}.")
    return read(inner)


def _datetime(value: datetime.datetime) -> Any:
    if value.fold or (value.tzinfo is not None and type(value.tzinfo) is not datetime.timezone):
        raise TypeError("a time zone with rules has no typed JSON form")
    return value.isoformat()


def _time(value: datetime.time) -> Any:
    if value.fold or (value.tzinfo is not None and type(value.tzinfo) is not datetime.timezone):
        raise TypeError("a time zone with rules has no typed JSON form")
    return value.isoformat()


def _bytes(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _complex(value: complex) -> list[Any]:
    return [to_typed(value.real), to_typed(value.imag)]


_MANY: dict[str, Callable[[Any], Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_WRITE: dict[type, Callable[[Any], Any]] = {
    datetime.datetime: _datetime,
    datetime.date: datetime.date.isoformat,
    datetime.time: _time,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    decimal.Decimal: str,
    uuid.UUID: str,
    bytes: _bytes,
    bytearray: _bytes,
    complex: _complex,
}
_READ: dict[str, Callable[[Any], Any]] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda parts: datetime.timedelta(*parts),
    "Decimal": decimal.Decimal,
    "UUID": uuid.UUID,
    "bytes": base64.b64decode,
    "bytearray": lambda text: bytearray(base64.b64decode(text)),
    "complex": lambda parts: complex(*map(from_typed, parts)),
}
