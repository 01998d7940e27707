"""The OpenAPI 3.1 document of the control plane, ``api/v1``, made from its table of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from warmcell_server.openapi.components import ERRORS, components, content, problem_reference
from warmcell_server.operation import BODIES, Route

__all__ = ["control_document"]

PREFIX = "api/v1/"
_ANY = "([^/]+)"
_ROLE = re.compile(r":\w+:`~?(?:[\w.]*\.)?(\w+)`")
_NAMES = {"snapshots": ("pipeline", "number"), "diff": ("after",), "compare": ("other",)}
_REFUSALS = ("400", "401", "403", "404", "409", "422", "503")
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"token": []}]


def control_document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Return the document of all ``routes`` below ``api/v1``. Its server is relative to its own
    address. What an operation does is its docstring; its body, where that has a form, a schema."""
    found = components(public=False)
    found["securitySchemes"].pop("key")
    items: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for method, pattern, operation in routes:
        if not pattern.pattern.startswith(PREFIX):
            continue
        path, names = _template(pattern.pattern.removeprefix(PREFIX).replace(_ANY, "*"))
        item = items.setdefault(path, {"parameters": [_parameter(name) for name in names]})
        concept = path.split("/")[1]
        used.add(concept)
        item[method.lower()] = _operation(
            method, path, concept, operation.__doc__ or "", BODIES.get(operation)
        )
    types = list(dict.fromkeys(BODIES.values()))
    _, schemas = msgspec.json.schema_components(
        types, schema_hook=_anything, ref_template="#/components/schemas/{name}"
    )
    found["schemas"] = {**schemas, "Problem": found["schemas"]["Problem"]}
    found["parameters"] = {}
    for item in items.values():
        if not item["parameters"]:
            del item["parameters"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Warmcell's control plane",
            "version": version,
            "description": "Deployments, runs, artifacts, models, tags, metadata and the store. "
            "The calls of a deployment are in its own document, `{name}/openapi.json`.",
        },
        "servers": [{"url": "./"}],
        "security": _SECURITY,
        "tags": [{"name": concept} for concept in sorted(used)],
        "paths": dict(sorted(items.items())),
        "components": found,
    }


def _anything(kind: type) -> dict[str, Any]:
    """The schema of what is not looked into."""
    return {"description": "Anything."}


def _template(path: str) -> tuple[str, list[str]]:
    """The path with names for its places, and these."""
    names: list[str] = []
    parts = path.split("/")
    for place, part in enumerate(parts):
        if part != "*":
            continue
        first = place - 1 if path.split("/")[place - 1] != "*" else place - 2
        word = parts[first]
        chosen = _NAMES.get(word, (_singular(word),))
        name = chosen[min(place - first - 1, len(chosen) - 1)]
        names.append(name)
        parts[place] = "{" + name + "}"
    return "/" + "/".join(parts), names


def _singular(word: str) -> str:
    return word.removesuffix("es" if word.endswith("ses") else "s").replace("-", "_")


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _operation(
    method: str, path: str, concept: str, text: str, body: type[msgspec.Struct] | None
) -> dict[str, Any]:
    said = _ROLE.sub(r"`\1`", " ".join(text.split())).replace("``", "`")
    summary = re.split(r"(?<=[.:])\s", said, maxsplit=1)[0].rstrip(".:")
    words = re.sub(r"[{}]", "", path).strip("/").replace("-", "_").replace("/", "_")
    found: dict[str, Any] = {
        "operationId": f"{method.lower()}_{words}",
        "tags": [concept],
        "summary": summary,
        "description": said,
        "responses": {
            "2XX": {"description": "Done.", "content": content({})},
            **{status: problem_reference(status) for status in _REFUSALS if status in ERRORS},
        },
    }
    if body is not None:
        schema = {"$ref": f"#/components/schemas/{body.__name__}"}
        found["requestBody"] = {"required": True, "content": content(schema)}
    elif method in ("POST", "PUT", "PATCH"):
        found["requestBody"] = {"content": content({"type": "object"})}
    if method == "GET":
        found["parameters"] = [
            {
                "name": "filters",
                "in": "query",
                "style": "form",
                "explode": True,
                "description": "What is in the description, by name.",
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            }
        ]
    return found
