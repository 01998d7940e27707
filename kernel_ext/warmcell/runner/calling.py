"""Calling the function of a step, once: its timeout, and what it yields where it is a generator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from warmcell.errors import RunTimedOut, StepCancelled
from warmcell.runner.cancellation import CancelToken
from warmcell.runner.draining import drain, drain_async
from warmcell.runner.pool import pool

if TYPE_CHECKING:
    from warmcell.graph import Node
    from warmcell.runner.execution import Execution

__all__ = ["call", "call_async"]

GRACE_SECONDS = 0.2  # for a step that was told to stop to do so


def call(run: Execution, node: Node, args: Any, kwargs: dict[str, Any], attempt: int) -> Any:
    """Call it on this thread, or, where it has a timeout, on one of its own. Raises
    :class:`RunTimedOut` at its timeout, and :class:`StepCancelled`."""
    seconds = node.step.options.timeout
    if seconds is None:
        return _call(run, run.token, node, args, kwargs, attempt)
    timed = _Timed(lambda token: _call(run, token, node, args, kwargs, attempt))
    run.token.on_cancel(timed.stop)
    try:
        pool().run(timed, at_once=True)
        in_time = timed.done.wait(seconds)
    finally:
        run.token.forget(timed.stop)
    if run.token.reason is not None:
        raise StepCancelled(run.token.reason)
    if not in_time:
        timed.token.cancel("timed_out")
        timed.done.wait(GRACE_SECONDS)
        raise _too_long(run, node, seconds)
    if timed.error is not None:
        raise timed.error
    return timed.value


def _call(
    run: Execution, token: CancelToken, node: Node, args: Any, kwargs: dict[str, Any], attempt: int
) -> Any:
    value = _entered(token, node.step.function, *args, **kwargs)
    if not node.step.is_generator:
        return value
    # Between two values our own code runs: a cancel must not be raised there.
    return drain(value, partial(_entered, token), partial(run.yielded, node, attempt))


def _entered(token: CancelToken, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call code of the user, where a cancel may be raised."""
    entry = token.enter()
    try:
        try:
            return function(*args, **kwargs)
        finally:
            token.leave(entry)
    except BaseException:
        token.leave(entry)
        raise


class _Timed:
    """A call on a thread of its own, while the caller waits for it with a deadline. It has a token
    of its own, as its end is not the end of the run."""

    def __init__(self, function: Callable[[CancelToken], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.token = CancelToken()
        self.value: Any = None
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.value = self.function(self.token)
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

    def stop(self) -> None:
        """The run was cancelled: tell the thread, and whoever waits for it."""
        self.token.cancel()
        self.done.set()


async def call_async(
    run: Execution, node: Node, args: Any, kwargs: dict[str, Any], attempt: int
) -> Any:
    """The same for an ``async`` step, on the event loop."""
    seconds = node.step.options.timeout
    if seconds is None:
        return await _awaited(run, node, args, kwargs, attempt)
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await _awaited(run, node, args, kwargs, attempt)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise _too_long(run, node, seconds) from error


async def _awaited(
    run: Execution, node: Node, args: Any, kwargs: dict[str, Any], attempt: int
) -> Any:
    made = node.step.function(*args, **kwargs)
    if node.step.is_generator:
        return await drain_async(made, partial(run.yielded, node, attempt))
    return await made


def _too_long(run: Execution, node: Node, seconds: float) -> RunTimedOut:
    return RunTimedOut(
        f"Step `{node.name}` took longer than its timeout of {seconds:g} s.",
        run_id=run.run_id,
        step=node.name,
        hint="Raise `timeout` of the step, or make it faster.",
    )
