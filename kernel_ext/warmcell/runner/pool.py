"""The kernel's worker threads, made on first use.

They are daemons (a step stuck in C code must not keep the kernel alive), bounded, and end
when they have been idle for a while.
"""

from __future__ import annotations

import contextvars
import logging
import os
import queue
import threading
from collections.abc import Callable

from warmcell.errors import StepCancelled
from warmcell.runner.loop import loop

__all__ = ["ThreadPool", "loop", "pool"]

THREADS = 32
IDLE_SECONDS = 30.0

log = logging.getLogger("warmcell.runner.pool")


class ThreadPool:
    """Runs functions on at most ``limit`` threads."""

    def __init__(self, limit: int = THREADS) -> None:
        self.limit = limit
        self._work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0  # threads that wait, less the work that waits for them
        self._threads = 0
        self._named = 0

    def run(self, work: Callable[[], object], *, at_once: bool = False) -> None:
        """Run ``work`` soon, in the context of this call. With ``at_once`` it starts even when all
        threads are taken, on one above the limit: for work that another thread waits for."""
        context = contextvars.copy_context()
        with self._lock:
            spawn = self._free <= 0 and (at_once or self._threads < self.limit)
            if spawn:
                self._threads += 1
                self._named += 1
                name = f"warmcell-{self._named}"
            else:
                self._free -= 1
        if spawn:
            thread = threading.Thread(
                target=self._serve, args=(lambda: context.run(work),), name=name, daemon=True
            )
            # Threads of ours belong to no run: without this they would keep the first one's.
            contextvars.Context().run(thread.start)
        else:
            self._work.put(lambda: context.run(work))

    def _serve(self, work: Callable[[], object] | None) -> None:
        while work is not None:
            try:
                work()
            except StepCancelled:
                log.debug("a cancel arrived after its step had ended")
            except Exception:
                log.exception("work on a thread of the pool failed")
            work = None
            work = self._next()

    def _next(self) -> Callable[[], object] | None:
        with self._lock:
            if self._threads > self.limit:
                self._threads -= 1
                return None
            self._free += 1
        try:
            return self._work.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            pass
        with self._lock:
            if self._free > 0:
                self._free -= 1
                self._threads -= 1
                return None
        return self._work.get()  # work was promised to this thread meanwhile


_pool: ThreadPool | None = None
_pid = 0
_lock = threading.Lock()


def pool() -> ThreadPool:
    """The worker threads of this process; a forked child gets its own."""
    global _pool, _pid
    if _pool is None or _pid != os.getpid():
        with _lock:
            if _pool is None or _pid != os.getpid():
                _pool, _pid = ThreadPool(), os.getpid()
    return _pool
