"""Restoring: deployments whose kernel went away come back in a dedicated kernel.

All deployments that were lost together come back in one kernel: of the kernelspec and in the folder
of the kernel that was lost, from the stored forms of their snapshots. What cannot be restored says
so in its ``reason``; what fails is tried again, after 1, 2, 4 … 60 s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from warmcell.errors import (
    Conflict,
    NameTaken,
    NotFound,
    SnapshotError,
    StoreError,
    StoreFull,
    UsageError,
    WarmcellError,
)
from warmcell.records import DeploymentEntry
from warmcell_server.deployment import Deployment
from warmcell_server.holding import Held, Holding
from warmcell_server.lifetimes import Lifetimes
from warmcell_server.replicas import Replicas
from warmcell_server.restoration import Restoration
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.kernelcells import Cells

__all__ = ["Restoring"]

GRACE_SECONDS = 0.5  # a kernel that lives and lost its link is back by then

log = logging.getLogger("warmcell.restoring")


class Restoring:
    """Brings deployments back. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: list[asyncio.Task[None]] = []
        self.closed = False
        self.holding = Holding(host)
        self.replicas = Replicas(host, self)
        self.lifetimes = Lifetimes(host)

    def start(self) -> None:
        """Begin to look at the health of kernels, and at what rests or ends."""
        loop = asyncio.get_running_loop()
        looks = (self.lifetimes.watch(), self.replicas.watch())
        self._watches = [loop.create_task(look) for look in looks]

    def resume(self, deployments: Iterable[Deployment]) -> None:
        """Bring back what was served when a server ended. Deployments of one notebook had one
        kernel, unless they had kernels of their own."""
        groups: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            if deployment.ready or deployment.resting or deployment.restoration is not None:
                continue
            own = deployment.served.own_kernels or deployment.notebook is None
            key = f"name {deployment.name}" if own else f"notebook {deployment.notebook}"
            groups.setdefault(key, []).append(deployment)
        for group in groups.values():
            self.begin(group, "The server that served it ended", claim=True)

    def lost(
        self,
        worker: Worker,
        orphans: list[Deployment],
        held: list[tuple[Deployment, Binding]],
        cause: str,
    ) -> None:
        """A worker is gone: ``orphans`` are what nothing serves any more, ``held`` what others lost
        of it. Those with a standby are served by that from now on, the others begin to come back;
        what nobody called for as long as kernels are kept comes back with the next call."""
        if self._host.kernels is None:
            return
        self.replicas.lost(worker, held)
        left = [d for d in orphans if not self.replicas.promote(d)]
        if self.lifetimes.was_culled(worker):
            for deployment in left:
                self.lifetimes.rest(deployment, f"{cause} after nobody had used it for long")
            left = []
        if left:
            self.begin(left, cause, grace=GRACE_SECONDS if "closed its link" in cause else 0.0)

    def trusted(self, pipeline: str, number: int) -> list[Deployment]:
        """A snapshot may be loaded from now on: returns what waited for that, and comes back."""
        waiting = []
        for deployment in self._host.deployments:
            if (deployment.pipeline, deployment.snapshot) != (pipeline, number):
                continue
            if deployment.ready:
                self.switched(deployment)  # it can have a standby now
            elif not (deployment.resting or deployment.restoring or self._host.kernels is None):
                waiting.append(deployment)
        if waiting:
            self.begin(waiting, "It was not trusted until now", claim=True)
        return waiting

    def switched(self, deployment: Deployment) -> None:
        """Another snapshot, or another worker, serves a deployment now."""
        self.replicas.keep(deployment)

    async def close(self) -> None:
        """Give up what goes on, and begin nothing more. Harmless when repeated."""
        self.closed = True
        tasks = [*self._tasks, *self._watches]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for deployment in self._host.deployments:
            deployment.served_again.set()  # who waits for it hears that there is nothing

    # -- the way back ------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work``, a coroutine, in the background, until the end of the host."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def begin(
        self, deployments: list[Deployment], cause: str, *, claim: bool = False, grace: float = 0.0
    ) -> None:
        """Have deployments come back together; ``claim`` their names first where another host may
        have taken them meanwhile, and wait ``grace`` seconds for their kernel."""
        if self.closed:
            return
        restoration = Restoration(deployments, cause)
        for deployment in deployments:
            deployment.restoration = restoration
            deployment.served_again.clear()
        restoration.explain()
        self.spawn(self._bring_back(restoration, claim, grace))

    async def _bring_back(self, restoration: Restoration, claim: bool, grace: float) -> None:
        try:
            if claim:
                await self._claim(restoration)
            await asyncio.sleep(grace)
            while restoration.wanted():
                wait = restoration.pause()
                restoration.next_at = time.monotonic() + wait if wait else None
                await asyncio.sleep(wait)
                restoration.next_at = None
                try:
                    failure = await self._attempt(restoration)
                except Exception as error:  # of Jupyter, of the system: it may be over next time
                    log.exception("Restoring failed")
                    failure = f"{type(error).__name__}: {error}"
                restoration.failures += 1
                restoration.explain(failure)
        except Exception as error:
            # Whatever is wrong in here must not leave callers waiting.
            log.exception("Restoring failed")
            for deployment in restoration.wanted():
                self._give_up(deployment, restoration, f"{type(error).__name__}: {error}")

    async def _claim(self, restoration: Restoration) -> None:
        """Make the names this host's, unless another one was faster."""
        host = self._host
        for deployment in restoration.wanted():
            try:
                await host.claim(deployment.record(host.host_id))
            except NameTaken as taken:
                self._give_up(deployment, restoration, taken.message)
                await host.refresh()
            except StoreError as error:  # it is claimed again before it serves
                log.warning("'%s' cannot be claimed yet: %s", deployment.name, error)

    async def _attempt(self, restoration: Restoration) -> str:
        """Restore what is wanted in a new kernel; returns why something is still missing."""
        newest, environment = 0, dict[str, Any]()
        for deployment in restoration.wanted():
            found = await self.holding.row(deployment.pipeline, deployment.snapshot)
            if isinstance(found, str):
                self._give_up(deployment, restoration, found)
                continue
            deployment.stored = found["stored"]
            if deployment.updated_at > newest:
                newest, environment = deployment.updated_at, found["environment"]
        wanted = restoration.wanted()
        if not wanted:
            return ""
        failure = ""
        try:
            async with self.holding.kernel(Held.of(wanted[0]), environment) as cells:
                for deployment in wanted:
                    if deployment in restoration.wanted():
                        failure = await self._restore(cells, deployment, restoration) or failure
        except UsageError as error:
            for deployment in restoration.wanted():
                self._give_up(deployment, restoration, error.message)
        except WarmcellError as error:
            return error.message
        return failure

    async def _restore(
        self, cells: Cells, deployment: Deployment, restoration: Restoration
    ) -> str | None:
        """Restore one deployment; returns what failed, unless it never will succeed."""
        try:
            binding = await self.holding.restore(cells, Held.of(deployment))
            await self._serve(deployment, binding)
        except (SnapshotError, UsageError) as error:
            self._give_up(deployment, restoration, error.message)
        except NameTaken as taken:
            self._give_up(deployment, restoration, taken.message)
            await self._host.refresh()
        except (Conflict, NotFound) as error:
            return None if deployment.ready else error.message
        except WarmcellError as error:
            log.warning("Restoring '%s' failed: %s", deployment.name, error)
            return error.message
        return None

    async def _serve(self, deployment: Deployment, binding: Binding) -> None:
        """A dedicated kernel has restored a deployment: serve from there.

        Raises :class:`Conflict` for what is not wanted any more.
        """
        host = self._host
        name = deployment.name
        # Who changes the name just now has claimed it, or will, for what it serves from then on.
        if _fits(host.deployments.find(name), deployment, binding) and not (
            host.deployments.changing(name).locked()
        ):
            record = deployment.record(host.host_id, "serving")
            await asyncio.wrap_future(host.store.claim(record))
            if (now := host.deployments.find(name)) is None:  # the claim may have come after
                record.state = "removed"
                host.store.append(DeploymentEntry(record))
            elif now.ready:
                host.store.append(DeploymentEntry(now.record(host.host_id)))
        if not _fits(host.deployments.find(name), deployment, binding):
            host.deployments.retire(binding)
            raise Conflict(f"Deployment '{deployment.name}' needs no restored kernel any more.")
        host.deployments.adopt(deployment, binding)
        host.dispatcher.switched(deployment)
        self.switched(deployment)
        log.info("Deployment '%s' is restored.", deployment.name)

    def _give_up(self, deployment: Deployment, restoration: Restoration, reason: str) -> None:
        """Nothing serves a deployment any more, until it is deployed again."""
        if deployment.restoration is not restoration:
            return
        deployment.restoration = None
        deployment.served_again.set()
        deployment.reason = (
            f"{restoration.cause}. {reason.rstrip('.')}. Deploy it again from "
            f"{deployment.notebook or 'its notebook'}."
        )
        self._host.dispatcher.orphaned(deployment)
        try:
            self._host.store.append(DeploymentEntry(deployment.record(self._host.host_id)))
        except StoreFull as failure:
            log.error("The end of '%s' could not be recorded: %s", deployment.name, failure)


def _fits(now: Deployment | None, deployment: Deployment, binding: Binding) -> bool:
    """Whether a restored snapshot is still the one that is to be served, and nothing serves it."""
    served = deployment.pipeline, deployment.snapshot
    return now is deployment and not deployment.ready and served == binding.holds
