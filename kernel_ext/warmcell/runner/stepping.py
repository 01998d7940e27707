"""Executing a run one step after another, and stopping before those that are to wait.

The run has a thread of its own, as a served one has, so that any body can be held in the middle.
Whoever goes on with it waits in their own thread, and what the steps write is shown there.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.errors import StepCancelled
from warmcell.runner.cancellation import CancelToken
from warmcell.runner.executing import Outcome, execute
from warmcell.runner.execution import Execution

if TYPE_CHECKING:
    from warmcell.graph import Node
    from warmcell.pipelines import Pipeline
    from warmcell.records import ErrorInfo, StepStatus
    from warmcell.steps import Step

__all__ = ["Ended", "Held", "Stepping"]

STOP_SECONDS = 5.0  # for a run that was told to stop to do so


class Held(NamedTuple):
    """A step that is about to begin. ``arguments`` are its parameters and their values."""

    name: str
    step: Step
    arguments: dict[str, Any]


class Ended(NamedTuple):
    """A step that ended: ``status`` and how long it took, in seconds."""

    status: str
    seconds: float | None
    error: BaseException | None


class Stepping(Execution):
    """A run that nothing is kept of, executed step by step.

    It goes on by itself until ``stops`` says of a step's name that it is to wait; from there on
    each one waits for :meth:`go`. ``values`` and ``ended`` have what was executed, by name.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        arguments: Mapping[str, Any],
        *,
        stops: Callable[[str], bool],
        run_id: str,
        state: object,
        **known: Any,
    ) -> None:
        super().__init__(
            pipeline, arguments, run_id=run_id, token=CancelToken(), state=state, keep=False,
            **known,
        )  # fmt: skip
        self.gate = self._wait_for_turn
        self.values: dict[str, Any] = {}
        self.ended_steps: dict[str, Ended] = {}
        self.outcome: Outcome | None = None
        self._broken: BaseException | None = None
        self._stops = stops
        self._failures: dict[str, BaseException] = {}
        self._changed = threading.Condition()
        self._arrived: deque[tuple[Node, Any, dict[str, Any]]] = deque()
        self._now: Node | None = None  # the step that runs
        self._by_itself = True
        self._left: float = 0  # steps that may still begin
        self._written: deque[tuple[str, str]] = deque()
        self.token.on_cancel(self._wake)
        self._thread = threading.Thread(target=self._run, name="warmcell-replay", daemon=True)

    # -- from outside --

    def start(self) -> None:
        """Begin, and wait until the run is held or has ended."""
        self._thread.start()
        self._settle()

    def go(self, steps: float = 1) -> None:
        """Let so many steps begin, and wait until the run is held again or has ended. An interrupt
        cancels the run."""
        with self._changed:
            self._left = steps
            self._changed.notify_all()
        self._settle()

    def stop(self) -> None:
        """Cancel the run; harmless when it has ended."""
        self.token.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    @property
    def held(self) -> Held | None:
        """The step that is next; None once the run has ended."""
        if self.outcome is not None or not self._arrived:
            return None
        node, args, kwargs = self._arrived[0]
        bound = node.step.inputs.bind(*args, **kwargs)
        bound.apply_defaults()
        return Held(node.name, node.step, dict(bound.arguments))

    @property
    def alive(self) -> bool:
        """Whether the run can go on."""
        return self._thread.is_alive() and self.outcome is None

    @property
    def waiting(self) -> list[str]:
        """The steps that could begin now, the next one first."""
        return [] if self.outcome is not None else [node.name for node, *_ in self._arrived]

    def _settle(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._written or self._settled)
                    written, self._written = self._written, deque()
                    settled = self._settled
                for stream, text in written:
                    print(text, end="", file=sys.stdout if stream == "stdout" else sys.stderr)
                if self._broken is not None:
                    raise self._broken
                if settled and not self._written:
                    return
        except KeyboardInterrupt:
            self.stop()
            raise

    @property
    def _settled(self) -> bool:
        if self.outcome is not None or self._broken is not None:
            return True
        return bool(self._arrived) and not (self._now or self._by_itself or self._left)

    # -- on the threads of the run --

    def _run(self) -> None:
        try:
            self.outcome = execute(
                self.pipeline, self.arguments, run_id=self.run_id, state=self.state, execution=self
            )
        except BaseException as error:  # who waits for this thread must not wait for ever
            self._broken = error
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _wait_for_turn(self, node: Node, args: Any, kwargs: dict[str, Any]) -> None:
        arrival = (node, args, kwargs)
        with self._changed:
            self._arrived.append(arrival)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.token.reason or self._may_go(arrival))
            self._arrived.remove(arrival)
            if self.token.reason is not None:
                raise StepCancelled(self.token.reason)
            self._now = node

    def _may_go(self, arrival: tuple[Node, Any, dict[str, Any]]) -> bool:
        if self._now is not None or self._arrived[0] is not arrival:
            return False
        if self._by_itself and self._stops(arrival[0].name):
            self._by_itself = False
            self._changed.notify_all()
        if self._by_itself:
            return True
        if self._left:
            self._left -= 1
            return True
        return False

    def succeeded(self, node: Node, started: int, value: Any, attempts: int = 1) -> None:
        """A step ended well."""
        self.values[node.name] = value
        super().succeeded(node, started, value, attempts)

    def ended(self, node: Node, started: int, error: BaseException, attempts: int = 1) -> None:
        """A step ended otherwise."""
        self._failures[node.name] = error
        super().ended(node, started, error, attempts)

    def _record(
        self,
        node: Node,
        status: StepStatus,
        started: int | None,
        ended: int | None,
        attempts: int,
        error: ErrorInfo | None = None,
        cached: str | None = None,
    ) -> None:
        super()._record(node, status, started, ended, attempts, error, cached)
        known = started is not None and ended is not None
        seconds = (ended - started) / 1e6 if known else None  # type: ignore[operator]
        with self._changed:
            self.ended_steps[node.name] = Ended(status, seconds, self._failures.get(node.name))
            if self._now is node:
                self._now = None
            self._changed.notify_all()

    def log(
        self, stream: str, text: str, step: str | None = None, level: str | None = None
    ) -> None:
        """Hand what a step wrote to who waits for it."""
        with self._changed:
            self._written.append((stream, text))
            self._changed.notify_all()
