"""The kernel's event loop for ``async`` steps, on a thread of its own, made on first use."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from warmcell.errors import StepCancelled

__all__ = ["EventLoop", "loop", "run_coroutine"]

_T = TypeVar("_T")


class Awaited(Future[_T]):
    """What a coroutine on the loop gives. :meth:`cancel` asks it to stop: the future is done, with
    :class:`StepCancelled`, once it has."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._task: asyncio.Task[_T] | None = None
        self._stopped = False

    def cancel(self) -> bool:
        """Ask the coroutine to stop; False if it has ended."""
        if self.done():
            return False
        self._stopped = True
        self._loop.call_soon_threadsafe(self._stop)
        return True

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def begin(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        """Start ``coroutine``; called on the loop, in the context that it shall have."""
        self._task = self._loop.create_task(coroutine, context=contextvars.copy_context())
        self._task.add_done_callback(self._ended)
        if self._stopped:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[_T]) -> None:
        if task.cancelled():
            self.set_exception(StepCancelled("cancelled"))
        elif (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())


class EventLoop:
    """An asyncio loop on its own thread, for all ``async`` steps of the kernel."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.thread = threading.Thread(
            target=self._loop.run_forever, name="warmcell-async", daemon=True
        )
        contextvars.Context().run(self.thread.start)

    def start(
        self, coroutine: Coroutine[Any, Any, _T], context: contextvars.Context | None = None
    ) -> Awaited[_T]:
        """Start ``coroutine`` in ``context``, by default a copy of the caller's."""
        result: Awaited[_T] = Awaited(self._loop)
        context = context or contextvars.copy_context()
        self._loop.call_soon_threadsafe(result.begin, coroutine, context=context)
        return result


_loop: EventLoop | None = None
_pid = 0
_lock = threading.Lock()


def loop() -> EventLoop:
    """The event loop of this process; a forked child gets its own."""
    global _loop, _pid
    if _loop is None or _pid != os.getpid():
        with _lock:
            if _loop is None or _pid != os.getpid():
                _loop, _pid = EventLoop(), os.getpid()
    return _loop


def run_coroutine(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run ``coroutine`` on the loop and wait for it; an interrupt cancels it."""
    future = loop().start(coroutine)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise
