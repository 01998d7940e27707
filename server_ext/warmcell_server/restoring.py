"""Restoring: deployments whose kernel went away come back in a dedicated kernel.

All deployments that were lost together come back in one kernel: of the kernelspec and in the folder
of the kernel that was lost, from the stored forms of their snapshots. What cannot be restored says
so in its ``reason``; what fails is tried again, after 1, 2, 4 … 60 s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from warmcell import wire
from warmcell.errors import (
    Conflict,
    NameTaken,
    NotFound,
    SnapshotError,
    StoreFull,
    UsageError,
    WarmcellError,
)
from warmcell.records import DeploymentEntry
from warmcell_server.deployment import Deployment
from warmcell_server.kernelcells import Job
from warmcell_server.restoration import Restoration
from warmcell_server.spares import Spares
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.kernelcells import Cells
    from warmcell_server.kernels import DedicatedKernels

__all__ = ["Restoring"]

GRACE_SECONDS = 0.5  # a kernel that lives and lost its link is back by then
AT_ONCE = 2  # kernels that start at the same time: they compete for the processor

log = logging.getLogger("warmcell.restoring")

_NOT_YET = "Its snapshot cannot be restored yet: its stored form was not written to the end"


class Restoring:
    """Brings deployments back. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Semaphore(AT_ONCE)
        self.spares = Spares(host, self)

    @property
    def kernels(self) -> DedicatedKernels:
        """Where kernels are started; only a Jupyter server has them."""
        found = self._host.kernels
        assert found is not None
        return found

    def resume(self) -> None:
        """Bring back what was served when the server before ended. Deployments of one notebook had
        one kernel."""
        groups: dict[str, list[Deployment]] = {}
        for deployment in self._host.deployments:
            if not deployment.ready:
                groups.setdefault(deployment.notebook or deployment.name, []).append(deployment)
        for group in groups.values():
            self._begin(group, "The server that served it ended", claim=True)

    def lost(self, worker: Worker, orphans: list[Deployment], cause: str) -> None:
        """A worker is gone: ``orphans`` are what nothing serves any more. Those with a standby are
        served by that from now on, the others begin to come back."""
        if self._host.kernels is None:
            return
        self.spares.lost(worker)
        left = [d for d in orphans if not self.spares.promote(d)]
        if left:
            self._begin(left, cause, grace=GRACE_SECONDS if "closed its link" in cause else 0.0)

    async def announced(self, body: wire.Deploy, worker: Worker) -> Deployment:
        """A dedicated kernel has restored a deployment: serve from there.

        Raises :class:`Conflict` for what is not wanted any more.
        """
        host = self._host
        deployment = host.deployments.find(body.name)
        if not _fits(deployment, body) or (deployment.ready and not body.standby):
            raise Conflict(f"Deployment '{body.name}' needs no restored kernel any more.")
        if body.standby:
            self.spares.take(deployment, Binding(body.key, deployment.snapshot, worker, body))
            return deployment
        record = deployment.record(host.host_id, "serving")
        await asyncio.wrap_future(host.store.claim(record))
        if not _fits(host.deployments.find(body.name), body) or deployment.ready:
            raise Conflict(f"Deployment '{body.name}' was deployed anew meanwhile.")
        host.deployments.switch(body, record, worker, dedicated=True)
        host.dispatcher.switched(deployment)
        log.info("Deployment '%s' is restored.", deployment.name)
        return deployment

    def switched(self, deployment: Deployment) -> None:
        """Another snapshot, or another worker, serves a deployment now."""
        self.spares.keep(deployment)

    async def close(self) -> None:
        """Give up what goes on. Harmless when repeated."""
        tasks = [*self._tasks]
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

    def _begin(
        self, deployments: list[Deployment], cause: str, *, claim: bool = False, grace: float = 0.0
    ) -> None:
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
                failure = await self._attempt(restoration)
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
                record = deployment.record(host.host_id)
                await asyncio.wrap_future(host.store.claim(record))
            except NameTaken as taken:
                self._give_up(deployment, restoration, taken.message)
                await host.refresh()

    async def _attempt(self, restoration: Restoration) -> str:
        """Restore what is wanted in a new kernel; returns why something is still missing."""
        newest, environment = 0, dict[str, Any]()
        for deployment in restoration.wanted():
            found = await self.restorable(deployment)
            if isinstance(found, str):
                self._give_up(deployment, restoration, found)
            elif deployment.updated_at > newest:
                newest, environment = deployment.updated_at, found["environment"]
        wanted = restoration.wanted()
        if not wanted:
            return ""
        failure = ""
        try:
            async with self.kernel(wanted[0], environment) as cells:
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
            await cells.ask("restore", self.wanted(deployment))
        except (SnapshotError, UsageError) as error:
            self._give_up(deployment, restoration, error.message)
        except (Conflict, NotFound) as error:
            return None if deployment.ready else error.message
        except WarmcellError as error:
            log.warning("Restoring '%s' failed: %s", deployment.name, error)
            return error.message
        return None

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

    # -- parts that standbys use too -----------------------------------------------------------

    async def restorable(self, deployment: Deployment) -> dict[str, Any] | str:
        """The snapshot of a deployment as the store has it, or why it cannot be restored."""
        try:
            row: dict[str, Any] = await asyncio.wrap_future(
                self._host.store.get_snapshot(deployment.pipeline, deployment.snapshot)
            )
        except NotFound as error:
            return error.message
        deployment.stored = row["stored"]
        if row["stored"] == "pending":
            return _NOT_YET
        if row["stored"] != "stored":
            return f"Its snapshot cannot be restored ({row['stored']})"
        if not (row.get("environment") or {}).get("kernelspec"):
            return "Its kernel was not one of a Jupyter server, and no other can be started for it"
        return row

    @asynccontextmanager
    async def kernel(
        self, deployment: Deployment, environment: dict[str, Any]
    ) -> AsyncIterator[Cells]:
        """Start a kernel like the one that a snapshot was taken in, to restore something there; it
        ends with this unless it serves by then.

        Raises:
            UsageError: there is no such kernel on this machine.
            DeployError, RunTimedOut: it did not start.
        """
        folder = Path(environment.get("cwd") or self.kernels.root)
        if not await asyncio.to_thread(folder.is_dir):
            folder = self.kernels.root
        job = Job(f"{deployment.notebook or deployment.name}, restored", folder)
        async with self._starting:
            kernel_id = await self.kernels.open(environment["kernelspec"], job)
        try:
            async with self.kernels.cells(kernel_id, job) as cells:
                yield cells
        finally:
            if not self._serves(kernel_id):
                await asyncio.shield(self.kernels.end(kernel_id))

    def _serves(self, kernel_id: str) -> bool:
        for deployment in self._host.deployments:
            for binding in (deployment.binding, deployment.spare, *deployment.warm):
                if binding is not None and binding.worker.kernel_id == kernel_id:
                    return not binding.worker.gone
        return False

    @staticmethod
    def wanted(deployment: Deployment, *, standby: bool = False) -> dict[str, Any]:
        """What :func:`warmcell.restoring.restore` is asked for."""
        return {
            "name": deployment.name,
            "pipeline": deployment.pipeline,
            "number": deployment.snapshot,
            "settings": deployment.settings,
            "notebook": deployment.notebook,
            "standby": standby,
        }


def _fits(deployment: Deployment | None, body: wire.Deploy) -> TypeGuard[Deployment]:
    """Whether a restored snapshot is still the one that is to be served."""
    return (
        deployment is not None
        and deployment.pipeline == body.pipeline
        and deployment.snapshot == body.restored
    )
