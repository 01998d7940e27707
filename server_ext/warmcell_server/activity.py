"""Activity: tells Jupyter which kernels are in use although no cell runs in them.

Calls do not pass the shell channel, so that Jupyter takes a kernel that answers them for idle, and
its culling would end it. A kernel counts as used while it has traffic or its deployment says that
it is to be kept; one that only holds something does not, so that no memory, and no GPU, is kept for
what nobody calls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from jupyter_server._tz import utcnow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host
    from warmcell_server.workers import Binding

__all__ = ["EVERY_SECONDS", "Activity"]

EVERY_SECONDS = 1.0  # what came since the last look is not known to the culling yet

log = logging.getLogger("warmcell.activity")


class Activity:
    """Keeps ``last_activity`` of the kernels of a Jupyter server true. Belongs to the host's event
    loop.

    ``manager`` is the server's kernel manager, ``every`` the seconds between two looks.
    """

    def __init__(self, host: Host, manager: Any, *, every: float = EVERY_SECONDS) -> None:
        self._host = host
        self._manager = manager
        self._every = every
        self._looked = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def close(self) -> None:
        """Look no more. Harmless when repeated."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def look(self) -> None:
        """Mark the kernels that answered a call since the last look, that work on one, or that
        are to be kept."""
        since, self._looked = self._looked, time.monotonic()
        host = self._host
        used = {worker.kernel_id for worker in host.dispatcher.busy() | host.endpoints.busy()}
        for deployment in host.deployments:
            used |= self._used(deployment, since)
        for kernel_id in used:
            if kernel_id in self._manager:  # else it is another server's, or none of Jupyter's
                self._manager.get_kernel(kernel_id).last_activity = utcnow()

    def _used(self, deployment: Deployment, since: float) -> set[str]:
        """Ids of the kernels that a deployment used after ``since``. A standby, and replicas that
        had no call themselves, are as needed as the one that had."""
        held = list(_held(deployment))
        used = {b.worker.kernel_id for b in held if b.used_at >= since}
        if used or self._kept(deployment, held):
            used |= {b.worker.kernel_id for b in held if _serves(deployment, b)}
        return used

    def _kept(self, deployment: Deployment, held: list[Binding]) -> bool:
        keep = deployment.served.keep_alive
        if keep is None or isinstance(keep, bool):
            return bool(keep)
        last = max((max(b.used_at, b.since) for b in held), default=0.0)
        return self._looked - last < keep

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                self.look()
            except Exception:
                # An outermost edge: without this task Jupyter would end what serves.
                log.exception("Kernels in use could not all be marked")


def _held(deployment: Deployment) -> Iterator[Binding]:
    """Every binding of a deployment, some of them twice."""
    for binding in (deployment.binding, deployment.spare, *deployment.warm):
        if binding is not None and not binding.worker.gone:
            yield binding


def _serves(deployment: Deployment, binding: Binding) -> bool:
    """Whether a binding is of a snapshot that is served: others are only there to go back to."""
    served = (deployment.snapshot, *deployment.shared)
    return binding is deployment.binding or (
        binding.body.pipeline == deployment.pipeline and binding.snapshot in served
    )
