"""The cache of steps: what can be taken again, and forgetting it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from warmcell_server.intime import read
from warmcell_server.operation import Call, Result, Routes, decode

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


class Clear(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    step: str | None = None
    pipeline: str | None = None
    run: str | None = None


@ROUTES.add("GET", "api/v1/cache")
async def _cache(host: Host, call: Call) -> Result:
    """Entries of the cache: the newest of some ``steps``, those with ``keys``, or of a ``run``."""
    return 200, await read(host.store.read("cached_steps", **call.query))


@ROUTES.add("POST", "api/v1/cache/clear")
async def _clear(host: Host, call: Call) -> Result:
    """Forget results of a step, a pipeline or a run, or all; no artifact goes with them."""
    body = msgspec.to_builtins(decode(call, Clear))
    return 200, await asyncio.wrap_future(host.store.change("clear_cache", **body))
