"""Schemas from signatures: what a pipeline gives, described as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import pydantic
import pydantic_core

from warmcell.schemas.jsontypes import adapted
from warmcell.schemas.kinds import kind_of
from warmcell.schemas.parameters import DIALECT

__all__ = ["output_schema"]

_FILE = {
    "title": "File",
    "description": "What is too large for JSON, or has no JSON form: fetched from href, which is "
    "relative to the deployment. Where runs are not recorded its bytes are in data.",
    "type": "object",
    "properties": {
        "content_type": {"type": "string"},
        "size": {"type": "integer", "description": "in bytes"},
        "href": {"type": "string", "format": "uri-reference"},
        "data": {"type": "string", "contentEncoding": "base64"},
    },
    "required": ["content_type", "size"],
}


def output_schema(outputs: Iterable[tuple[str, Any]], name: str = "outputs") -> dict[str, Any]:
    """Describe the outputs, pairs of a name and an annotation, as a JSON Schema object.

    A type without a description appears as "anything": this describes, it does not check.
    """
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for key, annotation in outputs:
        schema = _described(annotation)
        definitions.update(schema.pop("$defs", {}))
        properties[key] = schema
    result: dict[str, Any] = {
        "$schema": DIALECT,
        "title": name,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }
    if definitions:
        result["$defs"] = definitions
    return result


def _described(annotation: Any) -> dict[str, Any]:
    if annotation is inspect.Parameter.empty or annotation is None:
        return {}
    kind = kind_of(annotation)
    if not kind.many and kind.name in ("image", "figure"):
        return dict(_FILE)
    try:
        schema = pydantic.TypeAdapter(adapted(annotation)).json_schema(mode="serialization")
    except (pydantic.PydanticUserError, pydantic_core.SchemaError, TypeError):
        return {}
    if kind.many or kind.name not in ("frame", "series", "array", "bytes"):
        return schema
    definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
    return {"anyOf": [schema, dict(_FILE)], **definitions}
