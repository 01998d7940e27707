"""Requests for custom endpoints: sent to the worker of a deployment, answered, or given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from warmcell import wire
from warmcell.errors import (
    QueueFull,
    RunCancelled,
    RunLost,
    RunTimedOut,
    Unavailable,
    WarmcellError,
    error_from_problem,
)
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.deployments import Deployments

__all__ = ["EndpointCalls"]

ABANDONED = -1  # as the number of a request that nobody waits for any more
_LEFT = "The caller went away while the request waited."


@dataclass(eq=False)
class _Lane:
    """The requests of one deployment: as many at once as it has runs, and as many waiting."""

    running: set[int] = field(default_factory=set)
    waiting: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)


@dataclass(eq=False)
class _Pending:
    worker: Worker
    future: asyncio.Future[wire.EndpointAnswer]


class EndpointCalls:
    """All requests for custom endpoints. Belongs to the host's event loop."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments
        self._lanes: dict[str, _Lane] = {}
        self._pending: dict[int, _Pending] = {}
        self._last = 0
        self._closed = False
        self.wake: Callable[[Deployment], None] | None = None  # brings back what rests

    async def call(
        self, deployment: Deployment, number: int, request: wire.EndpointCall
    ) -> wire.EndpointAnswer:
        """Have endpoint ``number`` of the deployment answer ``request``, whose ``call``, ``key``
        and ``endpoint`` are filled in here.

        Raises:
            Unavailable: no worker holds the deployment, or this host is closing.
            QueueFull: as many requests wait as may.
            RunTimedOut: the deployment's ``run_timeout``, else its ``timeout``, passed.
            RunLost: the worker died.
            RunCancelled: the caller went away, see :meth:`abandon`.
            WarmcellError: the endpoint refused the request, or failed.
        """
        seconds = deployment.limits.run_timeout or deployment.limits.timeout
        binding = await self._served(deployment, seconds)
        if request.call == ABANDONED:
            raise RunCancelled(_LEFT)
        spec = deployment.endpoints[number]
        _check(binding, number, spec)
        lane = self._lanes.setdefault(deployment.name, _Lane())
        self._last = request.call = self._last + 1
        request.key, request.endpoint = binding.key, number
        binding.in_flight += 1  # so that a redeploy does not take it away
        try:
            async with asyncio.timeout(seconds):
                await self._turn(lane, deployment, request.call)
                if binding.worker.gone:  # nothing of the request was executed
                    other = await self._served(deployment, seconds)
                    _check(other, number, spec)
                    other.in_flight += 1
                    self._deployments.released(binding)
                    binding, request.key = other, other.key
                answer = await self._sent(binding, request)
        except TimeoutError:
            if request.call in self._pending:
                name = wire.endpoint_call(request.call)
                binding.worker.send(wire.Cancel(name, "timed_out"))
            raise RunTimedOut(
                f"Endpoint '{spec.name}' did not answer within {seconds:g} s."
            ) from None
        finally:
            self._pending.pop(request.call, None)
            lane.running.discard(request.call)
            self._deployments.released(binding)
            _wake(lane)
            if not lane.running and not lane.waiting:
                self._lanes.pop(deployment.name, None)
        if answer.status == 0:
            raise _refusal(answer)
        return answer

    async def _served(self, deployment: Deployment, seconds: float) -> Binding:
        """What holds the snapshot; a deployment that is restored is waited for."""
        if deployment.resting and self.wake is not None and not self._closed:
            self.wake(deployment)
        if deployment.restoring and not self._closed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(deployment.served_again.wait(), seconds)
        binding = deployment.route(None)
        if binding is None or self._closed:
            raise deployment.unavailable
        return binding

    async def _turn(self, lane: _Lane, deployment: Deployment, call: int) -> None:
        """Wait until the call may run; from then on it counts as running."""
        limits = deployment.limits
        if len(lane.running) < limits.concurrency:
            lane.running.add(call)
            return
        if len(lane.waiting) >= limits.max_queue:
            raise QueueFull(
                f"Endpoints of deployment '{deployment.name}' answer {limits.concurrency} requests "
                f"and {limits.max_queue} wait, which is its limit.",
                hint="Try again later, or raise max_queue or concurrency in its settings.",
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.append((call, turn))
        try:
            await turn
        finally:
            if (call, turn) in lane.waiting:
                lane.waiting.remove((call, turn))

    async def _sent(self, binding: Binding, request: wire.EndpointCall) -> wire.EndpointAnswer:
        if binding.worker.gone:
            raise RunLost("The kernel died before the endpoint answered.")
        future: asyncio.Future[wire.EndpointAnswer] = asyncio.get_running_loop().create_future()
        self._pending[request.call] = _Pending(binding.worker, future)
        binding.worker.send(request)
        return await future

    def abandon(self, name: str, request: wire.EndpointCall) -> None:
        """The caller of ``request`` to the deployment ``name`` went away: it is dropped if it
        waits."""
        if not request.call:  # it waits for a worker, or has not begun
            request.call = ABANDONED
            return
        lane = self._lanes.get(name)
        for call, turn in lane.waiting if lane is not None else ():
            if call == request.call and not turn.done():
                turn.set_exception(RunCancelled(_LEFT))

    def answered(self, answer: wire.EndpointAnswer) -> None:
        """The worker answered."""
        pending = self._pending.get(answer.call)
        if pending is not None and not pending.future.done():
            pending.future.set_result(answer)

    def busy(self) -> set[Worker]:
        """The workers that work on a request now."""
        return {pending.worker for pending in self._pending.values()}

    def lost(self, worker: Worker, cause: str) -> None:
        """A worker is gone: what it worked on is lost."""
        for pending in self._pending.values():
            if pending.worker is worker and not pending.future.done():
                pending.future.set_exception(RunLost(f"{cause} before the endpoint answered."))

    def close(self) -> None:
        """End what is still on its way; nothing more is sent."""
        self._closed = True
        error = Unavailable("The server is shutting down.", retry_after=5)
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(error)
        for lane in self._lanes.values():
            for _, turn in lane.waiting:
                if not turn.done():
                    turn.set_exception(error)


def _check(binding: Binding, number: int, spec: wire.EndpointSpec) -> None:
    """Raise :class:`Unavailable` unless that is still the endpoint which was asked for."""
    if spec not in binding.body.endpoints[number : number + 1]:
        raise Unavailable(f"'{binding.body.name}' was deployed anew just now.", retry_after=1)


def _wake(lane: _Lane) -> None:
    """Let the next request go on."""
    while lane.waiting:
        call, turn = lane.waiting.popleft()
        if not turn.done():
            lane.running.add(call)  # now, so that nobody who comes meanwhile overtakes it
            turn.set_result(None)
            return


def _refusal(answer: wire.EndpointAnswer) -> WarmcellError:
    return error_from_problem(500, msgspec.json.decode(answer.body))
