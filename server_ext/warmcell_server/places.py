"""Places: how many calls of a deployment, or of a pool of deployments, may run at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from warmcell.errors import ParameterError, QueueFull
from warmcell_server.calls import Pending
from warmcell_server.deployment import Deployment

__all__ = ["Places"]

LONGEST_RETRY = 60.0


class Places:
    """Who may run next. Everything is derived from the calls in flight and the settings.

    ``deployments`` returns all that may have calls, also those that were undeployed and have calls
    that still wait.
    """

    def __init__(self, deployments: Callable[[], Iterable[Deployment]]) -> None:
        self._deployments = deployments
        self._pools: dict[str, set[int]] = {}  # numbers of the calls in flight

    def taken(self, pending: Pending) -> None:
        """A call takes its place."""
        if pool := pending.deployment.limits.pool:
            self._pools.setdefault(pool, set()).add(pending.number)

    def freed(self, pending: Pending) -> None:
        """A call leaves its place; in whatever pool it was when it took it."""
        for numbers in self._pools.values():
            numbers.discard(pending.number)

    def room(self, deployment: Deployment) -> bool:
        """Whether one more call may run now."""
        binding = deployment.binding
        return binding is not None and not binding.worker.gone and self._free(deployment) > 0

    def _free(self, deployment: Deployment) -> int:
        """How many more calls of it its limits let run now."""
        limits = deployment.limits
        free = deployment.places - len(deployment.running)
        if limits.pool is not None:
            free = min(free, self._size(limits.pool) - len(self._pools.get(limits.pool, ())))
        return free

    def next(self, deployment: Deployment) -> Deployment | None:
        """Whose first waiting call is next, now that ``deployment`` may have room: its own, or in
        a pool the one that waited longest."""
        pool = deployment.limits.pool
        if pool is None:
            return deployment if deployment.queue and self.room(deployment) else None
        heads = [
            d for d in self._deployments() if d.limits.pool == pool and d.queue and self.room(d)
        ]
        return min(heads, key=lambda d: d.queue[0].created_at, default=None)

    def eta(self, deployment: Deployment, ahead: int) -> float:
        """Seconds until a call with ``ahead`` calls before it is expected to start."""
        return deployment.eta(ahead, self._places(deployment))

    def check(self, deployment: Deployment, count: int) -> None:
        """Raise :class:`QueueFull` unless ``count`` calls can be admitted now, and
        :class:`ParameterError` if so many never can."""
        limits = deployment.limits
        most = self._places(deployment) + limits.max_queue
        if count > most:
            raise ParameterError(
                f"Deployment '{deployment.name}' takes at most {most} instances in one request; "
                f"there are {count}.",
                errors=[{"pointer": "/instances", "message": "too many", "type": "too_long"}],
                hint="Send fewer at once, or raise max_queue in its settings.",
            )
        at_once = 0 if deployment.queue else max(0, self._free(deployment))
        if count > at_once + limits.max_queue - len(deployment.queue):
            raise self.full(deployment)

    def full(self, deployment: Deployment) -> QueueFull:
        """The error of a call that cannot even wait."""
        deployment.measures.refused["queue_full"] += 1
        seconds = self.eta(deployment, len(deployment.queue))
        return QueueFull(
            f"Deployment '{deployment.name}' has {len(deployment.running)} calls running and "
            f"{len(deployment.queue)} waiting; {deployment.limits.max_queue} may wait.",
            retry_after=min(LONGEST_RETRY, max(1.0, math.ceil(seconds))),
            hint="Try again later, or raise max_queue or concurrency in its settings.",
        )

    def _places(self, deployment: Deployment) -> int:
        """How many calls of it may run at once at most."""
        limits = deployment.limits
        if limits.pool is None:
            return deployment.places
        return min(deployment.places, self._size(limits.pool))

    def _size(self, pool: str) -> int:
        sizes = [d.limits.pool_size for d in self._deployments() if d.limits.pool == pool]
        return min(sizes, default=1)
