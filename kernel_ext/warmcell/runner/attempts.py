"""Running one step of a run: its scope, hooks, retries, timeout, and the record of it.

Both forms do the same, :func:`perform` on the calling thread and :func:`perform_async` on the
event loop. Each returns the value of the step or raises what the step raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from typing import TYPE_CHECKING, Any

from warmcell.context import StepContext, current
from warmcell.errors import StepCancelled
from warmcell.ids import now
from warmcell.output import flush
from warmcell.runner import hooks
from warmcell.runner.calling import call, call_async
from warmcell.runner.execution import Execution, check_outputs
from warmcell.runner.loop import loop
from warmcell.runner.taking import HANDLES, taken

if TYPE_CHECKING:
    from concurrent.futures import Future

    from warmcell.graph import Node
    from warmcell.options import Retry
    from warmcell.runner.cancellation import Entry

STOP_SECONDS = 2.0  # for an interrupted coroutine to stop


def perform(run: Execution, node: Node, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run the step of ``node``. An ``async`` step runs on the event loop while this waits."""
    step = node.step
    if step.is_async:
        return wait(start_async(run, node, args, kwargs))
    if run.gate is not None:
        run.gate(node, args, kwargs)
    token = run.token
    scope = StepContext(run, step, node.name, args, kwargs, node.inputs)
    attempt = _Attempt()
    entry: Entry | None = None
    began = now()
    run.began(node, began)
    reset = current.set(scope)
    try:
        if HANDLES:
            args, kwargs = taken(run, scope, args, kwargs)
        if run.reuse is not None:
            run.reuse.given(node, args, kwargs)
        if step.plain and run.retry is None and not run.environs:
            entry = token.enter()
            try:
                value = step.function(*args, **kwargs)
            finally:
                token.leave(entry)
        else:
            with _environment(run, node):
                value = _elaborate(run, node, args, kwargs, attempt)
        if len(step.outputs) > 1:
            check_outputs(step, node.name, value)
    except BaseException as error:
        if entry is not None:
            token.leave(entry)
        flush(scope)
        current.reset(reset)
        run.ended(node, began, error, attempt.number)
        raise
    if scope.pending is not None:
        flush(scope)
    current.reset(reset)
    run.succeeded(node, began, value, attempt.number)
    return value


class _Attempt:
    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 1


def _environment(run: Execution, node: Node) -> contextlib.AbstractContextManager[None]:
    if not _has_environment(run, node):
        return contextlib.nullcontext()
    from warmcell.runner.environs import during, wanted

    return during(wanted(run, node.step), run.token)


def _environment_async(run: Execution, node: Node) -> contextlib.AbstractAsyncContextManager[None]:
    if not _has_environment(run, node):
        return contextlib.nullcontext()
    from warmcell.runner.environs import during_async, wanted

    return during_async(wanted(run, node.step), run.token)


def _has_environment(run: Execution, node: Node) -> bool:
    options = node.step.options
    return run.environs or bool(options.environment or options.secrets)


def _elaborate(
    run: Execution, node: Node, args: Any, kwargs: dict[str, Any], attempt: _Attempt
) -> Any:
    """A step with hooks, retries or a timeout."""
    options = node.step.options
    retry = options.retry or run.retry
    hooks.guarded(options.on_start)
    try:
        while True:
            try:
                value = call(run, node, args, kwargs, attempt.number)
                break
            except (StepCancelled, KeyboardInterrupt):
                raise
            except BaseException as error:
                pause = _pause(retry, attempt, error)
                if pause is None:
                    raise
                run.log("log", _again(node, retry, attempt, error, pause), node.name, "WARNING")
                if run.token.wait(pause):
                    raise StepCancelled(run.token.reason) from error
                attempt.number += 1
    except BaseException as error:
        hooks.guarded(options.on_failure, error)
        hooks.guarded(options.on_end, error)
        raise
    hooks.guarded(options.on_success)
    hooks.guarded(options.on_end, None)
    return value


def _pause(retry: Retry | None, attempt: _Attempt, error: BaseException) -> float | None:
    """Seconds until the next attempt; None if there is to be none."""
    if retry is None or attempt.number > retry.max_retries or not isinstance(error, retry.on):
        return None
    return retry.wait(attempt.number)


def _again(
    node: Node, retry: Retry | None, attempt: _Attempt, error: BaseException, pause: float
) -> str:
    most = retry.max_retries if retry is not None else 0
    return (
        f"{node.name}: attempt {attempt.number} raised {type(error).__name__}: {error}. "
        f"Retry {attempt.number} of {most} in {pause:g} s.\n"
    )


# -- async steps -----------------------------------------------------------------------------


def start_async(run: Execution, node: Node, args: Any, kwargs: dict[str, Any]) -> Future[Any]:
    """Start an ``async`` step on the event loop. Cancelling the run cancels it."""
    if run.gate is not None:
        run.gate(node, args, kwargs)
    context = contextvars.copy_context()
    scope = StepContext(run, node.step, node.name, args, kwargs, node.inputs)
    context.run(current.set, scope)
    future = loop().start(perform_async(run, node, args, kwargs, scope), context)
    run.token.on_cancel(future.cancel)
    future.add_done_callback(lambda _: run.token.forget(future.cancel))
    return future


async def perform_async(
    run: Execution, node: Node, args: Any, kwargs: dict[str, Any], scope: StepContext
) -> Any:
    """Run the ``async`` step of ``node``; called in a context whose scope is ``scope``."""
    attempt = _Attempt()
    began = now()
    run.began(node, began)
    try:
        if run.token.reason is not None:
            raise StepCancelled(run.token.reason)
        if HANDLES:  # on a thread: it may have to be fetched
            args, kwargs = await asyncio.to_thread(taken, run, scope, args, kwargs)
        if run.reuse is not None:
            run.reuse.given(node, args, kwargs)
        async with _environment_async(run, node):
            value = await _elaborate_async(run, node, args, kwargs, attempt)
        if len(node.step.outputs) > 1:
            check_outputs(node.step, node.name, value)
    except BaseException as error:
        flush(scope)
        stopped = isinstance(error, asyncio.CancelledError)
        run.ended(node, began, StepCancelled() if stopped else error, attempt.number)
        raise
    flush(scope)
    run.succeeded(node, began, value, attempt.number)
    return value


async def _elaborate_async(
    run: Execution, node: Node, args: Any, kwargs: dict[str, Any], attempt: _Attempt
) -> Any:
    options = node.step.options
    retry = options.retry or run.retry
    await _guarded(options.on_start)
    try:
        while True:
            try:
                value = await call_async(run, node, args, kwargs, attempt.number)
                break
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                pause = _pause(retry, attempt, error)
                if pause is None:
                    raise
                run.log("log", _again(node, retry, attempt, error, pause), node.name, "WARNING")
                await asyncio.sleep(pause)
                attempt.number += 1
    except BaseException as error:
        await _guarded(options.on_failure, error)
        await _guarded(options.on_end, error)
        raise
    await _guarded(options.on_success)
    await _guarded(options.on_end, None)
    return value


async def _guarded(hook: Any, *arguments: Any) -> None:
    # On a thread: a hook may block, and may itself wait for this loop.
    if hook is not None:
        await asyncio.to_thread(hooks.guarded, hook, *arguments)


def wait(future: Future[Any]) -> Any:
    """The result of an ``async`` step, for a thread that waits for it. An interrupt cancels it."""
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        with contextlib.suppress(BaseException):
            future.result(STOP_SECONDS)
        raise
