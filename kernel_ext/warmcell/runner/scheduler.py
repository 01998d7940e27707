"""Running the nodes of one run beside each other, each once what it takes is there.

The thread that waits for the run works on it too, and threads of the kernel's pool help as long as
something is ready: a run never waits for a thread. ``async`` steps hold no thread at all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from warmcell.errors import StepCancelled
from warmcell.runner.attempts import perform, start_async
from warmcell.runner.pool import pool

if TYPE_CHECKING:
    from concurrent.futures import Future

    from warmcell.graph import Node
    from warmcell.runner.execution import Execution

HELPERS = 24  # threads of the pool that one run may hold
STOP_SECONDS = 2.0  # for steps that were told to stop to do so


class Task:
    """A node and how far it is. ``value`` and ``error`` count once it is ``done``."""

    __slots__ = (
        "callbacks", "done", "error", "followers", "load", "node", "seen", "started", "value",
        "waits",
    )  # fmt: skip

    def __init__(self, node: Node, load: Callable[[], tuple[Any, dict[str, Any]]]) -> None:
        self.node = node
        self.load = load
        self.waits: set[Task] = set()
        self.followers: list[Task] = []
        self.callbacks: list[Callable[[], object]] = []
        self.started = False
        self.seen = False  # whether the body was given the error
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None


class Scheduler:
    """The tasks of one run. All methods may be called from any thread."""

    def __init__(self, run: Execution) -> None:
        self.run = run
        self.tasks: list[Task] = []
        self.mode = run.pipeline.options.execution_mode
        self._changed = threading.Condition()
        self._ready: deque[Task] = deque()
        self._open = 0
        self._helpers = 0
        self._stopped = False
        run.token.on_cancel(self.stop)

    def close(self) -> None:
        """Let go of the run's token."""
        self.run.token.forget(self.stop)

    def add(
        self,
        node: Node,
        load: Callable[[], tuple[Any, dict[str, Any]]],
        upstream: Sequence[Task] = (),
        *,
        help_now: bool = False,
    ) -> Task:
        """Add a node. ``load`` makes its arguments once ``upstream`` is done."""
        task = Task(node, load)
        with self._changed:
            self.tasks.append(task)
            self._open += 1
            for up in upstream:
                if not up.done:
                    task.waits.add(up)
                    up.followers.append(task)
            failed = any(up.done and up.error is not None for up in upstream)
            if failed or self._stopped:
                self._skip(task)
            elif not task.waits:
                self._ready.append(task)
        if help_now:
            if node.step.is_async and self._pick({task}) is task:
                self._work(task)  # returns at once
            else:
                self._help()
        return task

    def stop(self) -> None:
        """Start nothing more; what runs goes on."""
        with self._changed:
            self._stopped = True
            while self._ready:
                self._skip(self._ready.popleft())
            self._changed.notify_all()

    # -- working --

    def _help(self) -> None:
        """Ask for one more thread, if there is work for it."""
        with self._changed:
            if not self._ready or self._helpers >= HELPERS:
                return
            self._helpers += 1
        pool().run(self._helper)

    def _helper(self) -> None:
        try:
            while (task := self._pick()) is not None:
                self._work(task)
        finally:
            with self._changed:
                self._helpers -= 1

    def _pick(self, wanted: set[Task] | None = None) -> Task | None:
        """Take a task that is ready, out of ``wanted`` if given."""
        with self._changed:
            if wanted is None:
                task = self._ready.popleft() if self._ready else None
            else:
                task = next((ready for ready in self._ready if ready in wanted), None)
                if task is not None:
                    self._ready.remove(task)
            if task is not None:
                task.started = True
            more = bool(self._ready) and self._helpers < HELPERS
        if more and task is not None:
            self._help()
        return task

    def _work(self, task: Task) -> None:
        try:
            if self.run.reuse is not None:
                kept = self.run.reuse.step(task.node, partial(self._again, task))
                if kept is not None:
                    self._finish(task, kept, None)
                    return
            args, kwargs = task.load()
            if task.node.step.is_async:
                future = start_async(self.run, task.node, args, kwargs)
                future.add_done_callback(lambda future: self._arrived(task, future))
                return
            value = perform(self.run, task.node, args, kwargs)
        except BaseException as error:
            self._finish(task, None, error)
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            self._finish(task, value, None)

    def _again(self, task: Task) -> Any:
        args, kwargs = task.load()
        return perform(self.run, task.node, args, kwargs)

    def _arrived(self, task: Task, future: Future[Any]) -> None:
        if future.cancelled():
            self._finish(task, None, StepCancelled("cancelled"))
        elif (error := future.exception()) is not None:
            self._finish(task, None, error)
        else:
            self._finish(task, future.result(), None)
        self._help()

    def when_done(self, task: Task, callback: Callable[[], object]) -> None:
        """Call ``callback`` once ``task`` is done, on any thread."""
        with self._changed:
            if not task.done:
                task.callbacks.append(callback)
                return
        callback()

    def _finish(self, task: Task, value: Any, error: BaseException | None) -> None:
        with self._changed:
            if task.done:
                return
            self._end(task, value, error)
            stop = error is not None and not self._stopped and self.mode != "continue_on_failure"
            self._changed.notify_all()
        if stop:
            self.stop()
            if self.mode == "fail_fast":
                self.run.token.cancel("failed")

    def _end(self, task: Task, value: Any, error: BaseException | None) -> None:
        task.value, task.error, task.done = value, error, True
        self._open -= 1
        for callback in task.callbacks:
            callback()
        for follower in task.followers:
            if follower.done:
                continue
            follower.waits.discard(task)
            if error is not None or self._stopped:
                self._skip(follower)
            elif not follower.waits:
                self._ready.append(follower)

    def _skip(self, task: Task) -> None:
        if not task.done and not task.started:
            self.run.skipped(task.node)
            self._end(task, None, StepSkipped(task.node.name))

    # -- waiting --

    def drain(self) -> None:
        """Work until every task is done. An interrupt stops the run and is raised again."""
        try:
            while True:
                task = self._pick()
                if task is not None:
                    self._work(task)
                    continue
                with self._changed:
                    if not self._open:
                        return
                    if not self._ready:
                        self._changed.wait()
        except BaseException:
            self.abandon()
            raise

    def until(self, target: Task, timeout: float | None = None) -> bool:
        """Wait for one task, at most ``timeout`` seconds; returns whether it is done. Without a
        timeout this thread works on what the task needs."""
        if timeout is not None:
            with self._changed:
                return self._changed.wait_for(lambda: target.done, timeout)
        while not target.done:
            wanted = _needed(target)
            task = self._pick(wanted)
            if task is not None:
                self._work(task)
                continue
            with self._changed:
                self._changed.wait_for(lambda: target.done or not wanted.isdisjoint(self._ready))  # noqa: B023
        return True

    def abandon(self, reason: str = "cancelled") -> None:
        """Cancel the run and wait, for a bounded time, for what runs to stop."""
        self.run.token.cancel(reason)
        self.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, STOP_SECONDS)


class StepSkipped(StepCancelled):
    """A step was not run because one before it failed, or the run was stopped."""


def _needed(target: Task) -> set[Task]:
    """``target`` and all that it waits for."""
    needed = {target}
    left = [target]
    while left:
        for up in list(left.pop().waits):
            if up not in needed:
                needed.add(up)
                left.append(up)
    return needed
