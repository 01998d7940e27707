"""Housekeeping: the history is kept within the age and the size that the configuration allows."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from warmcell.errors import StoreError
from warmcell_server.store import Store

__all__ = ["Housekeeping", "Keep"]

FIRST = 60.0  # seconds after the start, when those who opened a notebook have what they came for
INTERVAL = 3600.0

log = logging.getLogger("warmcell.housekeeping")


@dataclass(frozen=True)
class Keep:
    """What of the history stays: runs of the last ``days``, at most ``runs``, and at most about
    ``bytes`` of them.

    None keeps everything. Snapshots stay; blobs go when nothing refers to them any more.
    """

    days: float | None = None
    bytes: int | None = 20 << 30
    runs: int | None = None


class Housekeeping:
    """Prunes a store now and then. Belongs to the host's event loop."""

    def __init__(self, store: Store, keep: Keep) -> None:
        self._store = store
        self.keep = keep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first time a minute from now."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        pause = FIRST
        while True:
            await asyncio.sleep(pause)
            pause = INTERVAL
            try:
                await self.prune()
            except StoreError as error:
                log.warning("The history could not be pruned: %s", error)

    async def prune(self) -> dict[str, int]:
        """Delete what need not stay, and return how much went."""
        keep = self.keep
        gone: dict[str, int] = await asyncio.wrap_future(
            self._store.prune(max_age_days=keep.days, max_bytes=keep.bytes, max_runs=keep.runs)
        )
        if any(gone.values()):
            log.info("Pruned from the history: %s", gone)
        return gone

    async def close(self) -> None:
        """End. Harmless when repeated."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
