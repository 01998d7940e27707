"""The dispatcher: one call from admission to its recorded end.

A call is admitted or refused at once, queued while its deployment is at its limit, sent to the
worker that holds the snapshot, ended by the worker's answer, by its deadline, by a cancel or by the
worker's death, recorded in the spool, and only then answered.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, NotFound, QueueFull, StoreFull, Unavailable
from warmcell.ids import new_id, now
from warmcell.records import TERMINAL, ErrorInfo, RunEntry, RunRecord
from warmcell_server.batch import BatchRuns
from warmcell_server.calls import CallResult, Pending, Waiting
from warmcell_server.deployment import Deployment
from warmcell_server.deployments import Deployments
from warmcell_server.store import Store
from warmcell_server.workers import Worker

__all__ = ["CallResult", "Dispatcher"]

SWEEP_SECONDS = 0.25
SHOW_RUNNING_AFTER = 1_000_000  # microseconds until a call in flight is shown in the history

log = logging.getLogger("warmcell.dispatcher")
_encode = msgspec.json.Encoder().encode


class Dispatcher:
    """Sends calls to workers. Belongs to the host's event loop."""

    def __init__(self, store: Store, deployments: Deployments, host_id: str) -> None:
        self.batch = BatchRuns(store, host_id)
        self._store = store
        self._deployments = deployments
        self._host_id = host_id
        self._pending: dict[int, Pending] = {}
        self._last_call = 0
        self._draining = False
        self._sweeper: asyncio.Task[None] | None = None

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
        run_name: str | None = None,
        timeout: float | None = None,
        trigger: str = "call",
    ) -> asyncio.Future[CallResult]:
        """Admit a call of deployment ``name``; ``parameters`` is the JSON object as it arrived.

        ``timeout`` is in seconds and counts from here; it can shorten the deployment's, not
        lengthen it.

        Raises:
            NotFound: no such deployment.
            Unavailable: no worker holds its snapshot, or this host is closing.
            QueueFull: as many calls wait as may.
            StoreFull: the call could not be recorded.
        """
        deployment = self._deployments.get(name)
        if self._draining:
            raise Unavailable("The server is shutting down.", retry_after=5)
        if deployment.binding is None:
            raise Unavailable(
                f"Deployment '{name}' has no worker now. {deployment.reason}", retry_after=5
            )
        limits = deployment.limits
        if limits.record != "none":
            self._store.admit()
        moment = now()
        seconds = limits.timeout if timeout is None else min(timeout, limits.timeout)
        call = Waiting(
            new_id(),
            run_name,
            parameters,
            user,
            trigger,
            moment,
            moment + int(seconds * 1_000_000),
            asyncio.get_running_loop().create_future(),
        )
        if len(deployment.running) < limits.concurrency:
            self._send(Pending(call, deployment, deployment.binding, moment))
        elif len(deployment.queue) < limits.max_queue:
            deployment.queue.append(call)
        else:
            raise QueueFull(
                f"Deployment '{name}' has {limits.concurrency} calls running and "
                f"{limits.max_queue} waiting, which is its limit.",
                hint="Try again later, or raise max_queue or concurrency in its settings.",
            )
        return call.future

    def _send(self, pending: Pending) -> None:
        self._last_call = number = self._last_call + 1
        self._pending[number] = pending
        call, deployment, binding = pending.call, pending.deployment, pending.binding
        deployment.running[number] = pending
        binding.in_flight += 1
        binding.worker.send(
            wire.Invoke(
                number,
                binding.key,
                call.run_id,
                call.parameters,
                (call.deadline - pending.sent_at) / 1_000_000,
                deployment.limits.record != "none",
                call.run_name,
                deployment.name,
            )
        )

    def _send_waiting(self, deployment: Deployment) -> None:
        """Send what waits, as far as there is room."""
        while deployment.queue and len(deployment.running) < deployment.limits.concurrency:
            if deployment.binding is None:
                break
            call = deployment.queue.popleft()
            if not call.future.done():  # else its caller left
                self._send(Pending(call, deployment, deployment.binding, now()))

    # -- ends --------------------------------------------------------------------------------

    def answered(self, answer: wire.Answer) -> None:
        """The worker ended a call."""
        pending = self._pending.get(answer.call)
        if pending is not None:
            self._end(pending, answer)

    def _end(self, pending: Pending, answer: wire.Answer) -> None:
        """Record how a call ended, then answer its caller."""
        call, deployment, binding = pending.call, pending.deployment, pending.binding
        del self._pending[answer.call]
        deployment.running.pop(answer.call, None)
        self._deployments.released(binding)
        finished_at = answer.finished_at or now()
        started_at = answer.started_at or pending.sent_at
        deployment.ended(answer.status, finished_at)
        pipeline = binding.body.pipeline
        refused: StoreFull | None = None
        if pending.shown or deployment.limits.keeps(answer.status):
            record = self._record(
                call, deployment, "failed" if answer.status == "invalid" else answer.status
            )
            record.pipeline, record.snapshot = pipeline, binding.snapshot
            record.started_at, record.finished_at = started_at, finished_at
            if answer.parameters is not None:
                record.parameters = msgspec.Raw(answer.parameters)
            if answer.outputs is not None:
                record.outputs = msgspec.Raw(answer.outputs)
            record.error = answer.error
            record.kernel_id = binding.worker.kernel_id
            detail = None if answer.detail is None else msgspec.Raw(answer.detail)
            try:
                self._store.append_line(_encode(RunEntry(record, detail)))
            except StoreFull as failure:
                refused = failure
        if not call.future.done():
            if refused is not None:
                # A success says "recorded"; what could not be recorded is not acknowledged.
                call.future.set_exception(refused)
            else:
                call.future.set_result(
                    CallResult(
                        call.run_id,
                        call.run_name,
                        answer.status,
                        answer.outputs,
                        answer.parameters,
                        answer.error,
                        answer.errors,
                        (finished_at - started_at) / 1_000_000,
                        deployment.name,
                        pipeline,
                        binding.snapshot,
                        f"{pipeline}@{binding.snapshot}",
                    )
                )
        if deployment.queue:
            self._send_waiting(deployment)

    def _end_waiting(
        self, deployment: Deployment, call: Waiting, status: str, error: ErrorInfo
    ) -> None:
        """End a call that never reached a worker."""
        if deployment.limits.keeps(status):
            record = self._record(call, deployment, status)
            record.finished_at, record.error = now(), error
            self._append(record)
        if not call.future.done():
            call.future.set_result(
                CallResult(
                    call.run_id,
                    call.run_name,
                    status,
                    None,
                    None,
                    error,
                    None,
                    0.0,
                    deployment.name,
                    deployment.pipeline,
                    deployment.snapshot,
                    deployment.snapshot_id,
                )
            )

    def _record(self, call: Waiting, deployment: Deployment, status: str) -> RunRecord:
        """What is stored of a call. Raw parameters are not where the signature has a secret: only
        the worker's dump of them has it masked."""
        return RunRecord(
            run_id=call.run_id,
            pipeline=deployment.pipeline,
            status=status,  # type: ignore[arg-type]
            created_at=call.created_at,
            trigger=call.trigger,
            run_name=call.run_name,
            deployment=deployment.name,
            snapshot=deployment.snapshot,
            parameters=None if deployment.has_secrets else msgspec.Raw(call.parameters),
            notebook=deployment.notebook,
            user=call.user,
            host_id=self._host_id,
        )

    def _append(self, record: RunRecord) -> None:
        try:
            self._store.append(RunEntry(record))
        except StoreFull as failure:
            log.error("Run %s could not be recorded: %s", record.run_id, failure)

    # -- cancels, losses and deadlines -------------------------------------------------------

    def cancel(self, run_id: str) -> None:
        """Stop a call or a batch run. Raises NotFound when none of that id is in flight here."""
        for deployment in self._deployments:
            for call in deployment.queue:
                if call.run_id == run_id:
                    deployment.queue.remove(call)
                    error = ErrorInfo("RunCancelled", "The run was cancelled while it waited.")
                    self._end_waiting(deployment, call, "cancelled", error)
                    return
        for pending in self._pending.values():
            if pending.call.run_id == run_id:
                pending.binding.worker.send(wire.Cancel(run_id))
                return
        if not self.batch.cancel(run_id):
            raise NotFound(f"No run '{run_id}' is in flight.")

    def lost(self, worker: Worker, cause: str) -> None:
        """A worker is gone: everything it executed is lost, and its callers hear so now."""
        error = ErrorInfo("RunLost", f"{cause} while the run was in flight.")
        for number, pending in list(self._pending.items()):
            if pending.binding.worker is worker:
                self._end(pending, wire.Answer(number, "lost", error=error))
        self.batch.lost(worker, error)

    def orphaned(self, deployment: Deployment) -> None:
        """Nothing serves a deployment any more: answer what waits for it."""
        while deployment.queue:
            call = deployment.queue.popleft()
            if not call.future.done():
                call.future.set_exception(
                    Unavailable(
                        f"Deployment '{deployment.name}' has no worker now. {deployment.reason}",
                        retry_after=5,
                    )
                )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            moment = now()
            for number, pending in list(self._pending.items()):
                if moment > pending.call.deadline:
                    self._time_out(number, pending)
                elif not pending.shown and moment - pending.call.created_at > SHOW_RUNNING_AFTER:
                    self._show(pending)
            for deployment in list(self._deployments):
                for call in [call for call in deployment.queue if moment > call.deadline]:
                    deployment.queue.remove(call)
                    error = ErrorInfo("RunTimedOut", "The deadline passed while the run waited.")
                    self._end_waiting(deployment, call, "timed_out", error)

    def _time_out(self, number: int, pending: Pending) -> None:
        call = pending.call
        pending.binding.worker.send(wire.Cancel(call.run_id, "timed_out"))
        seconds = (call.deadline - call.created_at) / 1_000_000
        error = ErrorInfo("RunTimedOut", f"The run did not end within {seconds:g} s.")
        self._end(pending, wire.Answer(number, "timed_out", error=error))

    def _show(self, pending: Pending) -> None:
        """Make a call that takes long visible while it runs; after a crash it is then `lost`."""
        if pending.deployment.limits.record != "all":
            return
        pending.shown = True
        record = self._record(pending.call, pending.deployment, "running")
        record.pipeline, record.snapshot = pending.binding.body.pipeline, pending.binding.snapshot
        record.started_at = pending.sent_at
        record.kernel_id = pending.binding.worker.kernel_id
        self._append(record)

    async def drain(self, seconds: float) -> None:
        """Take no more calls and wait for those in flight, at most so long."""
        self._draining = True
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
