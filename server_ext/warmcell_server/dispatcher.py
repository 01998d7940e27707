"""The dispatcher: one call from admission to its recorded end.

A call is admitted or refused at once, queued while its deployment is at its limit, sent to the
worker that holds the snapshot, ended by the worker's answer, by its deadline, by a cancel or by the
worker's death, recorded in the spool, and only then answered.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, NotFound, QueueFull, StoreFull, Unavailable
from warmcell.ids import new_id, now
from warmcell.records import TERMINAL, DetailEntry, ErrorInfo, RunEntry, RunRecord
from warmcell_server.deployments import Binding, Deployment, Deployments
from warmcell_server.store import Store
from warmcell_server.workers import Worker

__all__ = ["CallResult", "Dispatcher", "Pending", "Waiting"]

SWEEP_SECONDS = 0.25
SHOW_RUNNING_AFTER = 1_000_000  # microseconds until a call in flight is shown in the history

log = logging.getLogger("warmcell.dispatcher")
_encode = msgspec.json.Encoder().encode


class CallResult(msgspec.Struct):
    """How a call ended. ``status`` is a terminal one, or "invalid" when the parameters do not fit
    the signature. ``outputs`` and ``parameters`` are JSON; ``execution_time`` is in seconds."""

    run_id: str
    run_name: str | None
    status: str
    outputs: bytes | None
    parameters: bytes | None
    error: ErrorInfo | None
    errors: list[dict[str, str]] | None
    execution_time: float
    deployment: str
    pipeline: str
    snapshot: int
    snapshot_id: str


@dataclass(eq=False, slots=True)
class Pending:
    """A call that a worker executes."""

    deployment: Deployment
    binding: Binding
    run_id: str
    run_name: str | None
    parameters: bytes
    user: str | None
    trigger: str
    created_at: int
    sent_at: int
    deadline: int
    future: asyncio.Future[CallResult]
    shown: bool = False


@dataclass(eq=False, slots=True)
class Waiting:
    """A call that waits for a place."""

    run_id: str
    run_name: str | None
    parameters: bytes
    user: str | None
    trigger: str
    created_at: int
    deadline: int
    future: asyncio.Future[CallResult]


class Dispatcher:
    """Sends calls to workers. Belongs to the host's event loop."""

    def __init__(self, store: Store, deployments: Deployments, host_id: str) -> None:
        self._store = store
        self._deployments = deployments
        self._host_id = host_id
        self._pending: dict[int, Pending] = {}
        self._started: dict[str, tuple[Worker, RunRecord]] = {}
        self._call = 0
        self._draining = False
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch deadlines."""
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    # -- calls -------------------------------------------------------------------------------

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
        binding = deployment.binding
        if binding is None:
            raise Unavailable(
                f"Deployment '{name}' has no worker now. {deployment.reason}", retry_after=5
            )
        limits = deployment.limits
        if limits.record != "none":
            self._store.admit()
        moment = now()
        seconds = limits.timeout if timeout is None else min(timeout, limits.timeout)
        deadline = moment + int(seconds * 1_000_000)
        future: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        if len(deployment.running) < limits.concurrency:
            self._send(
                Pending(
                    deployment,
                    binding,
                    new_id(),
                    run_name,
                    parameters,
                    user,
                    trigger,
                    moment,
                    moment,
                    deadline,
                    future,
                )
            )
        elif len(deployment.queue) < limits.max_queue:
            deployment.queue.append(
                Waiting(new_id(), run_name, parameters, user, trigger, moment, deadline, future)
            )
        else:
            raise QueueFull(
                f"Deployment '{name}' has {limits.concurrency} calls running and "
                f"{limits.max_queue} waiting, which is its limit.",
                hint="Try again later, or raise max_queue or concurrency in its settings.",
            )
        return future

    def _send(self, pending: Pending) -> None:
        self._call = call = self._call + 1
        self._pending[call] = pending
        pending.deployment.running[call] = pending
        pending.binding.in_flight += 1
        pending.binding.worker.send(
            wire.Invoke(
                call,
                pending.binding.key,
                pending.run_id,
                pending.parameters,
                (pending.deadline - pending.sent_at) / 1_000_000,
                pending.deployment.limits.record != "none",
                pending.run_name,
                pending.deployment.name,
            )
        )

    def _next(self, deployment: Deployment) -> None:
        """Send what waits, as far as there is room."""
        while deployment.queue and len(deployment.running) < deployment.limits.concurrency:
            binding = deployment.binding
            if binding is None:
                break
            waiting = deployment.queue.popleft()
            if waiting.future.done():  # its caller left
                continue
            self._send(
                Pending(
                    deployment,
                    binding,
                    waiting.run_id,
                    waiting.run_name,
                    waiting.parameters,
                    waiting.user,
                    waiting.trigger,
                    waiting.created_at,
                    now(),
                    waiting.deadline,
                    waiting.future,
                )
            )

    # -- ends --------------------------------------------------------------------------------

    def answered(self, answer: wire.Answer) -> None:
        """The worker ended a call."""
        pending = self._pending.pop(answer.call, None)
        if pending is not None:
            self._end(
                answer.call,
                pending,
                answer.status,
                answer.outputs,
                answer.parameters,
                answer.detail,
                answer.error,
                answer.errors,
                answer.started_at,
                answer.finished_at,
            )

    def _end(
        self,
        call: int,
        pending: Pending,
        status: str,
        outputs: bytes | None = None,
        parameters: bytes | None = None,
        detail: bytes | None = None,
        error: ErrorInfo | None = None,
        errors: list[dict[str, str]] | None = None,
        started_at: int = 0,
        finished_at: int = 0,
    ) -> None:
        deployment = pending.deployment
        deployment.running.pop(call, None)
        self._deployments.released(pending.binding)
        finished_at = finished_at or now()
        started_at = started_at or pending.sent_at
        deployment.total_runs += 1
        deployment.last_run_at = finished_at
        if status != "succeeded":
            deployment.failed_runs += 1
        binding = pending.binding
        refused: StoreFull | None = None
        if pending.shown or deployment.limits.keeps(status):
            record = RunRecord(
                run_id=pending.run_id,
                pipeline=binding.body.pipeline,
                status="failed" if status == "invalid" else status,  # type: ignore[arg-type]
                created_at=pending.created_at,
                trigger=pending.trigger,
                run_name=pending.run_name,
                deployment=deployment.name,
                snapshot=binding.snapshot,
                started_at=started_at,
                finished_at=finished_at,
                parameters=_storable(deployment, pending.parameters, parameters),
                outputs=None if outputs is None else msgspec.Raw(outputs),
                error=error,
                notebook=binding.worker.notebook,
                kernel_id=binding.worker.kernel_id,
                user=pending.user,
                host_id=self._host_id,
            )
            line = _encode(RunEntry(record, None if detail is None else msgspec.Raw(detail)))
            try:
                self._store.append_line(line)
            except StoreFull as failure:
                refused = failure
        if not pending.future.done():
            if refused is not None:
                # An answer says "recorded"; what could not be recorded is not acknowledged.
                pending.future.set_exception(refused)
            else:
                pending.future.set_result(
                    CallResult(
                        pending.run_id,
                        pending.run_name,
                        status,
                        outputs,
                        parameters,
                        error,
                        errors,
                        (finished_at - started_at) / 1_000_000,
                        deployment.name,
                        binding.body.pipeline,
                        binding.snapshot,
                        f"{binding.body.pipeline}@{binding.snapshot}",
                    )
                )
        if deployment.queue:
            self._next(deployment)

    def cancel(self, run_id: str) -> None:
        """Stop a call or a batch run. Raises NotFound when none of that id is in flight here."""
        for deployment in self._deployments:
            for waiting in deployment.queue:
                if waiting.run_id == run_id:
                    deployment.queue.remove(waiting)
                    self._end_waiting(deployment, waiting, "cancelled", "cancelled by a request")
                    return
        for pending in self._pending.values():
            if pending.run_id == run_id:
                pending.binding.worker.send(wire.Cancel(run_id))
                return
        started = self._started.get(run_id)
        if started is None:
            raise NotFound(f"No run '{run_id}' is in flight.")
        started[0].send(wire.Cancel(run_id))

    def _end_waiting(
        self, deployment: Deployment, waiting: Waiting, status: str, message: str
    ) -> None:
        """End a call that never reached a worker."""
        error = ErrorInfo("RunTimedOut" if status == "timed_out" else "RunCancelled", message)
        moment = now()
        if deployment.limits.keeps(status):
            record = RunRecord(
                run_id=waiting.run_id,
                pipeline=deployment.pipeline,
                status=status,  # type: ignore[arg-type]
                created_at=waiting.created_at,
                trigger=waiting.trigger,
                run_name=waiting.run_name,
                deployment=deployment.name,
                snapshot=deployment.snapshot,
                finished_at=moment,
                parameters=_storable(deployment, waiting.parameters),
                error=error,
                notebook=deployment.notebook,
                user=waiting.user,
                host_id=self._host_id,
            )
            try:
                self._store.append(RunEntry(record))
            except StoreFull as failure:
                log.error("Run %s could not be recorded: %s", waiting.run_id, failure)
        if not waiting.future.done():
            waiting.future.set_result(
                CallResult(
                    waiting.run_id,
                    waiting.run_name,
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

    # -- runs that a worker starts itself ----------------------------------------------------

    def progress(self, worker: Worker, message: wire.Progress) -> None:
        """Record a state or new parts of a batch run; acknowledge once the spool has them."""
        status, problem = 200, b""
        try:
            self._record_progress(worker, message)
        except StoreFull as failure:
            status, problem = 503, _encode({"detail": str(failure), "type": "store-full"})
        if message.ack is not None:
            worker.send(wire.Reply(message.ack, status, problem))

    def _record_progress(self, worker: Worker, message: wire.Progress) -> None:
        run = message.run
        if run is None:
            if message.detail is not None:
                self._store.append(DetailEntry(message.run_id, msgspec.Raw(message.detail)))
            return
        run.host_id = self._host_id
        run.kernel_id = worker.kernel_id
        run.notebook = run.notebook or worker.notebook
        if run.status in TERMINAL:
            self._started.pop(run.run_id, None)
        else:
            self._started[run.run_id] = (worker, run)
        detail = None if message.detail is None else msgspec.Raw(message.detail)
        self._store.append(RunEntry(run, detail))

    # -- losses and deadlines ----------------------------------------------------------------

    def lost(self, worker: Worker, cause: str) -> None:
        """A worker is gone: everything it executed is lost, and its callers hear so now."""
        error = ErrorInfo("RunLost", f"{cause} while the run was in flight.")
        for call, pending in list(self._pending.items()):
            if pending.binding.worker is worker:
                del self._pending[call]
                self._end(call, pending, "lost", error=error)
        for run_id, (owner, run) in list(self._started.items()):
            if owner is worker:
                del self._started[run_id]
                run.status, run.error, run.finished_at = "lost", error, now()
                try:
                    self._store.append(RunEntry(run))
                except StoreFull as failure:
                    log.error("The loss of run %s could not be recorded: %s", run_id, failure)

    def orphaned(self, deployment: Deployment) -> None:
        """Nothing serves a deployment any more: answer what waits for it."""
        while deployment.queue:
            waiting = deployment.queue.popleft()
            if not waiting.future.done():
                waiting.future.set_exception(
                    Unavailable(
                        f"Deployment '{deployment.name}' has no worker now. {deployment.reason}",
                        retry_after=5,
                    )
                )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            moment = now()
            for call, pending in list(self._pending.items()):
                if moment > pending.deadline:
                    self._time_out(call, pending)
                elif not pending.shown and moment - pending.created_at > SHOW_RUNNING_AFTER:
                    self._show(pending)
            for deployment in list(self._deployments):
                for waiting in [w for w in deployment.queue if moment > w.deadline]:
                    deployment.queue.remove(waiting)
                    self._end_waiting(
                        deployment,
                        waiting,
                        "timed_out",
                        "The deadline passed while the call waited in the queue.",
                    )

    def _time_out(self, call: int, pending: Pending) -> None:
        del self._pending[call]
        seconds = (pending.deadline - pending.created_at) / 1_000_000
        pending.binding.worker.send(wire.Cancel(pending.run_id, "timed_out"))
        error = ErrorInfo("RunTimedOut", f"The run did not end within {seconds:g} s.")
        self._end(call, pending, "timed_out", error=error)

    def _show(self, pending: Pending) -> None:
        """Make a call that takes long visible while it runs, and mark it lost after a crash."""
        if pending.deployment.limits.record != "all":
            return
        pending.shown = True
        record = RunRecord(
            run_id=pending.run_id,
            pipeline=pending.binding.body.pipeline,
            status="running",
            created_at=pending.created_at,
            trigger=pending.trigger,
            run_name=pending.run_name,
            deployment=pending.deployment.name,
            snapshot=pending.binding.snapshot,
            started_at=pending.sent_at,
            parameters=_storable(pending.deployment, pending.parameters),
            notebook=pending.binding.worker.notebook,
            kernel_id=pending.binding.worker.kernel_id,
            user=pending.user,
            host_id=self._host_id,
        )
        try:
            self._store.append(RunEntry(record))
        except StoreFull as failure:
            log.warning("Run %s cannot be shown while it runs: %s", pending.run_id, failure)

    async def drain(self, seconds: float) -> None:
        """Take no more calls and wait for those in flight, at most so long."""
        self._draining = True
        waiting = [pending.future for pending in self._pending.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    async def close(self) -> None:
        """Stop watching; calls that are still in flight are lost. Harmless when repeated."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
            self._sweeper = None
        error = ErrorInfo("RunLost", "The server shut down while the run was in flight.")
        for call, pending in list(self._pending.items()):
            del self._pending[call]
            self._end(call, pending, "lost", error=error)


def _storable(
    deployment: Deployment, raw: bytes, validated: bytes | None = None
) -> msgspec.Raw | None:
    """What may be stored of a call's parameters: the worker's dump, in which secrets are masked;
    of parameters that no worker has validated nothing where the signature has a secret."""
    if validated is not None:
        return msgspec.Raw(validated)
    return None if deployment.has_secrets else msgspec.Raw(raw)


def conflict_if_ended(status: str, run_id: str) -> None:
    """Raise :class:`Conflict` for a run that cannot be cancelled any more."""
    if status in TERMINAL:
        raise Conflict(f"Run '{run_id}' has already ended: it is {status}.")
