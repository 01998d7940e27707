"""Examples from life: parameters of the last runs of a deployment that succeeded."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing.exceptions import Unresolvable

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["recent"]

_KEPT = 5
_LOOKED_AT = 40
_LARGEST = 8_000  # bytes of JSON: what people can read, and a page can carry
_SECRET = re.compile(r"secret|password|passwd|token|api_?key|credential", re.IGNORECASE)


async def recent(host: Host, deployment: Deployment) -> list[tuple[str, dict[str, Any]]]:
    """Titles and parameters of the last distinct runs of the snapshot that is served now, newest
    first. Without those that have a secret in them, or are recorded as descriptions only."""
    rows = await asyncio.wrap_future(
        host.store.list_runs(
            deployment=deployment.name,
            pipeline=deployment.pipeline,
            snapshot=deployment.snapshot,
            status="succeeded",
            limit=_LOOKED_AT,
        )
    )
    schema = msgspec.json.decode(deployment.input_schema)
    if _has_secret(schema):
        return []
    validator = Draft202012Validator(schema)
    found: dict[bytes, tuple[str, dict[str, Any]]] = {}
    for run in rows:
        parameters = run["parameters"]
        if not isinstance(parameters, dict):
            continue
        text = msgspec.json.encode(parameters)
        if text in found or len(text) > _LARGEST or not _fits(validator, parameters):
            continue
        found[text] = (f"{run['run_name'] or 'Run'} of {run['created_at'][:19]}Z", parameters)
        if len(found) == _KEPT:
            break
    return list(found.values())


def _has_secret(schema: Any) -> bool:
    """Whether there is a place for a secret, by pydantic's mark or by its name."""
    if isinstance(schema, list):
        return any(_has_secret(part) for part in schema)
    if not isinstance(schema, dict):
        return False
    if schema.get("writeOnly") is True:
        return True
    properties = schema.get("properties")
    names = properties if isinstance(properties, dict) else ()
    return any(_SECRET.search(name) for name in names) or any(
        _has_secret(part) for part in schema.values()
    )


def _fits(validator: Draft202012Validator, parameters: dict[str, Any]) -> bool:
    try:
        validator.validate(parameters)
    except (ValidationError, SchemaError, Unresolvable, re.error):
        return False
    return True
