"""Values of the form that a JSON Schema describes: examples to start from."""

from __future__ import annotations

from typing import Any

__all__ = ["example"]

_LOCAL = "#/$defs/"
_DEEPEST = 8


def example(schema: dict[str, Any]) -> Any:
    """Return a value of the form that ``schema`` describes: for people to start from."""
    return _example(schema, schema.get("$defs", {}), 0)


def _example(schema: Any, definitions: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    for keyword in ("default", "const"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    if "$ref" in schema:
        target = definitions.get(schema["$ref"].removeprefix(_LOCAL), {})
        return _example(target, definitions, depth + 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return _example(schema[keyword][0], definitions, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        return {
            name: _example(part, definitions, depth + 1)
            for name, part in properties.items()
            if name in required or (depth == 0 and "default" in part)
        }
    if kind == "array":
        return [_example(schema.get("items"), definitions, depth + 1)] if "items" in schema else []
    return _scalar(kind, schema)


def _scalar(kind: object, schema: dict[str, Any]) -> Any:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    formats = {
        "date": "2026-01-31",
        "date-time": "2026-01-31T12:00:00Z",
        "time": "12:00:00",
        "uuid": "00000000-0000-4000-8000-000000000000",
        "email": "name@example.org",
    }
    values = {
        "string": formats.get(schema.get("format", ""), "text"),
        "integer": max(low, 0),
        "number": max(float(low), 0.0),
        "boolean": True,
        "null": None,
    }
    return values.get(str(kind))
