"""Code of the author that belongs to a request and to no step: endpoints and middleware.

What it prints and logs goes to the process's own standard error, which is the server's log, and
never to a cell.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from warmcell.context import current
from warmcell.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    ParameterError,
    QueueFull,
    StepCancelled,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    WarmcellError,
)
from warmcell.output import flush
from warmcell.runner.cancellation import CancelToken, Entry
from warmcell.runner.execution import Execution

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline
    from warmcell.steps import Step

__all__ = ["REFUSALS", "Aside", "perform"]

REFUSALS: tuple[type[WarmcellError], ...] = (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    ParameterError,
    QueueFull,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
"""Errors with which such code may refuse a request, each with its status; others are failures."""


_HERE = str(Path(__file__).parent) + os.sep


class _Execution(Execution):
    """Nothing of it is kept."""

    __slots__ = ("what",)

    def __init__(self, pipeline: Pipeline, what: str, token: CancelToken, state: Any) -> None:
        super().__init__(pipeline, {}, run_id="", token=token, state=state, keep=False)
        self.what = what

    def log(
        self, stream: str, text: str, step: str | None = None, level: str | None = None
    ) -> None:
        """Write to the process's own standard error."""
        tell(self.what, text)


class Aside:
    """The scope of such code; ``what`` names it in the log. Steps called in it are plain
    functions, and a pipeline called in it is a run of its own."""

    def __init__(self, pipeline: Pipeline, what: str, token: CancelToken, state: Any) -> None:
        self.run: Execution = _Execution(pipeline, what, token, state)
        self.pending: dict[str, str] | None = None

    @property
    def step_name(self) -> str | None:
        """None: no step runs here."""
        return None

    def call(
        self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> Any:
        """A step was called here."""
        return step.function(*args, **kwargs)


def perform(scope: Aside, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``function`` in ``scope`` and return what it returns; an ``async`` one is awaited on
    the kernel's loop. Raises what it raises, and :class:`StepCancelled` once its token is."""
    token = scope.run.token
    entry: Entry | None = None
    reset = current.set(scope)
    try:
        entry = token.enter()
        try:
            value = function(*args, **kwargs)
        finally:
            token.leave(entry)
        return _awaited(token, value) if inspect.isawaitable(value) else value
    except BaseException:
        if entry is not None:
            token.leave(entry)
        raise
    finally:
        flush(scope)
        current.reset(reset)


def _awaited(token: CancelToken, value: Any) -> Any:
    from warmcell.runner.loop import loop

    async def whole() -> Any:
        return await value

    future = loop().start(whole())
    token.on_cancel(future.cancel)
    try:
        return future.result()
    finally:
        token.forget(future.cancel)


def tell(what: str, text: str) -> None:
    """Write to the process's own standard error."""
    if sys.__stderr__ is not None:
        sys.__stderr__.write(f"[{what}] {text.rstrip()}\n")
        sys.__stderr__.flush()


def tell_error(what: str, error: BaseException) -> None:
    """Write the traceback of ``error``, from the author's own lines on."""
    if not isinstance(error, StepCancelled):
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
            trace = trace.tb_next
        trace = trace or error.__traceback__
        tell(what, "".join(traceback.format_exception(type(error), error, trace)))
