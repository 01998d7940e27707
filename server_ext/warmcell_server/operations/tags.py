"""Tags: define, change and delete them, put them on things and take them away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from warmcell.errors import UsageError
from warmcell.tags import check_color, check_name
from warmcell_server.auditing import who
from warmcell_server.intime import read
from warmcell_server.operation import Call, Result, Routes, decode, number

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()
_MOST = 1000  # that are listed


class Named(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tag, and what its author takes it for."""

    name: str
    color: str | None = None
    exclusive: bool | None = None


class Put(msgspec.Struct, forbid_unknown_fields=True):
    """``on`` names the subject; see :func:`.store.record.subjects.resolve`."""

    tags: Annotated[list[Named], msgspec.Meta(max_length=100)]
    on: dict[str, Any]


class Take(msgspec.Struct, forbid_unknown_fields=True):
    tags: Annotated[list[str], msgspec.Meta(max_length=100)]
    on: dict[str, Any]


class Change(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    new_name: str | None = None
    color: str | None = None
    exclusive: bool | None = None


@ROUTES.add("GET", "api/v1/tags")
async def _tags(host: Host, call: Call) -> Result:
    """All tags, and how much has them."""
    return 200, {"tags": await read(host.store.read("list_tags"))}


@ROUTES.add("POST", "api/v1/tags", Named)
async def _create(host: Host, call: Call) -> Result:
    """Define a tag. 409 for one that is defined otherwise."""
    body = decode(call, Named)
    _check(body)
    return 201, await _change(host, call, "create_tag", msgspec.to_builtins(body))


@ROUTES.add("GET", "api/v1/tags/*")
async def _tag(host: Host, call: Call) -> Result:
    """One tag."""
    return 200, await read(host.store.read("get_tag", name=call.arguments[0]))


@ROUTES.add("PATCH", "api/v1/tags/*", Change)
async def _update(host: Host, call: Call) -> Result:
    """Rename a tag, or change its color or whether it is exclusive."""
    body = decode(call, Change)
    check_color(body.color)
    if body.new_name is not None:
        check_name(body.new_name)
    request = {"name": call.arguments[0], **msgspec.to_builtins(body)}
    return 200, await _change(host, call, "update_tag", request)


@ROUTES.add("DELETE", "api/v1/tags/*")
async def _delete(host: Host, call: Call) -> Result:
    """Delete a tag, from everything that has it too."""
    return 200, await _change(host, call, "delete_tag", {"name": call.arguments[0]})


@ROUTES.add("GET", "api/v1/tagged")
async def _tagged(host: Host, call: Call) -> Result:
    """What has the tag that the query names, of one ``kind`` or of all."""
    if "tag" not in call.query:
        raise UsageError("Which tag is meant?", hint="Ask for ?tag=name.")
    limit = max(1, min(int(number(call, "limit", 100)), _MOST))
    given = {"tag": call.query["tag"], "kind": call.query.get("kind"), "limit": limit}
    return 200, {"tagged": await read(host.store.read("tagged", **given))}


@ROUTES.add("POST", "api/v1/tagged", Put)
async def _put(host: Host, call: Call) -> Result:
    """Put tags on something."""
    body = decode(call, Put)
    for tag in body.tags:
        _check(tag)
    return 200, await _change(host, call, "add_tags", msgspec.to_builtins(body))


@ROUTES.add("POST", "api/v1/tagged/remove", Take)
async def _take(host: Host, call: Call) -> Result:
    """Take tags from something."""
    return 200, await _change(host, call, "remove_tags", msgspec.to_builtins(decode(call, Take)))


async def _change(host: Host, call: Call, name: str, request: dict[str, Any]) -> Any:
    change = host.store.change(name, **request, user=who(call))
    return await asyncio.wrap_future(change)


def _check(tag: Named) -> None:
    check_name(tag.name)
    check_color(tag.color)
