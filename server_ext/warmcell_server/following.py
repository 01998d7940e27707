"""Beginning to follow a run that nobody followed yet."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from warmcell import wire
from warmcell_server.store import Store

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["begin", "changed"]

LOOK_SECONDS = 1.0


def begin(host: Host, run_id: str) -> bool:
    """See to it that the hub has the events of a run; false for one that is not executed here, or
    that ended and was not followed."""
    hub = host.hub
    if hub.knows(run_id):
        return True
    call = host.dispatcher.live(run_id)
    if call is None:
        return host.dispatcher.batch.watch(run_id)
    hub.open(run_id, call.deployment.name, call.user)
    if call.pending is None:
        call.wanted = msgspec.structs.replace(call.wanted, stream=True)
        hub.state(run_id, "queued", queued_ahead=call.deployment.queue.index(call))
    else:
        hub.state(run_id, "running")
        call.pending.binding.worker.send(wire.Watch(run_id))
    return True


async def changed(store: Store) -> None:
    """Wait until the store has changed, or for a moment: another process may write to it."""
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()

    def notify() -> None:
        loop.call_soon_threadsafe(seen.set)

    unsubscribe = store.subscribe(notify)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(seen.wait(), LOOK_SECONDS)
    finally:
        unsubscribe()
