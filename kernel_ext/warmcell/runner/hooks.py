"""Calling hooks: code of the user that surrounds a step, a run or a deployment."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from warmcell.context import current

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline

log = logging.getLogger("warmcell.runner.hooks")


def call(hook: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``hook`` with as many of ``arguments`` as it takes; an async one is awaited."""
    result = hook(*arguments[: _takes(hook, len(arguments))])
    if inspect.isawaitable(result):
        from warmcell.runner.loop import run_coroutine

        return run_coroutine(_await(result))
    return result


def guarded(hook: Callable[..., Any] | None, *arguments: Any) -> None:
    """Call ``hook``; its error is logged to the run and swallowed, as a hook must not decide how a
    run ends."""
    if hook is None:
        return
    try:
        call(hook, *arguments)
    except Exception:
        scope = current.get()
        said = f"The hook `{getattr(hook, '__name__', hook)}` failed:\n{traceback.format_exc()}"
        if scope is not None:
            scope.run.log("log", said, scope.step_name, "ERROR")
        if scope is None or scope.run.echo:
            reset = current.set(None)  # shown, but not kept a second time
            log.error("%s", said)
            current.reset(reset)


def init(pipeline: Pipeline) -> Any:
    """Run ``on_init`` and return the state it makes; None where there is no such hook."""
    options = pipeline.options
    if options.on_init is None:
        return None
    state = options.on_init(**(options.on_init_kwargs or {}))
    if inspect.isawaitable(state):
        from warmcell.runner.loop import run_coroutine

        return run_coroutine(_await(state))
    return state


def cleanup(pipeline: Pipeline, state: Any) -> None:
    """Run ``on_cleanup``, with the state if it takes an argument."""
    guarded(pipeline.options.on_cleanup, state)


async def _await(awaitable: Any) -> Any:
    return await awaitable


def _takes(hook: Callable[..., Any], given: int) -> int:
    """How many positional arguments ``hook`` takes, at most ``given``."""
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return given
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return given
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return min(given, sum(parameter.kind in positional for parameter in parameters))
