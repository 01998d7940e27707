"""What this kernel serves: bindings of snapshots, and the calls that run on them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from warmcell import wire
from warmcell.errors import (
    BadRequest,
    NotAcceptable,
    OutputError,
    ParameterError,
    UnsupportedMedia,
    WarmcellError,
)
from warmcell.ids import now
from warmcell.records import ErrorInfo, RunDetail, VersionRecord

if TYPE_CHECKING:
    from warmcell.around.parts import Around
    from warmcell.artifacts.keeping import Keeper
    from warmcell.artifacts.policy import ArtifactPolicy
    from warmcell.caching.reuse import Reuse
    from warmcell.drafting import Recipe
    from warmcell.model.inrun import RunModels
    from warmcell.pipelines import Pipeline
    from warmcell.runner import CancelToken
    from warmcell.runner.execution import Execution
    from warmcell.schemas import ParameterModel
    from warmcell.snapshots import Capture

__all__ = ["Binding", "Serving"]

CLEANUP_SECONDS = 30.0
MOST_STOPPED = 1024  # runs that are remembered as told to stop
CAP = 0.005  # what a call counts at most in the running mean, seconds
UNKNOWN = 1.0  # prediction in seconds for a binding that was never called
WEIGHT = 0.2  # of the newest call in the running mean
_REFUSALS = (ParameterError, UnsupportedMedia, NotAcceptable, BadRequest)

Send: TypeAlias = Callable[[wire.ToHost], object]

log = logging.getLogger("warmcell.serving")
_encode = msgspec.json.Encoder().encode


class Binding:
    """A live snapshot of a pipeline: its rebuilt code, its state, and what it takes and gives."""

    def __init__(
        self,
        key: str,
        pipeline: Pipeline,
        parameters: ParameterModel,
        *,
        state: object = None,
        snapshot: int | None = None,
        around: Around | None = None,
        recipe: Recipe | None = None,
        taken: Capture | None = None,
    ) -> None:
        self.key = key
        self.pipeline = pipeline
        self.parameters = parameters
        self.state = state
        self.snapshot = snapshot
        self.around = around
        self.recipe = recipe  # how to deploy it again, and ``taken`` what was captured, where it
        self.taken = taken  # was captured in this kernel
        self.fresh: Callable[[], Mapping[str, Any]] | None = None  # rebuilds its roots once more
        self.models: RunModels | None = None  # with the version that its deployment follows
        self.layers = around.layers if around is not None else None
        self.predicted = UNKNOWN
        self.calls = 0
        self.idle = threading.Event()
        self.idle.set()

    def measured(self, wall: float, own: float, process: float) -> None:
        """Learn what calls need, in seconds: the time that their thread computed (``own``), and
        the time that they waited for something else than the interpreter lock. While they wait for
        that, the process computes (``process``): a queue for it must not make calls look long, or
        they would be given more threads, and the queue would stay."""
        need = min(own + max(0.0, wall - process), CAP)
        first = self.predicted == UNKNOWN
        self.predicted = need if first else self.predicted + WEIGHT * (need - self.predicted)


class Serving:
    """All bindings of this kernel. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.emptied: Callable[[], None] | None = None  # called when the last binding is gone
        self._bindings: dict[str, Binding] = {}
        self._runs: dict[str, Execution] = {}
        self._early: deque[str] = deque(maxlen=64)  # runs to watch that have not begun, or are gone
        self._stopped: dict[str, str] = {}  # runs told to stop that were not found, with the reason
        self._overdue: set[str] = set()
        self.blobs: Path | None = None  # where outputs are kept as files; set by the link
        self._asides: dict[str, CancelToken] = {}  # endpoints and middleware, by what cancels them
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._bindings

    def holds(self) -> bool:
        """Whether anything is served."""
        return bool(self._bindings)

    def stuck(self) -> int:
        """How many runs are past their deadline and have not returned."""
        return len(self._overdue)

    def add(self, binding: Binding) -> None:
        """Hold a binding until it is dropped."""
        self._bindings[binding.key] = binding

    def find(self, key: str) -> Binding | None:
        """Return the binding ``key`` while it is held."""
        return self._bindings.get(key)

    def holding(self, pipeline: str, snapshot: int) -> Binding | None:
        """Return a binding of that snapshot, if one is held."""
        for binding in list(self._bindings.values()):
            if binding.snapshot == snapshot and binding.pipeline.name == pipeline:
                return binding
        return None

    def predicted(self, key: str) -> float:
        """How long a call of binding ``key`` is expected to take, in seconds."""
        binding = self._bindings.get(key)
        return 0.0 if binding is None else binding.predicted

    # -- calls -------------------------------------------------------------------------------

    def invoke(self, message: wire.Invoke, send: Send | None = None) -> wire.Answer:
        """Execute one call and return its finished answer; never raises. Its events go to
        ``send`` where somebody follows it."""
        binding = self._bindings.get(message.key)
        if binding is None:
            error = ErrorInfo("RunLost", "The kernel no longer holds this snapshot.")
            return wire.Answer(message.call, "lost", error=error)
        wall, own, process = time.perf_counter(), time.thread_time(), time.process_time()
        started = now()
        with self._lock:
            binding.calls += 1
            binding.idle.clear()
        try:
            if binding.layers:
                return self._through(binding, message, send)
            return self._execute(binding, message, send)
        except Exception as error:
            # The outermost edge of a call: whatever is wrong in here must reach the caller.
            log.exception("Run %s ended by an error of Warmcell's own", message.run_id)
            info = ErrorInfo(type(error).__name__, f"Warmcell failed: {error}")
            return wire.Answer(
                message.call, "failed", error=info, started_at=started, finished_at=now()
            )
        finally:
            with self._lock:
                binding.calls -= 1
                if not binding.calls:
                    binding.idle.set()
            binding.measured(
                time.perf_counter() - wall,
                time.thread_time() - own,
                time.process_time() - process,
            )

    def _execute(self, binding: Binding, message: wire.Invoke, send: Send | None) -> wire.Answer:
        from warmcell.bodies import check_accept, give, receive
        from warmcell.runner import CancelToken, Execution, execute

        try:
            if message.accept is not None:
                check_accept(binding.pipeline.outputs, message)
            received = receive(binding.parameters, message)
        except _REFUSALS as refusal:
            return _refused(message, refusal)
        arguments = received.arguments
        run = self._runs[message.run_id] = Execution(
            binding.pipeline,
            arguments,
            run_id=message.run_id,
            token=CancelToken(),
            run_name=message.run_name,
            deployment=message.deployment,
            snapshot=binding.snapshot,
            keep=message.record,
            traceparent=message.traceparent,
            redact=message.redact,
            policy=_policy(message) if message.artifacts else None,
        )
        run.models = binding.models
        if run.policy is not None and self.blobs is not None and message.record:
            run.keeper = _keeper(run, self.blobs, send)
            if message.enable_cache:
                run.reuse = _reuse(run)
        self._stop_early(run.run_id, run.token)
        if send is not None and (message.stream or (self._early and run.run_id in self._early)):
            _feed(run, send)  # before it begins
        try:
            outcome = execute(
                binding.pipeline, arguments, run_id=run.run_id, state=binding.state, execution=run
            )
        finally:
            if self._runs.get(run.run_id) is run:  # it may have been sent again over a new link
                del self._runs[run.run_id]
            received.close()
            self._overdue.discard(run.run_id)
            if run.feed is not None:
                run.feed.close()
        status, error, given = outcome.status, outcome.error, None
        if run.redaction.active:
            received.used = run.redaction.json(received.used)
        if status == "succeeded":
            try:
                given = give(outcome.outputs, message, self.blobs, run.redaction)
                if given.artifacts:
                    outcome.detail.artifacts.extend(given.artifacts)
                if given.refusal is not None:
                    error = ErrorInfo(
                        "NotAcceptable", given.refusal.message, hint=given.refusal.hint
                    )
            except OutputError as failure:
                status = "failed"
                error = ErrorInfo("OutputError", failure.message, failure.step, hint=failure.hint)
                error = run.redaction.error(error)
        if run.keeper is not None:
            run.keeper.settle(failed=status != "succeeded")
            if run.reuse is not None:
                outcome.detail.cache = run.reuse.take()
            outcome.detail.versions = run.keeper.close()
        return wire.Answer(
            message.call,
            status,
            None if given is None else given.outputs,
            received.used,
            _encode(outcome.detail) if message.record else None,
            error,
            None,
            outcome.started_at,
            outcome.finished_at,
            [
                (step.step, step.finished_at - step.started_at)
                for step in outcome.detail.steps
                if step.finished_at is not None and step.started_at is not None
            ],
            None if given is None else given.body,
            None if given is None else given.content_type,
            recorded=None if given is None else given.recorded,
        )

    def _through(self, binding: Binding, message: wire.Invoke, send: Send | None) -> wire.Answer:
        """Execute a call inside its middleware."""
        from warmcell.around.layers import through
        from warmcell.runner import CancelToken

        token = self._asides[message.run_id] = CancelToken()
        self._stop_early(message.run_id, token)
        try:
            assert binding.layers is not None
            execute = partial(self._execute, binding, send=send)
            return through(binding.layers, binding, message, execute, token)
        finally:
            if self._asides.get(message.run_id) is token:  # as above
                del self._asides[message.run_id]
            self._overdue.discard(message.run_id)

    def endpoint(self, message: wire.EndpointCall) -> wire.EndpointAnswer:
        """Answer a request for a custom endpoint; never raises."""
        from warmcell.around.endpoints.calls import failed
        from warmcell.errors import Unavailable
        from warmcell.runner import CancelToken

        binding = self._bindings.get(message.key)
        if binding is None or binding.around is None:
            return failed(message.call, Unavailable("The kernel no longer holds this snapshot."))
        with self._lock:
            binding.calls += 1
            binding.idle.clear()
        name = wire.endpoint_call(message.call)
        token = self._asides[name] = CancelToken()
        try:
            served = binding.around.endpoints[message.endpoint]
            return served.answer(message, binding.pipeline, binding.state, token)
        finally:
            del self._asides[name]
            self._overdue.discard(name)
            with self._lock:
                binding.calls -= 1
                if not binding.calls:
                    binding.idle.set()

    def cancel(self, run_id: str, reason: str) -> None:
        """Stop a run as soon as its code allows it; one that is unknown has ended, or begins in a
        moment."""
        with self._lock:  # before looking: see _stop_early
            self._stopped[run_id] = reason
            while len(self._stopped) > MOST_STOPPED:
                del self._stopped[next(iter(self._stopped))]
        run = self._runs.get(run_id)
        if run is not None:
            if reason == "timed_out":
                self._overdue.add(run_id)
            run.token.cancel(reason)
        aside = self._asides.get(run_id)
        if aside is not None:
            if reason == "timed_out" and run is None:
                self._overdue.add(run_id)
            aside.cancel(reason)

    def _stop_early(self, run_id: str, token: CancelToken) -> None:
        """Stop a run that was told to before it could be found: its parameters were being read, or
        it was on its way to its thread. To be called once it can be found."""
        reason = self._stopped.get(run_id)
        if reason is not None:
            token.cancel(reason)

    def watch(self, run_id: str, send: Send) -> None:
        """Send the events of a run to ``send``, those that were before too."""
        run = self._runs.get(run_id)
        if run is None:
            self._early.append(run_id)  # its call may be on its way to the thread that runs it
        elif run.feed is None:
            _feed(run, send)

    def follow(self, run: Execution, send: Send) -> None:
        """Let a cancel of a batch run reach it, and send its events to those who watch it."""
        self._runs[run.run_id] = run
        if run.run_id in self._early:
            _feed(run, send)

    def unfollow(self, run: Execution) -> None:
        """Undo :meth:`follow`; the rest of its events is sent."""
        self._runs.pop(run.run_id, None)
        if run.feed is not None:
            run.feed.close()

    # -- ends --------------------------------------------------------------------------------

    def drop(self, key: str) -> None:
        """Forget a binding and run its ``on_cleanup`` once its calls have ended."""
        binding = self._bindings.pop(key, None)
        if binding is None:
            return
        if not binding.idle.wait(CLEANUP_SECONDS):
            log.warning("Calls of %s go on while its on_cleanup runs.", key)
        from warmcell.runner import hooks

        if binding.around is not None:
            binding.around.stop(binding.state)
        hooks.cleanup(binding.pipeline, binding.state)
        if self.emptied is not None and not self._bindings:
            self.emptied()

    def close(self) -> None:
        """Drop everything."""
        for key in list(self._bindings):
            self.drop(key)


