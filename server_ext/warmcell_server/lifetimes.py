"""Lifetimes: how long a deployment is kept warm, and when it ends.

A kernel of its own that nobody called for ``keep_alive`` seconds is let go: the deployment rests,
and the next call brings it back. ``expires_in`` seconds after it was deployed it ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from warmcell.errors import StoreFull, WarmcellError
from warmcell.ids import now
from warmcell.records import DeploymentEntry
from warmcell_server.deployment import Deployment
from warmcell_server.workers import Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Lifetimes"]

LOOK_SECONDS = 1.0

log = logging.getLogger("warmcell.restoring")


class Lifetimes:
    """Lets deployments rest, and ends them. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def watch(self) -> None:
        """Look at all deployments, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for deployment in list(self._host.deployments):
                try:
                    await self._look(deployment)
                except Exception:
                    # Without this task nothing would rest or end any more.
                    log.exception("'%s' could not be looked at", deployment.name)

    async def _look(self, deployment: Deployment) -> None:
        if deployment.expires_at is not None and now() >= deployment.expires_at:
            log.info("Deployment '%s' has expired.", deployment.name)
            path = f"api/v1/deployments/{deployment.name}"
            try:
                await self._host.api.handle("DELETE", path, user="expires_in")
            except WarmcellError as error:
                log.error("'%s' has expired and cannot be removed: %s", deployment.name, error)
            return
        keep = deployment.served.keep_alive
        lead = deployment.binding
        if keep is None or isinstance(keep, bool) or lead is None or not lead.dedicated:
            return
        if deployment.stored == "stored" and idle_seconds(deployment) >= keep:
            self.rest(deployment, f"Nobody called it for {keep:g} s")

    def was_culled(self, worker: Worker) -> bool:
        """Whether a kernel went away because Jupyter ends those that are idle for long."""
        kernels = self._host.kernels
        return kernels is not None and kernels.outlived(worker.kernel_id)

    def rest(self, deployment: Deployment, cause: str) -> None:
        """Hold a deployment no longer, until its next call."""
        deployments = self._host.deployments
        for binding in list(deployment.warm):
            deployments.detach(deployment, binding)
        spare, deployment.spare = deployment.spare, None
        if spare is not None:
            deployments.retire(spare)
        deployment.binding, deployment.restoration = None, None
        deployment.resting = True
        deployment.reason = f"{cause}. It rests, and the next call brings it back."
        if deployment.queue:
            self.wake(deployment)
            return
        try:
            self._host.store.append(DeploymentEntry(deployment.record(self._host.host_id)))
        except StoreFull as failure:
            log.error("That '%s' rests could not be recorded: %s", deployment.name, failure)

    def wake(self, deployment: Deployment) -> None:
        """Bring a deployment back that rests, where that can be."""
        restoring = self._host.restoring
        if self._host.kernels is None or restoring.closed:
            return  # a host inside a kernel starts no others: a Jupyter server wakes it
        deployment.resting = False
        restoring.begin([deployment], "It rested, as nobody called it", claim=True)


def idle_seconds(deployment: Deployment) -> float:
    """Since when nobody has used a deployment, by its runs or its own endpoints; 0 while something
    runs or waits."""
    busy = deployment.running or deployment.queue or any(b.in_flight for b in deployment.warm)
    if busy or deployment.binding is None:
        return 0.0
    used = max((one.used_at for one in deployment.warm), default=0.0)
    seconds = time.monotonic() - max(deployment.binding.since, used)
    if deployment.last_run_at is not None:
        seconds = min(seconds, (now() - deployment.last_run_at) / 1_000_000)
    return max(0.0, seconds)
