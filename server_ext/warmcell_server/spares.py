"""Spares: with ``standby=True`` a second, restored kernel is ready to serve at once."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from warmcell.errors import WarmcellError
from warmcell_server.deployment import Deployment
from warmcell_server.restoration import STABLE_SECONDS, pause
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.restoring import Restoring

__all__ = ["Spares"]

log = logging.getLogger("warmcell.restoring")


class Spares:
    """The standbys of all deployments. Belongs to the host's event loop."""

    def __init__(self, host: Host, restoring: Restoring) -> None:
        self._host = host
        self._restoring = restoring
        self._preparing: set[Deployment] = set()
        self._failures: dict[str, int] = {}

    def keep(self, deployment: Deployment) -> None:
        """See to it that a deployment has the standby that it shall have."""
        spare = deployment.spare
        if spare is not None and not (deployment.served.standby and _fits(deployment, spare)):
            deployment.spare = None
            self._host.deployments.retire(spare)
        if self._missing(deployment) and deployment not in self._preparing:
            self._preparing.add(deployment)
            self._restoring.spawn(self._prepare(deployment))

    def take(self, deployment: Deployment, binding: Binding) -> None:
        """A kernel has restored what a deployment serves, and is its standby from now on."""
        binding.dedicated = True
        before, deployment.spare = deployment.spare, binding
        if before is not None:
            self._host.deployments.retire(before)

    def promote(self, deployment: Deployment) -> bool:
        """Serve a deployment that lost its worker from its standby; false where there is none."""
        spare = deployment.spare
        if spare is None or spare.worker.gone or not _fits(deployment, spare):
            return False
        deployment.spare = None
        self._host.deployments.adopt(deployment, spare)
        log.info("Deployment '%s' is served by its standby.", deployment.name)
        self.keep(deployment)
        return True

    def lost(self, worker: Worker) -> None:
        """A worker is gone: standbys in it are replaced."""
        for deployment in self._host.deployments:
            spare = deployment.spare
            if spare is None or spare.worker is not worker:
                continue
            deployment.spare = None
            if time.monotonic() - spare.since < STABLE_SECONDS:
                self._failures[deployment.name] = self._failures.get(deployment.name, 0) + 1
            else:
                self._failures.pop(deployment.name, None)
            self.keep(deployment)

    def _missing(self, deployment: Deployment) -> bool:
        return (
            self._host.kernels is not None
            and deployment.served.standby
            and deployment.ready
            and deployment.spare is None
            and self._host.deployments.find(deployment.name) is deployment
        )

    async def _prepare(self, deployment: Deployment) -> None:
        restoring, failures = self._restoring, self._failures.get(deployment.name, 0)
        try:
            while self._missing(deployment):
                await asyncio.sleep(pause(failures))
                found = await restoring.restorable(deployment)
                if isinstance(found, str):  # once it is stored, this is asked for again
                    log.info("No standby for '%s': %s.", deployment.name, found)
                    return
                failures += 1
                try:
                    async with restoring.kernel(deployment, found["environment"]) as cells:
                        await cells.ask("restore", restoring.wanted(deployment, standby=True))
                except WarmcellError as error:
                    log.warning("No standby for '%s' yet: %s", deployment.name, error)
        finally:
            self._preparing.discard(deployment)


def _fits(deployment: Deployment, spare: Binding) -> bool:
    held = (spare.body.pipeline, spare.snapshot)
    return held == (deployment.pipeline, deployment.snapshot)
