"""Columns from JSON: objects unpacked, types as the schema says, else as the values are.

A schema describes the newest snapshot; older calls may have been of another form. So the values
decide what can be unpacked, and a column whose values do not fit its type has them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["FIXED", "Column", "Declared", "declared", "merged", "named", "unpacked"]

FIXED = ("created_at", "status", "duration", "snapshot", "user", "error_type", "error")
"""What there is of every call, whatever it takes and gives."""

MOST_KEYS = 64  # of an object without a schema, that become columns
_DEPTH = 8
_FILE = frozenset({"content_type", "size", "href"})
_INTEGERS = range(-(2**63), 2**63)
_KINDS = ("boolean", "integer", "number", "string")


class Column(NamedTuple):
    """Values of one place: ``path`` leads there from the parameters or the outputs. ``values``
    is a pandas array or a list."""

    path: tuple[str, ...]
    values: Any


class Declared(NamedTuple):
    """A place that a schema has: ``kind`` is boolean, integer, number, string or None, ``format``
    of a string date-time or date."""

    path: tuple[str, ...]
    kind: str | None
    format: str | None = None


def declared(schema: Mapping[str, Any]) -> list[Declared]:
    """The columns that ``schema`` promises, objects unpacked as far as it names their fields."""
    return list(_declared((), schema, schema.get("$defs") or {}, _DEPTH))


def merged(schemas: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """One schema of several, the newest first: older ones add what it does not have any more."""
    whole: dict[str, Any] = {"properties": {}, "$defs": {}}
    for schema in schemas:
        for part, known in whole.items():
            whole[part] = {**((schema or {}).get(part) or {}), **known}
    return whole


def named(
    inputs: Sequence[tuple[str, ...]], outputs: Sequence[tuple[str, ...]]
) -> tuple[list[str], list[str]]:
    """Names of columns, ``customer.age`` of the parameter's field; one that would come twice says
    what it is: ``input.x``, ``output.x``."""
    plain = [".".join(path) for path in (*inputs, *outputs)]
    taken = {name for name in plain if plain.count(name) > 1} | {*FIXED, "run_id"}

    def chosen(place: str, paths: Sequence[tuple[str, ...]]) -> list[str]:
        names = map(".".join, paths)
        return [f"{place}.{name}" if name in taken else name for name in names]

    return chosen("input", inputs), chosen("output", outputs)


def unpacked(
    schema: Mapping[str, Any], rows: Sequence[Any], *, unpack: bool = True
) -> Iterator[Column]:
    """Yield the columns of ``rows``, which are objects of JSON that ``schema`` describes, or None.

    Without ``unpack`` only the outermost objects are unpacked.
    """
    definitions = schema.get("$defs") or {}
    yield from _columns((), schema, rows, definitions, _DEPTH if unpack else 1)


def _columns(
    path: tuple[str, ...],
    schema: Mapping[str, Any],
    values: Sequence[Any],
    definitions: Mapping[str, Any],
    depth: int,
) -> Iterator[Column]:
    schema = _resolved(schema, definitions)
    declared: Mapping[str, Any] = schema.get("properties") or {}
    keys = _keys(declared, values) if depth else None
    if not path and keys is None:
        keys = list(declared)
    if keys is None:
        yield Column(path, _typed(schema, values))
        return
    for key in keys:
        inner = [value.get(key) if isinstance(value, dict) else None for value in values]
        yield from _columns((*path, key), declared.get(key) or {}, inner, definitions, depth - 1)


def _declared(
    path: tuple[str, ...], schema: Any, definitions: Mapping[str, Any], depth: int
) -> Iterator[Declared]:
    schema = _resolved(schema, definitions)
    fields: Mapping[str, Any] = schema.get("properties") or {}
    if path and (not fields or not depth or fields.keys() >= _FILE):
        yield Declared(path, _kind(schema), schema.get("format"))
        return
    for key, inner in fields.items():
        yield from _declared((*path, key), inner, definitions, depth - 1)


def _keys(declared: Mapping[str, Any], values: Sequence[Any]) -> list[str] | None:
    """The keys of objects that become columns; None where the values stay whole."""
    if declared.keys() >= _FILE:
        return None
    found = dict.fromkeys(declared)
    some = bool(declared)
    for value in values:
        if value is None:
            continue
        if not isinstance(value, dict) or "$type" in value or value.keys() == _FILE:
            return None
        some = True
        found.update(dict.fromkeys(value))
    if not some or not found or len(found) > max(MOST_KEYS, len(declared)):
        return None
    return list(found)


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema says once references are followed and null is left out."""
    for _ in range(_DEPTH):
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            schema = definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
            continue
        several = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if not several:
            return schema
        others = [one for one in several if not _is_null(one)]
        if len(others) != 1:
            return {}
        [schema] = others
    return {}


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"


def _typed(schema: Mapping[str, Any], values: Sequence[Any]) -> Any:
    """The values as a column of the type that fits them."""
    import pandas

    kind = _kind(schema) or _inferred(values)
    given = schema.get("format")
    try:
        if kind == "integer" and all(_whole(value) for value in values):
            return pandas.array(
                [None if value is None else int(value) for value in values], dtype="Int64"
            )
        if kind == "number" and all(_number(value) for value in values):
            return pandas.array(
                [float("nan") if value is None else float(value) for value in values],
                dtype="float64",
            )
        if kind == "boolean" and all(isinstance(value, bool | None) for value in values):
            return pandas.array(list(values), dtype="boolean")
        if kind == "string" and all(isinstance(value, str | None) for value in values):
            if given in ("date-time", "date"):
                return pandas.to_datetime(
                    pandas.Series(values, dtype="object"),
                    utc=given == "date-time",
                    format="ISO8601",
                )
            return pandas.array(list(values), dtype="string")
    except (ValueError, OverflowError):
        pass  # a time that is none, or too far away: the values as they are
    return list(values)


def _kind(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        rest = [one for one in kind if one != "null"]
        kind = rest[0] if len(rest) == 1 else None
    if kind is None and ("enum" in schema or "const" in schema):
        return _inferred(schema.get("enum") or [schema.get("const")])
    return kind if kind in _KINDS else None


def _inferred(values: Sequence[Any]) -> str | None:
    """The type of all values; None where they differ, are no scalars, or where there are none."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    for kind, types in zip(_KINDS, (bool, int, int | float, str), strict=True):
        if all(
            isinstance(value, types) and (types is bool or not isinstance(value, bool))
            for value in there
        ):
            return kind
    return None


def _whole(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value == int(value) and int(value) in _INTEGERS


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
