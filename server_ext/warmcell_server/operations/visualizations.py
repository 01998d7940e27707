"""Curated visualizations: views of artifact versions that are shown with something."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from warmcell.errors import UsageError
from warmcell.ids import new_id
from warmcell_server.auditing import who
from warmcell_server.intime import read
from warmcell_server.operation import Call, Result, Routes, decode

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Place = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Layout = Literal["full_width", "half_width"]


class Resource(msgspec.Struct, forbid_unknown_fields=True):
    """A model, deployment, pipeline or project by its name, a run by its id, a snapshot as
    ``churn/3``."""

    kind: Literal["model", "deployment", "pipeline", "run", "snapshot", "project"]
    id: str


class NewVisualization(msgspec.Struct, forbid_unknown_fields=True):
    """Visualization ``number`` (from 0) of the artifact version with the id ``version``. ``id`` is
    a UUIDv7 of whoever asks, so that asking twice makes one."""

    version: str
    resources: Annotated[list[Resource], msgspec.Meta(min_length=1, max_length=100)]
    number: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    name: Name | None = None
    place: Place | None = None
    layout: Layout = "full_width"
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None


class ChangedVisualization(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: Name | None = None
    place: Place | None = None
    layout: Layout | None = None


@ROUTES.add("GET", "api/v1/visualizations")
async def _list(host: Host, call: Call) -> Result:
    """Those that are shown with the thing that ``kind`` and ``id`` name, in the order in which they
    are shown; without them all."""
    kind, name = call.query.get("kind"), call.query.get("id")
    if (kind is None) != (name is None):
        raise UsageError("What are they shown with?", hint="Ask for ?kind=model&id=churn.")
    found = await read(host.store.read("list_curated", kind=kind, id=name))
    return 200, {"visualizations": found}


@ROUTES.add("POST", "api/v1/visualizations", NewVisualization)
async def _create(host: Host, call: Call) -> Result:
    """Show a visualization of an artifact version with something."""
    body = decode(call, NewVisualization)
    request = {**msgspec.to_builtins(body), "id": body.id or new_id()}
    return 201, await _change(host, call, "create_curated", request)


@ROUTES.add("GET", "api/v1/visualizations/*")
async def _get(host: Host, call: Call) -> Result:
    """One of them."""
    return 200, await read(host.store.read("get_curated", id=call.arguments[0]))


@ROUTES.add("PATCH", "api/v1/visualizations/*", ChangedVisualization)
async def _update(host: Host, call: Call) -> Result:
    """Change what it is called, its place among the others, or how wide it is."""
    body = decode(call, ChangedVisualization)
    request = {"id": call.arguments[0], **msgspec.to_builtins(body)}
    return 200, await _change(host, call, "update_curated", request)


@ROUTES.add("DELETE", "api/v1/visualizations/*")
async def _delete(host: Host, call: Call) -> Result:
    """Show it nowhere any more; the artifact stays."""
    return 200, await _change(host, call, "delete_curated", {"id": call.arguments[0]})


async def _change(host: Host, call: Call, name: str, request: dict[str, Any]) -> Any:
    return await asyncio.wrap_future(host.store.change(name, **request, user=who(call)))
