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
    ) -> Future[_T]:
        """Start ``coroutine`` in ``context``; the future's ``cancel`` cancels it."""
        result: Future[_T] = Future()
        self._loop.call_soon_threadsafe(
            self._begin, coroutine, result, context=context or contextvars.copy_context()
        )
        return result

    def _begin(self, coroutine: Coroutine[Any, Any, _T], result: Future[_T]) -> None:
        task = self._loop.create_task(coroutine, context=contextvars.copy_context())

        def ended(task: asyncio.Task[_T]) -> None:
            if result.cancelled():
                if not task.cancelled():
                    task.exception()  # seen, so that asyncio does not report it
                return
            if task.cancelled():
                result.set_exception(StepCancelled("cancelled"))
            elif (error := task.exception()) is not None:
                result.set_exception(error)
            else:
                result.set_result(task.result())

        task.add_done_callback(ended)
        result.add_done_callback(
            lambda done: self._loop.call_soon_threadsafe(task.cancel) if done.cancelled() else None
        )


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
