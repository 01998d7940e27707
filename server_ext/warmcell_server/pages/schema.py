"""JSON Schemas as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from warmcell_server.openapi.schemas import COMPONENT
from warmcell_server.pages.markup import Html, el, join, prose

__all__ = ["anchor", "json_block", "schema_html", "type_html"]

_DEEPEST = 12
_LIMITS = (
    ("minimum", "≥"),
    ("exclusiveMinimum", ">"),
    ("maximum", "≤"),
    ("exclusiveMaximum", "<"),
    ("multipleOf", "a multiple of"),
    ("minLength", "length ≥"),
    ("maxLength", "length ≤"),
    ("minItems", "items ≥"),
    ("maxItems", "items ≤"),
    ("pattern", "matches"),
)


def anchor(name: str) -> str:
    """The id of the component ``name`` on the page."""
    return f"schema-{name}"


def schema_html(schema: Any, depth: int = 0) -> Html:
    """A schema in full: its type, what it says of itself, its properties."""
    if not isinstance(schema, Mapping):
        return el("p", "Nothing." if schema is False else "Anything.")
    head = el("div", type_html(schema), *_notes(schema), class_="type")
    if depth > _DEEPEST:
        return head
    parts = [head, prose(_text(schema.get("description")))]
    parts.append(_properties(schema, depth))
    for inner in _inner(schema):
        if _has_properties(inner):
            parts.append(el("div", schema_html(inner, depth + 1), class_="inner"))
    return join(*parts)


def type_html(schema: Any) -> Html:
    """The type of a schema in a few words, with links to components."""
    if not isinstance(schema, Mapping):
        return Html("nothing" if schema is False else "anything")
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix(COMPONENT)
        return el("a", name, href=f"#{anchor(name)}")
    if "const" in schema:
        return el("code", _json(schema["const"]))
    if isinstance(schema.get("enum"), list):
        return _joined(" | ", [el("code", _json(value)) for value in schema["enum"]])
    for keyword, word in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " and ")):
        if isinstance(schema.get(keyword), list):
            return _joined(word, [type_html(part) for part in schema[keyword]])
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return _joined(" or ", [_simple(one, schema) for one in kinds])


def json_block(value: Any) -> Html:
    """A JSON value over several lines."""
    return el("pre", msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _simple(kind: Any, schema: Mapping[str, Any]) -> Html:
    if kind is None:
        return Html("object" if "properties" in schema else "anything")
    if kind == "array":
        if isinstance(schema.get("prefixItems"), list):
            inner = _joined(", ", [type_html(part) for part in schema["prefixItems"]])
            return join("array of (", inner, ")")
        return join("array of ", type_html(schema["items"])) if "items" in schema else Html("array")
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return join("object of ", type_html(schema["additionalProperties"]))
    return join(str(kind))


def _notes(schema: Mapping[str, Any]) -> Iterator[Html]:
    if _text(schema.get("format")):
        yield el("span", f" ({schema['format']})")
    for keyword, sign in _LIMITS:
        if keyword in schema:
            yield join(" ", el("span", f"{sign} {schema[keyword]}", class_="limit"))
    if schema.get("writeOnly"):
        yield el("span", " secret", class_="limit")
    if "default" in schema:
        yield join(" default ", el("code", _json(schema["default"])))


def _properties(schema: Mapping[str, Any], depth: int) -> Html:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return Html()
    required = schema.get("required") or ()
    rows = []
    for name, part in properties.items():
        mark = el("span", "required" if name in required else "optional", class_="mark")
        rows += [
            el("dt", el("code", str(name)), " ", mark),
            el("dd", schema_html(part, depth + 1)),
        ]
    return el("dl", *rows, class_="properties")


def _inner(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Schemas within whose own properties the words of the type do not tell."""
    if "items" in schema:
        yield schema["items"]
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(schema.get(keyword), list):
            yield from schema[keyword]


def _has_properties(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    return bool(schema.get("properties")) or any(_has_properties(part) for part in _inner(schema))


def _joined(between: str, parts: list[Html]) -> Html:
    found: list[str] = []
    for part in parts:
        found += [between, part] if found else [part]
    return join(*found)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
