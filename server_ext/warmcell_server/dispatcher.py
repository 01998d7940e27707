"""The dispatcher: one call from admission to its recorded end.

A call is admitted or refused at once, queued while its deployment or its pool is at its limit, sent
to the worker that holds the snapshot, ended by the worker's answer, by its deadline, by a cancel or
by the worker's death, recorded in the spool, and only then answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from warmcell import wire
from warmcell.errors import Conflict, NotFound, StoreError, Unavailable
from warmcell.ids import now
from warmcell.records import TERMINAL, ErrorInfo, Status
from warmcell_server import tracing
from warmcell_server.admission import QUEUED_SECONDS, admitted, comes_back
from warmcell_server.batch import BatchRuns
from warmcell_server.callrecords import CallRecords
from warmcell_server.calls import PLAIN, Pending, Waiting, Wanted, heard, invoke_message
from warmcell_server.deployment import Deployment
from warmcell_server.deployments import Deployments
from warmcell_server.events import Events
from warmcell_server.places import Places
from warmcell_server.shadowing import Shadowing
from warmcell_server.store import Store
from warmcell_server.telling import Telling
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.webhooks.deliveries import Webhooks

__all__ = ["Dispatcher"]

SWEEP_SECONDS = 0.25
SHOW_RUNNING_AFTER = 1_000_000  # microseconds until a call in flight is shown in the history

log = logging.getLogger("warmcell.dispatcher")


class Dispatcher:
    """Sends calls to workers. Belongs to the host's event loop."""

    def __init__(
        self,
        store: Store,
        deployments: Deployments,
        host_id: str,
        *,
        hub: Events,
        webhooks: Webhooks,
    ) -> None:
        self.batch = BatchRuns(store, host_id, hub)
        self._store = store
        self._deployments = deployments
        self._telling = Telling(hub, webhooks)
        self._records = CallRecords(store, host_id)
        self._calls: dict[str, Waiting] = {}  # by run id: all that have not ended
        self._pending: dict[int, Pending] = {}
        self._leaving: list[Deployment] = []  # undeployed, with calls that still wait
        self._places = Places(self._all)
        self._shadowing = Shadowing()
        self._last_call = 0
        self._draining = False
        self._sweeper: asyncio.Task[None] | None = None
        self.wake: Callable[[Deployment], None] | None = None  # brings back what rests
        self.aborted: Callable[[Deployment, str], None] | None = None  # a newcomer lost its share

    def start(self) -> None:
        """Begin to watch deadlines."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    # -- admission ---------------------------------------------------------------------------

    def call(
        self,
        name: str,
        parameters: bytes,
        *,
        user: str | None = None,
        trigger: str = "call",
        wanted: Wanted = PLAIN,
        arrived: int = 0,
    ) -> Waiting:
        """Admit a call of deployment ``name``; ``parameters`` is the JSON object as it arrived.

        The ``future`` of what is returned has the :class:`CallResult`. Timeouts of the caller can
        shorten the deployment's, not lengthen them. They count from ``arrived`` (microseconds), or
        from now.

        Raises:
            NotFound: no such deployment.
            Unavailable: no worker holds its snapshot, this host is closing, or the call's time has
                passed already.
            QueueFull: as many calls wait as may.
            StoreError: the call could not be recorded.
        """
        deployment = self._ready(name, wanted)
        limits = deployment.limits
        if limits.record != "none" or wanted.kept:
            self._store.admit()
        at_once = not deployment.queue and self._places.room(deployment)
        if not at_once and len(deployment.queue) >= limits.max_queue:
            raise self._places.full(deployment)
        call = admitted(deployment, parameters, user, trigger, wanted, arrived)
        self._telling.expected(call)
        if wanted.kept or (wanted.stream and limits.record == "all"):  # its id is told at once
            self._records.admitted(call, "running" if at_once else "queued")
        self._telling.opened(call)
        self._calls[call.run_id] = call
        if at_once:
            self._send(call, now() if arrived else call.created_at)
        else:
            deployment.queue.append(call)
            self._telling.queued(call, len(deployment.queue) - 1)
        return call

    def check_room(self, name: str, count: int) -> None:
        """Raise :class:`QueueFull` unless ``count`` calls of ``name`` can be admitted now, and
        :class:`ParameterError` if so many never can."""
        self._places.check(self._ready(name), count)

    def _ready(self, name: str, wanted: Wanted = PLAIN) -> Deployment:
        deployment = self._deployments.get(name)
        if self._draining:
            raise Unavailable("The server is shutting down.", retry_after=5)
        if deployment.resting and self.wake is not None:
            self.wake(deployment)
        if deployment.binding is None and not comes_back(deployment, wanted):
            deployment.measures.refused["no_worker"] += 1
            raise deployment.unavailable
        return deployment

    def _send(self, call: Waiting, moment: int) -> None:
        deployment, binding = call.deployment, self._route(call)
        if binding is None:
            self._turn_away(call)
            return
        self._last_call = number = self._last_call + 1
        deadline = call.deadline
        if call.run_limit and not (deadline and deadline < moment + call.run_limit):
            deadline = moment + call.run_limit
        pending = Pending(number, call, deployment, binding, moment, deadline)
        call.pending = self._pending[number] = pending
        if not call.shadow:
            deployment.running[number] = pending
            self._places.taken(pending)
        binding.in_flight += 1
        binding.calls += 1
        tracing.queued(call.wanted.traceparent, deployment.name, call.created_at, moment)
        self._telling.begun(call)
        binding.worker.send(invoke_message(pending))

    @staticmethod
    def _route(call: Waiting) -> Binding | None:
        """What executes a call: the least loaded of what holds its snapshot. A share of the traffic
        that nothing holds any more goes to what is served."""
        deployment, call.snapshot = call.deployment, call.wanted.snapshot
        if call.wanted.pipeline not in (None, deployment.pipeline):
            return None  # the name serves another pipeline since, with numbers of its own
        # Only now: shares may have changed while it waited.
        if call.snapshot is not None or deployment.traffic is None:
            return deployment.route(call.snapshot)
        call.snapshot = deployment.traffic.choose(call.run_id, call.parameters)
        found = deployment.route(call.snapshot)
        if found is None:
            call.snapshot = None
            found = deployment.route(None)
        return found

    def _send_waiting(self, deployment: Deployment) -> None:
        """Send what waits for ``deployment`` or for its pool, as far as there is room."""
        while (chosen := self._places.next(deployment)) is not None:
            self._send(chosen.queue.popleft(), now())

    def _all(self) -> Iterable[Deployment]:
        return (*self._deployments, *self._leaving)

    def switched(self, deployment: Deployment) -> None:
        """A deployment got a worker or other limits: send what may run now."""
        self._send_waiting(deployment)

    # -- ends --------------------------------------------------------------------------------

    def answered(self, answer: wire.Answer) -> None:
        """The worker ended a call."""
        pending = self._pending.get(answer.call)
        if pending is not None:
            self._end(pending, answer)

    def _end(self, pending: Pending, answer: wire.Answer) -> None:
        """Record how a call ended, then answer its caller."""
        call, deployment, binding = pending.call, pending.deployment, pending.binding
        number = pending.number
        del self._pending[number]
        deployment.running.pop(number, None)
        self._calls.pop(call.run_id, None)
        self._places.freed(pending)
        self._deployments.released(binding)
        finished_at = answer.finished_at or now()
        started_at = answer.started_at or pending.sent_at
        queued = max(0, pending.sent_at - call.created_at)
        seconds = (finished_at - started_at) / 1_000_000
        if not call.shadow:
            deployment.ended(answer.status, finished_at, seconds, queued / 1_000_000, answer.steps)
        refused: StoreError | None = None
        if pending.shown or call.wanted.kept or deployment.limits.keeps(answer.status):
            refused = self._records.ended(pending, answer, started_at, finished_at)
        self._telling.ended(pending, answer, seconds, queued, refused)
        if call.shadow:
            self._shadowing.ended(call, answer)
        elif deployment.traffic is not None and call.wanted.snapshot is None:
            self._judge(pending, answer, seconds)
        if deployment.queue or deployment.limits.pool is not None:
            self._send_waiting(deployment)
        if self._leaving:
            self._let_go()

    def _judge(self, pending: Pending, answer: wire.Answer, seconds: float) -> None:
        """Tell the policy of the traffic how a call went."""
        deployment, traffic = pending.deployment, pending.deployment.traffic
        if traffic is None or not self._deployments.holds_name(deployment):
            return  # what was removed must not be written down once more
        cause = traffic.ended(pending.binding.snapshot, answer.status, seconds)
        if cause is not None and self.aborted is not None:
            self.aborted(deployment, cause)
        if traffic.shadowed and not self._draining:
            moment = now()
            for shadow in self._shadowing.begin(pending.call, answer, moment):
                self._calls[shadow.run_id] = shadow
                self._send(shadow, moment)

    def _end_waiting(self, call: Waiting, status: Status, error: ErrorInfo) -> None:
        """End a call that never reached a worker and is in no queue any more."""
        deployment = call.deployment
        self._calls.pop(call.run_id, None)
        deployment.ended(status, now(), 0.0, (now() - call.created_at) / 1_000_000, [])
        if call.wanted.kept or deployment.limits.keeps(status):
            self._records.unserved(call, status, error)
        self._telling.unserved(call, status, error)

    # -- what is known of a call in flight ---------------------------------------------------

    def busy(self) -> set[Worker]:
        """The workers that work on a call now."""
        return {pending.binding.worker for pending in self._pending.values()}

    def live(self, run_id: str) -> Waiting | None:
        """The call of that run, unless it has ended."""
        return self._calls.get(run_id)

    def progress(self, run_id: str) -> dict[str, Any] | None:
        """A call in flight as the store will describe its run, and of a queued one
        ``queued_ahead`` and ``eta_s``, the seconds until it is expected to start, which is None
        while nothing serves it; None once it has ended."""
        call = self._calls.get(run_id)
        if call is None:
            return None
        found = self._records.live(call)
        if call.pending is None:
            deployment = call.deployment
            ahead = deployment.queue.index(call)
            served = deployment.binding is not None
            found["queued_ahead"] = ahead
            found["eta_s"] = round(self._places.eta(deployment, ahead), 3) if served else None
        return found

    # -- cancels, losses and deadlines -------------------------------------------------------

    def cancel(self, run_id: str) -> bool:
        """Stop a call or a batch run; true where it has ended by that, as one does that waits.
        Raises NotFound when none of that id is in flight here."""
        call = self._calls.get(run_id)
        if call is None:
            if not self.batch.cancel(run_id):
                raise NotFound(f"No run '{run_id}' is in flight.")
        elif call.pending is None:
            call.deployment.queue.remove(call)
            error = ErrorInfo("RunCancelled", "The run was cancelled while it waited.")
            self._end_waiting(call, "cancelled", error)
            return True
        else:
            call.pending.binding.worker.send(wire.Cancel(run_id))
        return False

    def withdraw(self, call: Waiting) -> None:
        """Nobody will hear of a call that was just admitted: stop it."""
        call.future.add_done_callback(heard)
        if not call.future.done():
            self.cancel(call.run_id)

    def abandon(self, call: Waiting) -> None:
        """The caller went away. A call that waits is dropped; one that runs goes on, unless its
        deployment wants it cancelled. A run that belongs to the server is left alone."""
        if call.wanted.kept or call.future.done():
            return
        if call.pending is None:
            call.deployment.queue.remove(call)
            error = ErrorInfo("RunCancelled", "The caller went away while the run waited.")
            self._end_waiting(call, "cancelled", error)
        elif call.deployment.served.cancel_on_disconnect:
            call.pending.binding.worker.send(wire.Cancel(call.run_id))

    def lost(self, worker: Worker, cause: str) -> None:
        """A worker is gone: everything it executed is lost, and its callers hear so now."""
        error = ErrorInfo("RunLost", f"{cause} while the run was in flight.")
        for number, pending in reversed(list(self._pending.items())):
            if pending.binding.worker is not worker:
                continue
            if self._may_repeat(pending):
                self._repeat(pending)
            else:
                self._end(pending, wire.Answer(number, "lost", error=error))
        self.batch.lost(worker, error)
        for deployment in self._leaving:
            if deployment.binding is not None and deployment.binding.worker is worker:
                self._end_queue(deployment, ErrorInfo("RunLost", f"{cause} while the run waited."))
        self._let_go()

    def _may_repeat(self, pending: Pending) -> bool:
        """Whether a call whose worker died is sent once more: its author says that this does no
        harm, and nobody saw a part of its answer."""
        call, deployment = pending.call, pending.deployment
        return (
            deployment.served.idempotent
            and (deployment.restoring or deployment.ready)
            and deployment not in self._leaving
            and not (call.again or call.shadow or call.wanted.stream)
            and not (call.future.done() or self._draining)
        )

    def _repeat(self, pending: Pending) -> None:
        """Have a call wait for the next worker, before those that wait already."""
        call, deployment = pending.call, pending.deployment
        del self._pending[pending.number]
        deployment.running.pop(pending.number, None)
        self._places.freed(pending)
        self._deployments.released(pending.binding)
        call.pending, call.again, call.queue_deadline = None, True, 0
        if call.wanted.detached:  # it may have no deadline at all
            call.queue_deadline = now() + int(QUEUED_SECONDS * 1_000_000)
        deployment.queue.appendleft(call)
        self._telling.queued(call, 0)
        if deployment.traffic is not None and call.wanted.snapshot is None:
            self._judge(pending, wire.Answer(pending.number, "lost"), 0.0)

    def orphaned(self, deployment: Deployment) -> None:
        """Nothing serves a deployment any more: callers that wait hear so; runs that belong to the
        server wait until something serves it again."""
        queue, deployment.queue = deployment.queue, deque()
        for call in queue:
            if call.wanted.detached:
                deployment.queue.append(call)
            else:
                self._turn_away(call)

    def _turn_away(self, call: Waiting) -> None:
        """Tell a caller, who is in no queue any more, that there is no worker."""
        self._calls.pop(call.run_id, None)
        if call.shadow:
            self._shadowing.ended(call, None)
            return
        error = call.deployment.unavailable
        if call.wanted.kept or (call.again and call.deployment.limits.keeps("lost")):
            self._records.unserved(call, "lost", ErrorInfo("RunLost", str(error)))
        self._telling.turned_away(call, error)

    def removed(self, deployment: Deployment) -> None:
        """A deployment was undeployed: what waits for it is still executed, where that can be."""
        self._leaving.append(deployment)
        if deployment.binding is None:
            error = ErrorInfo("RunLost", "The deployment was removed while the run waited.")
            self._end_queue(deployment, error)
        self._let_go()

    def _end_queue(self, deployment: Deployment, error: ErrorInfo) -> None:
        queue, deployment.queue = deployment.queue, deque()
        for call in queue:
            self._end_waiting(call, "lost", error)

    def _let_go(self) -> None:
        for deployment in [d for d in self._leaving if not d.queue]:
            self._leaving.remove(deployment)
            self._deployments.release(deployment)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                self._sweep_once(now())
            except Exception:
                # An outermost edge: without this task no deadline would ever come again.
                log.exception("Deadlines could not all be looked at")

    def _sweep_once(self, moment: int) -> None:
        self._records.catch_up()
        for pending in list(self._pending.values()):
            if pending.deadline and moment > pending.deadline:
                self._time_out(pending)
            elif not pending.shown and moment - pending.call.created_at > SHOW_RUNNING_AFTER:
                self._show(pending)
        for deployment in self._all():
            if deployment.queue:
                self._sweep_queue(deployment, moment)
                # A pool gets room without an end in it too, when a deployment leaves it.
                self._send_waiting(deployment)
        self._let_go()

    def _sweep_queue(self, deployment: Deployment, moment: int) -> None:
        late = [c for c in deployment.queue if _passed(c.deadline or 0, c.queue_deadline, moment)]
        if not late:
            return
        gone = set(map(id, late))
        deployment.queue = deque(call for call in deployment.queue if id(call) not in gone)
        for call in late:
            if deployment.restoring and not call.wanted.detached:
                self._turn_away(call)
                continue
            seconds = (moment - call.created_at) / 1_000_000
            error = ErrorInfo(
                "RunTimedOut",
                f"The deadline passed while the run waited in the queue, {seconds:.1f} s.",
                hint="Raise timeout or queue_timeout, or concurrency in the settings.",
            )
            self._end_waiting(call, "timed_out", error)

    def _time_out(self, pending: Pending) -> None:
        call = pending.call
        pending.binding.worker.send(wire.Cancel(call.run_id, "timed_out"))
        began = call.created_at if pending.deadline == call.deadline else pending.sent_at
        seconds = (pending.deadline - began) / 1_000_000
        error = ErrorInfo("RunTimedOut", f"The run did not end within {seconds:g} s.")
        self._end(pending, wire.Answer(pending.number, "timed_out", error=error))

    def _show(self, pending: Pending) -> None:
        """Make a call that takes long visible while it runs; after a crash it is then `lost`."""
        if pending.deployment.limits.record == "all" or pending.call.wanted.kept:
            pending.shown = True
            self._records.running(pending)

    async def drain(self, seconds: float) -> None:
        """Take no more calls and wait for those in flight, at most so long. Who waits in a queue
        is told at once: a run that belongs to the server ends as lost."""
        self._draining = True
        error = ErrorInfo("RunLost", "The server shut down while the run waited.")
        for deployment in self._all():
            self._end_queue(deployment, error)
        waiting = [pending.call.future for pending in self._pending.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    async def close(self) -> None:
        """Stop watching; calls that are still in flight are lost. Harmless when repeated."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
            self._sweeper = None
        error = ErrorInfo("RunLost", "The server shut down while the run was in flight.")
        for number, pending in list(self._pending.items()):
            self._end(pending, wire.Answer(number, "lost", error=error))


def conflict_if_ended(status: str, run_id: str) -> None:
    """Raise :class:`Conflict` for a run that cannot be cancelled any more."""
    if status in TERMINAL:
        raise Conflict(f"Run '{run_id}' has already ended: it is {status}.")


def _passed(deadline: int, queue_deadline: int, moment: int) -> bool:
    return bool(deadline and moment > deadline) or bool(queue_deadline and moment > queue_deadline)
