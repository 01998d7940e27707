"""Schemas of a deployment as components of a document."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["COMPONENT", "absorb", "nullable"]

COMPONENT = "#/components/schemas/"
_LOCAL = "#/$defs/"
# Keywords whose values are data, in which "$ref" is a word like any other.
_DATA = frozenset({"default", "const", "enum", "example", "examples"})
# Keywords whose values map names to schemas: a parameter may be called "default".
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})


def absorb(node: Any, prefix: str, components: dict[str, Any]) -> Any:
    """Return ``node``, a schema or what has schemas in it, without any ``$defs``: they have become
    ``components`` under names that begin with ``prefix``. Inside the document, their references
    would point at the document's root."""
    if isinstance(node, list):
        return [absorb(item, prefix, components) for item in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == "$defs" and isinstance(value, dict):
            for name, definition in value.items():
                components[_name(prefix, name)] = absorb(definition, prefix, components)
        elif key in ("$schema", "$id"):
            continue
        elif key == "$ref" and isinstance(value, str):
            found[key] = _pointed(value, prefix)
        elif key == "discriminator" and isinstance(value, dict):
            mapping = {tag: _pointed(ref, prefix) for tag, ref in value.get("mapping", {}).items()}
            found[key] = {**value, "mapping": mapping}
        elif key in _DATA:
            found[key] = value
        elif key in _NAMED and isinstance(value, dict):
            found[key] = {name: absorb(part, prefix, components) for name, part in value.items()}
        else:
            found[key] = absorb(value, prefix, components)
    return found


def nullable(schema: Any) -> Any:
    """Return the schema of an output with every number allowed to be null: that is how NaN and
    infinities are written."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {}
    for key, value in schema.items():
        if key in _DATA:
            found[key] = value
        elif key in _NAMED and isinstance(value, dict):
            found[key] = {name: nullable(part) for name, part in value.items()}
        else:
            found[key] = nullable(value)
    if found.get("type") == "number" and not {"enum", "const"} & found.keys():
        found["type"] = ["number", "null"]
    return found


def _pointed(reference: str, prefix: str) -> str:
    if not reference.startswith(_LOCAL):
        return reference
    return COMPONENT + _name(prefix, reference.removeprefix(_LOCAL))


def _name(prefix: str, name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{prefix}.{name}")