def _refused(message: wire.Invoke, refusal: WarmcellError) -> wire.Answer:
    """The answer to a call that is not executed. That ``errors`` are there tells that the error is
    not one that a step raised. A validator may have written what it was given into its error."""
    from warmcell.redaction import Redaction

    errors = refusal.errors if isinstance(refusal, ParameterError) else []
    info = ErrorInfo(type(refusal).__name__, refusal.message, hint=refusal.hint)
    redaction = Redaction(message.redact or ()).given(bytes(message.parameters))
    if redaction.active:
        info = redaction.error(info)
        errors = [
            {key: redaction.text(text) if key != "pointer" else text for key, text in one.items()}
            for one in errors
        ]
    return wire.Answer(message.call, "invalid", error=info, errors=errors)


def _policy(message: wire.Invoke) -> ArtifactPolicy | None:
    from warmcell.artifacts.policy import policy_of

    return policy_of(message.artifacts)


def _keeper(run: Execution, blobs: Path, send: Send | None) -> Keeper:
    from warmcell.artifacts.keeping import Keeper

    def late(versions: list[VersionRecord]) -> None:
        if send is not None:
            detail = RunDetail(versions=versions)
            if run.reuse is not None:
                detail.cache = run.reuse.take()
            send(wire.Progress(None, run.run_id, _encode(detail)))

    return Keeper(run, blobs, late)


def _reuse(run: Execution) -> Reuse:
    from warmcell.caching.wiring import reuse_for_call

    return reuse_for_call(run)


def _feed(run: Execution, send: Send) -> None:
    from warmcell.runner.feed import Feed

    Feed.attach(run, send)
