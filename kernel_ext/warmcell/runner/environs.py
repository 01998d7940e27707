"""Environment variables of steps: what ``environment`` and ``secrets`` of a step or its pipeline
say is set while the step runs, and as it was before afterwards.

The environment belongs to the process. Steps that run beside each other share what is the same for
both; one that needs another value of a variable waits until those that have it are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

from warmcell.errors import StepCancelled, UsageError
from warmcell.secrets import variables_of

if TYPE_CHECKING:
    from warmcell.runner.cancellation import CancelToken
    from warmcell.runner.execution import Execution
    from warmcell.steps import Step

__all__ = ["during", "during_async", "wanted"]


class _Held:
    __slots__ = ("before", "count", "value")

    def __init__(self, value: str, before: str | None) -> None:
        self.value = value
        self.before = before
        self.count = 1


_held: dict[str, _Held] = {}
_news = threading.Condition()
_mine: ContextVar[frozenset[str]] = ContextVar("warmcell_environment", default=frozenset())


def wanted(run: Execution, step: Step) -> dict[str, str]:
    """The variables of a step: its own win over those of its pipeline, secrets over what is
    written. Raises :class:`~warmcell.errors.NotFound` for a secret that there is not."""
    found: dict[str, str] = {}
    owners = (run.pipeline.options, step.options)
    for options in owners:
        found.update(options.environment or {})
    for options in owners:
        for name in options.secrets:
            found.update(variables_of(name))
    return found


@contextlib.contextmanager
def during(values: Mapping[str, str], token: CancelToken) -> Iterator[None]:
    """Have ``values`` in the environment. Waits for steps that have others of the same name; raises
    :class:`StepCancelled` where ``token`` ends that, and :class:`UsageError` inside of a step that
    would wait for itself."""
    _enter(values, token)
    reset = _mine.set(_mine.get() | values.keys())
    try:
        yield
    finally:
        _mine.reset(reset)
        _leave(values)


@contextlib.asynccontextmanager
async def during_async(values: Mapping[str, str], token: CancelToken) -> AsyncIterator[None]:
    """:func:`during` for an event loop."""
    entering = asyncio.ensure_future(asyncio.to_thread(_enter, values, token))
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:  # the thread goes on, and may come in yet
        entering.add_done_callback(lambda done: None if done.exception() else _leave(values))
        raise
    reset = _mine.set(_mine.get() | values.keys())
    try:
        yield
    finally:
        _mine.reset(reset)
        _leave(values)


def _enter(values: Mapping[str, str], token: CancelToken) -> None:
    token.on_cancel(_wake)
    try:
        with _news:
            while others := [name for name in values if _other(name, values[name])]:
                if own := _mine.get().intersection(others):
                    raise UsageError(
                        f"A step inside of another one has other values of {_said(own)}.",
                        hint="The environment is one for both: pass the value, or read it with "
                        "get_secret.",
                    )
                if token.reason is not None:
                    raise StepCancelled(token.reason)
                _news.wait()
            for name, value in values.items():
                if (held := _held.get(name)) is not None:
                    held.count += 1
                else:
                    _held[name] = _Held(value, os.environ.get(name))
                    os.environ[name] = value
    finally:
        token.forget(_wake)


def _leave(values: Mapping[str, str]) -> None:
    with _news:
        for name in values:
            held = _held[name]
            held.count -= 1
            if held.count:
                continue
            del _held[name]
            if held.before is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = held.before
        _news.notify_all()


def _other(name: str, value: str) -> bool:
    held = _held.get(name)
    return held is not None and held.value != value


def _wake() -> None:
    with _news:
        _news.notify_all()


def _said(names: frozenset[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
