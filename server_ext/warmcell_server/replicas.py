"""Replicas: the kernels of its own that a deployment shall have, kept in number and health.

A deployment with ``isolated`` or ``replicas`` is served from so many kernels, with ``standby`` one
more is ready to take over, and each snapshot that has a share of the traffic is held by one. What
is missing is started, after 1, 2, 4 … 60 s where that fails; what is worn or hangs is replaced.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from warmcell.errors import SnapshotError, UsageError, WarmcellError
from warmcell_server.deployment import Deployment
from warmcell_server.health import silence
from warmcell_server.restoration import STABLE_SECONDS, pause
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.restoring import Restoring

__all__ = ["Replicas"]

LOOK_SECONDS = 1.0

log = logging.getLogger("warmcell.restoring")


class _Missing(NamedTuple):
    pipeline: str
    snapshot: int
    standby: bool = False


class Replicas:
    """The replicas and standbys of all deployments. Belongs to the host's event loop."""

    def __init__(self, host: Host, restoring: Restoring) -> None:
        self._host = host
        self._restoring = restoring
        # With what cannot be had, for now or for ever; the rest of what is missing may be.
        self._preparing: dict[Deployment, dict[_Missing, str]] = {}

    def keep(self, deployment: Deployment) -> None:
        """See to it that a deployment has the kernels that it shall have, and no more."""
        spare = deployment.spare
        if spare is not None and not (deployment.served.standby and _fits(deployment, spare)):
            deployment.spare = None
            self._host.deployments.retire(spare)
        if deployment.ready:
            for binding in self._surplus(deployment):
                self._host.deployments.detach(deployment, binding)
        if deployment in self._preparing:
            self._preparing[deployment].clear()  # something has changed
        elif any(self._missing(deployment)) and not self._restoring.closed:
            self._preparing[deployment] = {}
            self._restoring.spawn(self._prepare(deployment))

    def promote(self, deployment: Deployment) -> bool:
        """Serve a deployment that lost its worker from its standby; false where there is none."""
        spare = deployment.spare
        if spare is None or spare.worker.gone or not _fits(deployment, spare):
            return False
        deployment.spare = None
        # It may have been started before the same snapshot was deployed with other settings.
        spare.body.settings, spare.body.site = deployment.settings, deployment.site
        self._host.deployments.adopt(deployment, spare)
        log.info("Deployment '%s' is served by its standby.", deployment.name)
        self.keep(deployment)
        return True

    def lost(self, worker: Worker, held: list[tuple[Deployment, Binding]]) -> None:
        """A worker is gone, with ``held``: replicas and standbys in it are replaced."""
        for deployment in self._host.deployments:
            spare = deployment.spare
            if spare is not None and spare.worker is worker:
                deployment.spare = None
                held.append((deployment, spare))
        for deployment, binding in held:
            soon = time.monotonic() - binding.since < STABLE_SECONDS
            deployment.replica_failures = deployment.replica_failures + 1 if soon else 0
            self.keep(deployment)

    # -- health ------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look at the health of all kernels, until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
            if self._host.kernels is None or time.monotonic() - began > 3 * LOOK_SECONDS:
                continue  # or it was this process that stood still: hear the kernels first
            for deployment in list(self._host.deployments):
                try:
                    await self._look(deployment)
                except Exception:
                    # Without this task no hung kernel would ever be replaced again.
                    log.exception("The kernels of '%s' could not be looked at", deployment.name)

    async def _look(self, deployment: Deployment) -> None:
        limit = deployment.served.hang_timeout
        spare = [deployment.spare] if deployment.spare is not None else []
        for binding in (*deployment.warm, *spare):
            quiet = silence(binding)
            if quiet >= limit and not binding.worker.gone:
                await self._hangs(deployment, binding, quiet)
        worn = [one for one in deployment.warm if self._is_worn(deployment, one)]
        if worn:
            self.keep(deployment)

    async def _hangs(self, deployment: Deployment, binding: Binding, quiet: float) -> None:
        """A kernel gives no sign of life. One that the host started is ended; a notebook's kernel
        is its user's, so it is only let go of, where something else can serve."""
        worker = binding.worker
        if not binding.dedicated and isinstance(
            await self._restoring.holding.row(deployment.pipeline, deployment.snapshot), str
        ):
            return
        if worker.gone or silence(binding) < deployment.served.hang_timeout:
            return  # it came back meanwhile
        log.warning("Kernel %s is silent for %.0f s: replaced.", worker.kernel_id, quiet)
        worker.end(f"The kernel (process {worker.pid}) was not heard of for {quiet:.0f} s")

    def _is_worn(self, deployment: Deployment, binding: Binding) -> bool:
        """Whether a replica is to be replaced because of what it ran or takes."""
        if not (binding.dedicated and binding.alive) or binding.snapshot != deployment.snapshot:
            return False
        served, vitals = deployment.served, binding.worker.vitals
        if served.recycle_after is not None and binding.calls >= served.recycle_after:
            binding.worn = f"It has executed {binding.calls} runs."
        elif served.memory_limit is not None and vitals and vitals.rss > served.memory_limit:
            binding.worn = f"It takes {vitals.rss / 1e6:.0f} MB."
        return bool(binding.worn)

    # -- what is too little and too much -----------------------------------------------------

    def _wanted(self, deployment: Deployment) -> int:
        """From how many dedicated kernels the current snapshot is to be served."""
        lead = deployment.binding
        return deployment.served.own_kernels or int(lead is not None and lead.dedicated)

    def _missing(self, deployment: Deployment) -> Iterator[_Missing]:
        """What a deployment lacks, the most urgent first."""
        if (
            self._host.kernels is None
            or not deployment.ready
            or not self._host.deployments.holds_name(deployment)
        ):
            return
        pipeline = deployment.pipeline
        fresh = [b for b in deployment.holders() if b.dedicated and not b.worn]
        if len(fresh) < self._wanted(deployment) and not self._hand_loaded(deployment):
            yield _Missing(pipeline, deployment.snapshot)
        for snapshot in deployment.shared:
            if not deployment.holders(snapshot):
                yield _Missing(pipeline, snapshot)
        if deployment.served.standby and deployment.spare is None:
            yield _Missing(pipeline, deployment.snapshot, standby=True)

    def _hand_loaded(self, deployment: Deployment) -> bool:
        """Whether it is served from a kernel that loaded the pipeline itself, for a command line:
        that one stands for the notebook."""
        lead = deployment.binding
        return bool(
            lead is not None
            and lead.body.restored is None
            and not lead.worn
            and not deployment.served.own_kernels
        )

    def _surplus(self, deployment: Deployment) -> list[Binding]:
        """The bindings that are not needed: worn ones as soon as they are replaced."""
        held = [b for b in deployment.holders() if b.dedicated]
        wanted = self._wanted(deployment)
        order = sorted(held, key=lambda b: (bool(b.worn), b is not deployment.binding))
        surplus = order[wanted:] if wanted else []
        if deployment.served.own_kernels and len(held) > len(surplus):
            surplus += [b for b in deployment.holders() if not b.dedicated]
        return surplus

    async def _prepare(self, deployment: Deployment) -> None:
        host, holding = self._host, self._restoring.holding
        hopeless = self._preparing[deployment]
        try:
            while left := [m for m in self._missing(deployment) if m not in hopeless]:
                missing = left[0]
                wait = pause(deployment.replica_failures)
                if wait:
                    deployment.replica_reason += f" The next attempt is made {wait:g} s later."
                await asyncio.sleep(wait)
                if missing not in self._missing(deployment):
                    continue
                try:
                    async with holding.hold(deployment, missing.snapshot) as binding:
                        wanted = binding.holds == (missing.pipeline, missing.snapshot)
                        if wanted and missing in self._missing(deployment):
                            self._take(deployment, binding, missing)
                except (SnapshotError, UsageError) as error:
                    log.info("No replica for '%s': %s", deployment.name, error)
                    hopeless[missing] = deployment.replica_reason = error.message
                except Exception as error:  # also of Jupyter and the system: it is tried again
                    log.warning("No replica for '%s' yet: %s", deployment.name, error)
                    deployment.replica_failures += 1
                    deployment.replica_reason = (
                        error.message
                        if isinstance(error, WarmcellError)
                        else f"{type(error).__name__}: {error}"
                    )
                else:
                    deployment.replica_reason = next(iter(hopeless.values()), "")
                    host.dispatcher.switched(deployment)
        finally:
            del self._preparing[deployment]

    def _take(self, deployment: Deployment, binding: Binding, missing: _Missing) -> None:
        if missing.standby:
            deployment.spare = binding
        else:
            self._host.deployments.attach(deployment, binding)
            self.keep(deployment)


def _fits(deployment: Deployment, spare: Binding) -> bool:
    held = (spare.body.pipeline, spare.snapshot)
    return held == (deployment.pipeline, deployment.snapshot)
