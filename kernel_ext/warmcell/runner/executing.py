"""Executing a run: the one place where it goes from its first state to its last.

:func:`execute` serves calls and batch runs alike. It runs on the calling thread; a graph in which
nothing can run at the same time never leaves it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from warmcell import figures, tracing
from warmcell.context import current
from warmcell.errors import RunTimedOut, StepCancelled
from warmcell.graph import Graph, Node, resolve
from warmcell.ids import now
from warmcell.output import flush
from warmcell.records import ErrorInfo, RunDetail, Status
from warmcell.runner import hooks
from warmcell.runner.attempts import perform
from warmcell.runner.body import Body, raise_first
from warmcell.runner.cancellation import CancelToken
from warmcell.runner.errorinfo import error_info
from warmcell.runner.execution import Execution, Listener
from warmcell.runner.kept import Values
from warmcell.runner.pool import pool
from warmcell.runner.scheduler import Scheduler, Task

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline, Plan

STOP_SECONDS = 2.0  # for a body that was told to stop to do so

__all__ = ["UNSET", "CancelToken", "Outcome", "execute"]


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()


@dataclass(slots=True)
class Outcome:
    """How a run ended. ``outputs`` are the named outputs, ``value`` is what the body returned,
    ``exception`` is the error itself where there was one. Times are microseconds since the epoch.
    """

    status: Status
    outputs: dict[str, Any]
    value: Any
    detail: RunDetail
    error: ErrorInfo | None
    exception: BaseException | None
    started_at: int
    finished_at: int


def execute(
    pipeline: Pipeline,
    arguments: Mapping[str, Any],
    *,
    run_id: str,
    cancel: CancelToken | None = None,
    state: Any = UNSET,
    keep: bool = True,
    echo: bool = False,
    run_name: str | None = None,
    deployment: str | None = None,
    snapshot: int | None = None,
    listener: Listener | None = None,
    deadline: float | None = None,
    execution: Execution | None = None,
    traceparent: str | None = None,
) -> Outcome:
    """Run ``pipeline`` with ``arguments`` by name (defaults are filled in) and say how it ended.

    Never raises for what the pipeline does: errors, a cancel and an interrupt are in the outcome.
    ``state`` is what ``on_init`` made; without it the run makes its own and cleans it up. With
    ``keep`` false nothing is recorded. ``echo`` shows output where the run was started. A
    ``deadline`` (seconds from now) ends the run as ``timed_out``. ``traceparent`` is its caller's.
    """
    token = cancel or CancelToken()
    run = execution or Execution(
        pipeline, arguments, run_id=run_id, token=token, run_name=run_name, deployment=deployment,
        snapshot=snapshot, keep=keep, echo=echo, listener=listener, traceparent=traceparent,
    )  # fmt: skip
    parent = current.get()
    timer = None
    if deadline is not None:
        timer = threading.Timer(deadline, run.token.cancel, ("timed_out",))
        timer.daemon = True
        timer.start()
    if parent is not None:
        parent.run.token.on_cancel(run.token.cancel)
    started = now()
    if (tracer := tracing.tracer()) is not None:
        run.tracing = tracing.RunSpans(tracer, run, started)
    value: Any = None
    error: BaseException | None = None
    shape = None
    isolated = figures.isolate()
    plan = None
    try:
        if len(arguments) < pipeline.count:
            run.arguments = arguments = pipeline.complete(arguments)
        plan = pipeline.plan()
        if state is not UNSET:
            run.state = state
        if plan.quick or (plan.hookless and state is not UNSET):
            value = _chain(run, plan, arguments)
        else:
            value = _whole(run, plan, arguments, own_state=state is UNSET)
        shape = plan.shape
    except BaseException as caught:
        error = caught
    finally:
        if timer is not None:
            timer.cancel()
        if parent is not None:
            parent.run.token.forget(run.token.cancel)
    if isolated or figures.loaded():
        _close_figures(run, isolated)
    outcome = _outcome(run, started, value, shape, error)
    if run.tracing is not None:
        run.tracing.finish(outcome.status, outcome.finished_at, outcome.exception)
    return outcome


def _outcome(
    run: Execution, started: int, value: Any, shape: Any, error: BaseException | None
) -> Outcome:
    detail = run.detail() if run.keep else RunDetail()
    if error is None and run.token.reason is None:
        outputs = shape.name(value)
        return Outcome("succeeded", outputs, value, detail, None, None, started, now())
    status: Status = "failed"
    if isinstance(error, KeyboardInterrupt):
        status = "cancelled"
    elif run.token.reason in ("cancelled", "timed_out"):
        status = "timed_out" if run.token.reason == "timed_out" else "cancelled"
    elif isinstance(error, RunTimedOut):
        status = "timed_out"
    if isinstance(error, StepCancelled) and status == "failed" and run.failure is not None:
        error = run.failure  # the run was stopped because of this one
    info = None
    if status == "failed" or isinstance(error, RunTimedOut):
        if error is not None:
            step = run.failed_step if error is run.failure else None
            info = run.redaction.error(error_info(error, step))
    elif status == "timed_out":
        info = ErrorInfo("RunTimedOut", "The run passed its deadline.", run.at)
    else:
        info = ErrorInfo("RunCancelled", "The run was cancelled.", run.at)
    return Outcome(status, {}, None, detail, info, error, started, now())


# -- the quick way: a chain on this thread ---------------------------------------------------


def _chain(run: Execution, plan: Plan, inputs: Mapping[str, Any]) -> Any:
    reuse = run.reuse
    values: list[Any] = [] if reuse is None else Values()
    done = 0
    try:
        for node, args, kwargs in plan.chain:
            if reuse is not None:
                again = partial(_perform, run, node, args, kwargs, values, inputs)
                kept = reuse.step(node, again)
                if kept is not None:
                    values.append(kept)
                    done += 1
                    continue
            given = [get(values, inputs) for get in args]
            named = {name: get(values, inputs) for name, get in kwargs} if kwargs else {}
            values.append(perform(run, node, given, named))
            done += 1
    except BaseException:
        for node, *_ in plan.chain[done + 1 :]:
            run.skipped(node)
        raise
    return plan.result(values, inputs)


def _perform(
    run: Execution, node: Node, args: Any, kwargs: Any, values: list[Any], inputs: Any
) -> Any:
    given = [get(values, inputs) for get in args]
    return perform(run, node, given, {name: get(values, inputs) for name, get in kwargs})


# -- the whole way: hooks, a state of its own, parallel branches, an eager body ---------------


def _whole(run: Execution, plan: Plan, inputs: Mapping[str, Any], *, own_state: bool) -> Any:
    pipeline = run.pipeline
    options = pipeline.options
    body = Body(pipeline, run, inputs, plan.analysis.sites, packs=plan.analysis.packs)
    reset = current.set(body)
    try:
        if own_state:
            run.state = hooks.init(pipeline)
        try:
            hooks.guarded(options.on_start)
            try:
                value = _body(run, plan, body, inputs)
            except BaseException as error:
                hooks.guarded(options.on_failure, error)
                hooks.guarded(options.on_end, error)
                raise
            hooks.guarded(options.on_success)
            hooks.guarded(options.on_end, None)
            return value
        finally:
            if own_state:
                hooks.cleanup(pipeline, run.state)
    finally:
        flush(body)
        current.reset(reset)


def _body(run: Execution, plan: Plan, body: Body, inputs: Mapping[str, Any]) -> Any:
    if plan.graph is not None:
        reset = current.set(None)
        try:
            return _graph(run, plan, plan.graph, inputs)
        finally:
            current.reset(reset)
    args, kwargs = run.pipeline.arguments(inputs)
    try:
        if run.pipeline.is_async:
            returned = _drive(run, args, kwargs)
        else:
            returned = run.pipeline.function(*args, **kwargs)
    except BaseException as error:
        body.give_up(error)
        raise
    return body.finish(returned)


def _graph(run: Execution, plan: Plan, graph: Graph, inputs: Mapping[str, Any]) -> Any:
    """A planned graph, branches of which may run beside each other."""
    if plan.chain:
        return _chain(run, plan, inputs)
    values: list[Any] = [None] * len(graph.nodes)
    if run.reuse is not None:
        values = Values(values)
    scheduler = Scheduler(run)
    tasks: list[Task] = []
    for node in graph.nodes:
        upstream = [tasks[up] for up in node.upstream]
        tasks.append(scheduler.add(node, _Load(node, tasks, values, inputs), upstream))
    try:
        scheduler.drain()
    finally:
        scheduler.close()
    raise_first(tasks)
    for task in tasks:
        values[task.node.index] = task.value
    return plan.result(values, inputs)


class _Load:
    """Makes the arguments of a node once the tasks before it are done."""

    __slots__ = ("inputs", "node", "tasks", "values")

    def __init__(self, node: Any, tasks: list[Task], values: list[Any], inputs: Any) -> None:
        self.node = node
        self.tasks = tasks
        self.values = values
        self.inputs = inputs

    def __call__(self) -> tuple[list[Any], dict[str, Any]]:
        for up in self.node.upstream:
            self.values[up] = self.tasks[up].value
        args = [resolve(arg, self.values, self.inputs) for arg in self.node.args]
        named = self.node.kwargs.items()
        return args, {name: resolve(arg, self.values, self.inputs) for name, arg in named}


def _drive(run: Execution, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an ``async`` body on an event loop of its own, on a thread of its own: the calling
    thread may be running a loop already."""
    done = threading.Event()
    result: list[Any] = []
    failed: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def main() -> Any:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        return await run.pipeline.function(*args, **kwargs)

    def work() -> None:
        try:
            result.append(asyncio.run(main()))
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    def cancel() -> None:
        for loop, task in running:
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

    run.token.on_cancel(cancel)
    try:
        pool().run(work, at_once=True)
        done.wait()
    except BaseException:
        run.token.cancel("cancelled")
        done.wait(STOP_SECONDS)
        raise
    finally:
        run.token.forget(cancel)
    if failed:
        if isinstance(failed[0], asyncio.CancelledError):
            raise StepCancelled(run.token.reason or "cancelled") from None
        raise failed[0]
    return result[0]


def _close_figures(run: Execution, isolated: bool) -> None:
    body = Body(run.pipeline, run, {}, {})
    reset = current.set(body)
    try:
        figures.close(run, isolated=isolated)
    finally:
        current.reset(reset)
