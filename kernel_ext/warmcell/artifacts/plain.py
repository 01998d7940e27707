"""Values that JSON, text or bytes carry as they are."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from typing import Any, ClassVar

import pydantic_core

from warmcell.artifacts.files import INLINE, Incoming, Outgoing, canonical
from warmcell.artifacts.serializer import Serializer, Summary
from warmcell.artifacts.typed import from_typed, to_typed
from warmcell.schemas.jsonform import to_json

__all__ = ["Bytes", "Json", "Text", "fits"]

_NODES = 2_000
_INLINE = INLINE
_SHOWN = 200
_ATOMS = (type(None), bool, int, float, datetime.date, datetime.time, datetime.timedelta)
_SCALARS = (*_ATOMS, decimal.Decimal, uuid.UUID, enum.Enum)


class Text(Serializer):
    """A string."""

    kind: ClassVar[str] = "text"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and not isinstance(value, enum.Enum)

    def summarise(self, value: str) -> Summary:
        if len(value) <= _INLINE // 4:
            try:
                data = pydantic_core.to_json(str(value))
            except ValueError:  # half a character has no UTF-8
                return Summary(len(value), repr(value[:_SHOWN]))
            return Summary(len(data) - 2, None, data)
        return Summary(len(value), f"{len(value):,} characters: {value[:_SHOWN]!r}…")

    def freeze(self, value: str) -> Any:
        return value

    def save(self, value: str, out: Outgoing) -> None:
        if type(value) is not str:
            raise TypeError("a subclass of str is more than its text")
        data = value.encode("utf-8", "surrogatepass")
        try:
            small = len(data) <= INLINE and out.inline(value)
        except ValueError:  # half a character, which JSON does not have
            small = False
        if not small:
            out.write("value.txt", data)

    def load(self, parts: Incoming) -> str:
        if not parts.names:
            return str(parts.value)
        return parts.read("value.txt").decode("utf-8", "surrogatepass")

    def facts(self, value: str) -> dict[str, Any]:
        return {"characters": len(value)}


class Bytes(Serializer):
    """Bytes, whatever they mean."""

    kind: ClassVar[str] = "bytes"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bytes | bytearray | memoryview)

    def summarise(self, value: bytes) -> Summary:
        size = memoryview(value).nbytes
        return Summary(size, f"{size:,} bytes")

    def freeze(self, value: Any) -> Any:
        return value if type(value) is bytes else None

    def save(self, value: Any, out: Outgoing) -> None:
        if type(value) not in (bytes, bytearray):
            raise TypeError("only bytes and bytearray come back the same")
        out.form["mutable"] = type(value) is bytearray
        out.write("value.bin", value)

    def load(self, parts: Incoming) -> Any:
        data = parts.read("value.bin")
        return bytearray(data) if parts.form.get("mutable") else data

    def facts(self, value: Any) -> dict[str, Any]:
        return {"bytes": memoryview(value).nbytes}


class Json(Serializer):
    """Numbers, dates, enums, and containers of what has a JSON form."""

    kind: ClassVar[str] = "json"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, (*_SCALARS, dict, list, tuple, set, frozenset))

    def summarise(self, value: Any) -> Summary:
        if fits(value):
            try:
                data = to_json(value)
            except ValueError:
                data = b""
            if 0 < len(data) <= _INLINE:
                return Summary(len(data), None, data)
        return Summary(None, outline(value))

    def save(self, value: Any, out: Outgoing) -> None:
        written = to_typed(value)
        if not out.inline(written):
            out.write("value.json", canonical(written))

    def load(self, parts: Incoming) -> Any:
        if not parts.names:
            return from_typed(parts.value)
        return from_typed(json.loads(parts.read("value.json")))

    def facts(self, value: Any) -> dict[str, Any]:
        return {"items": len(value)} if hasattr(type(value), "__len__") else {}


def fits(value: Any) -> bool:
    """Say whether ``value`` is small enough to encode: bounded nodes, no long text."""
    budget = [_NODES, _INLINE]
    try:
        return _spend(value, budget, 0)
    except RuntimeError:
        return False  # changed by another thread while we looked


def _spend(value: Any, budget: list[int], depth: int) -> bool:
    budget[0] -= 1
    if budget[0] < 0 or depth > 20:
        return False
    if isinstance(value, str | bytes):
        budget[1] -= len(value)
        return budget[1] >= 0
    if isinstance(value, dict):
        return len(value) <= budget[0] and all(
            _spend(key, budget, depth + 1) and _spend(item, budget, depth + 1)
            for key, item in value.items()
        )
    if isinstance(value, list | tuple | set | frozenset):
        return len(value) <= budget[0] and all(_spend(i, budget, depth + 1) for i in value)
    if isinstance(value, _SCALARS):
        return True
    size = getattr(value, "size", None)  # an array or a frame within
    if isinstance(size, int):
        budget[0] -= size
        return budget[0] >= 0
    fields = getattr(value, "__dict__", None)
    return fields is not None and _spend(fields, budget, depth + 1)


def outline(value: Any) -> str:
    """Name the shape of a container: ``dict of 3: name, age, orders``."""
    kind = type(value).__name__
    if isinstance(value, dict):
        keys = [str(key)[:40] for key, _ in zip(tuple(value), range(8), strict=False)]
        more = ", …" if len(value) > len(keys) else ""
        return f"{kind} of {len(value):,}: {', '.join(keys)}{more}" if keys else f"empty {kind}"
    if isinstance(value, list | tuple | set | frozenset):
        first = type(next(iter(value))).__name__ if value else ""
        return f"{kind} of {len(value):,}: {first}, …" if value else f"empty {kind}"
    return kind
