"""Which bodies besides JSON a pipeline takes and gives, told by its schemas."""

from __future__ import annotations

from typing import Any

from warmcell.bodies import media
from warmcell_server.openapi.components import content
from warmcell_server.openapi.messages import reference

__all__ = ["given", "taken"]

_TABLE = (media.CSV, media.ARROW)
_ARRAY = (media.NPY, media.CSV, media.ARROW)
_FILE = (media.OCTETS,)
_PICTURE = (media.PNG,)


def taken(schema: dict[str, Any]) -> dict[str, Any]:
    """The content of a request: the envelope, parts by the names of the parameters, and what a
    single parameter can be, which then is the whole body."""
    found = content({"anyOf": [reference("Invocation"), reference("Batch")]})
    kinds = _kinds(schema, of_output=False)
    if schema.get("properties"):
        found.update(content(reference("Parameters"), media.MULTIPART))
    found.update({kind: {} for kind in kinds})
    return found


def given(schema: dict[str, Any]) -> dict[str, Any]:
    """The content of an answer, but for streams."""
    kinds = _kinds(schema, of_output=True)
    results = {"anyOf": [reference("Result"), reference("BatchResult")]}
    return {**content(results), **{kind: {} for kind in kinds}}


def _kinds(schema: dict[str, Any], *, of_output: bool) -> list[str]:
    definitions = schema.get("$defs", {})
    found: dict[str, None] = {}
    for part in schema.get("properties", {}).values():
        found.update(dict.fromkeys(_of(part, definitions, of_output=of_output)))
    return list(found)


def _of(schema: Any, definitions: dict[str, Any], *, of_output: bool) -> tuple[str, ...]:
    """The media types of one value. A table is records or columns; an array says nothing of its
    items; what says nothing of itself may be anything."""
    if not isinstance(schema, dict):
        return ()
    if "$ref" in schema:
        schema = definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        if [c.get("description") for c in choices if isinstance(c, dict)] == ["records", "columns"]:
            return _TABLE
        parts = [_of(choice, definitions, of_output=of_output) for choice in choices]
        return tuple(dict.fromkeys(kind for part in parts for kind in part))
    if schema.get("contentMediaType") == "image/*":
        return _PICTURE
    kind, form = schema.get("type"), schema.get("format")
    if kind == "array" and not {"items", "prefixItems"} & schema.keys():
        return _ARRAY
    if kind == "string" and form in ("binary", "path", "base64url"):
        return _FILE if not of_output or form == "binary" else ()
    if kind == "string" and of_output:
        return (media.TEXT,)
    if of_output and not {"type", "enum", "const", "oneOf", "allOf"} & schema.keys():
        return ("*/*",)
    return ()
