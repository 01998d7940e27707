"""The custom endpoints of a deployment, as path items."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from warmcell.wire import EndpointSpec
from warmcell_server.openapi.components import problem_reference
from warmcell_server.openapi.schemas import absorb

__all__ = ["add_endpoints"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_ERRORS = ("400", "401", "403", "404", "413", "415", "422", "429", "500", "503", "504")


def add_endpoints(
    found: dict[str, Any], endpoints: list[EndpointSpec], schemas: dict[str, Any]
) -> None:
    """Add ``endpoints`` to the path items ``found``, and what their operations define to
    ``schemas``. A path of our own stays ours."""
    taken = {
        operation.get("operationId")
        for item in found.values()
        for operation in item.values()
        if isinstance(operation, dict)
    }
    ours = set(found)
    for number, spec in enumerate(endpoints):
        if spec.path in ours:
            continue
        operation = absorb(msgspec.json.decode(spec.operation), f"Endpoint{number}", schemas)
        name = _unused(operation.get("operationId") or spec.name, taken)
        found.setdefault(spec.path, {})[spec.method.lower()] = _completed(operation, spec, name)


def _completed(operation: dict[str, Any], spec: EndpointSpec, name: str) -> dict[str, Any]:
    """The operation with what its author need not write."""
    operation = {"tags": ["custom"], **operation, "operationId": name}
    parameters = [*operation.get("parameters", [])]
    described = {part.get("name") for part in parameters if part.get("in") == "path"}
    for placeholder in _PLACEHOLDER.findall(spec.path):
        if placeholder not in described:
            parameters.append(
                {
                    "name": placeholder,
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string"},
                }
            )
    if parameters:
        operation["parameters"] = parameters
    answers = operation.get("responses") or {"200": {"description": "The answer"}}
    missing = {status: problem_reference(status) for status in _ERRORS if status not in answers}
    operation["responses"] = {**answers, **missing}
    if not spec.auth_required:
        operation.setdefault("security", [{}])
    return operation


def _unused(name: str, taken: set[Any]) -> str:
    """``name``, or with a number behind it where another operation has it."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
