"""Parameters given as text, on a command line: read as the pipeline's JSON Schema says."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from warmcell.errors import ParameterError, UsageError

__all__ = ["pairs", "read"]

_TYPES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
_ANY = frozenset(_TYPES.values())
_DEPTH = 20  # of references in a schema; a cycle ends there


def pairs(words: Sequence[str]) -> dict[str, str]:
    """Read ``--city=London``, ``--city London`` and ``--quiet`` (true) as names and texts.

    Raises :class:`UsageError` for a word that belongs to no name.
    """
    found: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--") or word == "--":
            raise UsageError(
                f"'{word}' is not a parameter.", hint="Write parameters as --name=value."
            )
        name, equals, text = word[2:].partition("=")
        if not name:
            raise UsageError(f"'{word}' names no parameter.", hint="Write --name=value.")
        if not equals:
            text = left.pop(0) if left and not left[0].startswith("--") else "true"
        if name in found:
            raise UsageError(
                f"Parameter '{name}' is given twice.", hint="Write a list as --name='[1, 2]'."
            )
        found[name] = text
    return found


def read(texts: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Turn texts into the JSON values that the parameters of ``schema`` take.

    A parameter that takes text gets the text as it is; any other gets what the text is as JSON,
    or the text where it is none. Hyphens stand for underscores. With an empty schema every name
    will do. Whether a value fits is for the pipeline to say.

    Raises :class:`ParameterError` for a name that the pipeline does not have.
    """
    known: Mapping[str, Any] = schema.get("properties") or {}
    values: dict[str, Any] = {}
    for given, text in texts.items():
        name = given if given in known else given.replace("-", "_")
        if name not in known and schema and not schema.get("additionalProperties"):
            near = difflib.get_close_matches(name, known, 1)
            listed = ", ".join(f"--{known_name}" for known_name in known) or "none"
            raise ParameterError(
                f"There is no parameter '{given}'.",
                errors=[
                    {
                        "pointer": f"/parameters/{name}",
                        "message": "Unexpected parameter",
                        "type": "unexpected_keyword_argument",
                    }
                ],
                hint=f"Did you mean --{near[0]}?" if near else f"Parameters: {listed}.",
            )
        values[name] = _value(text, _kinds(known.get(name, {}), schema))
    return values


def _value(text: str, kinds: frozenset[str]) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        lowered = text.strip().lower()
        if "boolean" in kinds and "string" not in kinds and lowered in ("true", "false"):
            return lowered == "true"
        if "null" in kinds and "string" not in kinds and lowered in ("none", ""):
            return None
        return text
    if "string" not in kinds or kinds == _ANY:
        return value
    # Where text will do, only what is certainly meant otherwise is something else: "12" for
    # `int | str` is a number, "null" for `str | None` is None.
    kind = _TYPES[type(value)]
    fits = kind in kinds or (kind == "integer" and "number" in kinds)
    return value if fits and kind != "string" else text


def _kinds(part: Any, schema: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """The JSON types that a part of a schema takes; all where it does not say."""
    if not isinstance(part, Mapping) or depth > _DEPTH:
        return _ANY
    if "$ref" in part:
        target: Any = schema
        for segment in str(part["$ref"]).removeprefix("#/").split("/"):
            target = target.get(segment, {}) if isinstance(target, Mapping) else {}
        return _kinds(target, schema, depth + 1)
    for union in ("anyOf", "oneOf"):
        if part.get(union):
            return frozenset().union(*(_kinds(p, schema, depth + 1) for p in part[union]))
    if "const" in part or "enum" in part:
        values = part["enum"] if "enum" in part else [part["const"]]
        return frozenset(_TYPES[type(value)] for value in values)
    if part.get("allOf"):
        return frozenset.intersection(*(_kinds(p, schema, depth + 1) for p in part["allOf"]))
    found = part.get("type")
    if found is None:
        return _ANY
    return frozenset([found] if isinstance(found, str) else found)
