"""What ``step.submit()`` and ``step.map()`` return inside the body of a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from warmcell.errors import RunTimedOut

if TYPE_CHECKING:
    from warmcell.runner.scheduler import Scheduler, Task


class StepFuture:
    """A step that was started: the value comes later. Steps take it as an argument as it is."""

    __slots__ = ("_keep", "_scheduler", "task")

    def __init__(self, scheduler: Scheduler, task: Task, keep: Callable[[Task], Any]) -> None:
        self._scheduler = scheduler
        self._keep = keep
        self.task = task

    def done(self) -> bool:
        """Whether the step has ended."""
        return self.task.done

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the step and return its value, or raise what it raised.

        ``timeout`` is in seconds; :class:`RunTimedOut` is raised when it has passed.
        """
        if not self._scheduler.until(self.task, timeout):
            raise RunTimedOut(
                f"Step `{self.task.node.name}` has not ended within {timeout:g} s.",
                step=self.task.node.name,
            )
        if self.task.error is not None:
            self.task.seen = True  # from here on it is the body's to handle
            raise self.task.error
        return self._keep(self.task)

    load = result

    def exception(self) -> BaseException | None:
        """Wait for the step and return what it raised, or None."""
        self._scheduler.until(self.task)
        self.task.seen = True
        return self.task.error

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.task.done:
            waiting = asyncio.get_running_loop()
            done = waiting.create_future()
            self._scheduler.when_done(self.task, lambda: waiting.call_soon_threadsafe(_set, done))
            yield from done
        return self.result()

    def __repr__(self) -> str:
        state = "done" if self.task.done else "running"
        return f"<{self.task.node.name}: {state}>"


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


class StepFutures(Sequence[StepFuture]):
    """The futures of a map, in order."""

    __slots__ = ("_futures",)

    def __init__(self, futures: Sequence[StepFuture]) -> None:
        self._futures = list(futures)

    def result(self) -> list[Any]:
        """Wait for all and return their values; raises what the first failed one raised."""
        return [future.result() for future in self._futures]

    load = result

    @overload
    def __getitem__(self, index: int) -> StepFuture: ...
    @overload
    def __getitem__(self, index: slice) -> StepFutures: ...
    def __getitem__(self, index: int | slice) -> StepFuture | StepFutures:
        if isinstance(index, slice):
            return StepFutures(self._futures[index])
        return self._futures[index]

    def __len__(self) -> int:
        return len(self._futures)

    def __iter__(self) -> Iterator[StepFuture]:
        return iter(self._futures)

    def __repr__(self) -> str:
        return repr(self._futures)
