"""What a host is, and whether something has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import warmcell
from warmcell_server.operation import Call, Result, Routes, number

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()
LONGEST_WAIT = 30.0
CHANGE_INTERVAL = 0.25  # seconds between two answers about changes, at least


@ROUTES.add("GET", "api/v1/status")
async def _status(host: Host, call: Call) -> Result:
    """What this server is, and how it fares."""
    return 200, {
        "version": warmcell.__version__,
        "host_id": host.host_id,
        "mode": host.mode,
        "role": host.store.role,
        "home": str(host.home),
        "url": host.url,
        "notices": host.store.notices,
    }


@ROUTES.add("GET", "api/v1/changes")
async def _changes(host: Host, call: Call) -> Result:
    """Wait until the store has more than version ``since``, at most ``wait`` seconds."""
    since = number(call, "since", 0)
    wait = min(number(call, "wait", 20), LONGEST_WAIT)
    store = host.store
    loop = asyncio.get_running_loop()
    if store.version <= since:
        changed = asyncio.Event()

        def notify() -> None:
            loop.call_soon_threadsafe(changed.set)

        unsubscribe = store.subscribe(notify)
        try:
            if store.version <= since:
                await asyncio.wait_for(changed.wait(), wait)
                await asyncio.sleep(CHANGE_INTERVAL)  # gather a burst into one answer
        except TimeoutError:
            pass
        finally:
            unsubscribe()
    return 200, {"version": store.version}
