"""Ending a run from outside: user code is interrupted, ours never."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.kernel.executing import run, statuses
from warmcell.context import get_step_context
from warmcell.errors import StepCancelled
from warmcell.ids import new_id
from warmcell.options import Retry
from warmcell.pipelines import Pipeline, pipeline
from warmcell.runner import Outcome, execute
from warmcell.runner.cancellation import CancelToken
from warmcell.steps import step


class Running:
    """A run on a thread of its own, with its token."""

    def __init__(self, pipeline: Pipeline, **arguments: Any) -> None:
        self.token = CancelToken()
        self.outcome: Outcome | None = None

        def work() -> None:
            self.outcome = execute(pipeline, arguments, run_id=new_id(), cancel=self.token)

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def ended(self) -> Outcome:
        self.thread.join(20)
        assert self.outcome is not None
        return self.outcome


@pytest.mark.parametrize("reason", ["cancelled", "timed_out"])
@pytest.mark.parametrize("parallel", [False, True])
def test_python_code_of_steps_is_interrupted(reason: str, parallel: bool) -> None:
    """On whatever thread it runs; the rest of the run is skipped."""
    started = threading.Barrier(3 if parallel else 2, timeout=10)

    @step
    def endless(x: int) -> int:
        started.wait()
        while True:
            x += 1

    @step
    def both(*xs: int) -> int:
        return sum(xs)

    @pipeline
    def branches(x):
        return both(endless(x), endless(x))

    @pipeline
    def chain(x):
        return both(endless(x))

    running = Running(branches if parallel else chain, x=1)
    started.wait()
    assert running.token.cancel(reason)
    assert not running.token.cancel("cancelled")
    outcome = running.ended()
    assert outcome.status == reason
    assert set(statuses(outcome).values()) == {reason, "skipped"}
    assert outcome.error is not None
    assert outcome.error.type == {"cancelled": "RunCancelled", "timed_out": "RunTimedOut"}[reason]
    assert outcome.error.step in ("endless", "endless_2")


def test_a_step_can_look_and_end_by_itself() -> None:
    """``cancelled`` is true or false, and callable."""
    started = threading.Event()
    seen: list[bool] = []

    @step
    def polite() -> str:
        context = get_step_context()
        seen.append(bool(context.cancelled) or context.cancelled())
        started.set()
        try:
            while True:
                pass
        except StepCancelled:
            seen.append(bool(context.cancelled) and context.cancelled())
            raise

    @pipeline
    def waits():
        return polite()

    running = Running(waits)
    assert started.wait(10)
    running.token.cancel()
    assert running.ended().status == "cancelled"
    assert seen == [False, True]


def test_a_step_that_swallows_it_does_not_start_the_next_one() -> None:
    """The flag stays: the run is cancelled at the next step."""
    started = threading.Event()

    @step
    def stubborn() -> int:
        started.set()
        try:
            while True:
                pass
        except BaseException:
            return 1

    @step
    def after(x: int) -> int:
        return x

    @pipeline
    def waits():
        return after(stubborn())

    running = Running(waits)
    assert started.wait(10)
    running.token.cancel()
    outcome = running.ended()
    assert outcome.status == "cancelled"
    assert statuses(outcome) == {"stubborn": "succeeded", "after": "cancelled"}


def test_waiting_for_a_retry_ends_at_once() -> None:
    """A long backoff does not hold a cancelled run."""
    tried = threading.Event()

    @step(retry=Retry(3, delay=1000))
    def failing() -> None:
        tried.set()
        raise ValueError

    @pipeline
    def waits():
        return failing()

    running = Running(waits)
    assert tried.wait(10)
    running.token.cancel()
    assert running.ended().status == "cancelled"


def test_a_step_with_a_timeout_is_cancelled_too() -> None:
    """Although it runs on another thread than its caller."""
    started, stopped = threading.Event(), threading.Event()

    @step(timeout=1000)
    def endless() -> None:
        started.set()
        try:
            while True:
                pass
        finally:
            stopped.set()

    @pipeline
    def waits():
        return endless()

    running = Running(waits)
    assert started.wait(10)
    running.token.cancel()
    assert running.ended().status == "cancelled"
    assert stopped.wait(10)


def test_an_inner_run_is_cancelled_with_the_outer_one() -> None:
    """A run that a step starts belongs to it."""
    started = threading.Event()
    inner_outcomes: list[Outcome] = []

    @step
    def endless() -> None:
        started.set()
        while True:
            pass

    @pipeline
    def inner():
        return endless()

    @step
    def calls_inner() -> None:
        inner_outcomes.append(run(inner))

    @pipeline
    def outer():
        return calls_inner()

    running = Running(outer)
    assert started.wait(10)
    running.token.cancel()
    assert running.ended().status == "cancelled"


def test_a_cancelled_run_does_not_start() -> None:
    """As a queued one that was cancelled."""
    token = CancelToken()
    token.cancel()

    @step
    def work() -> None:
        raise AssertionError("ran")

    @pipeline
    def never():
        return work()

    outcome = execute(never, {}, run_id=new_id(), cancel=token)
    assert outcome.status == "cancelled"


def test_a_deadline_ends_the_run() -> None:
    """In seconds from its start."""

    @step
    def endless() -> None:
        while True:
            pass

    @pipeline
    def waits():
        return endless()

    outcome = execute(waits, {}, run_id=new_id(), deadline=0.05)
    assert outcome.status == "timed_out"
    assert statuses(outcome) == {"endless": "timed_out"}


def test_an_exception_that_comes_too_late_is_withdrawn() -> None:
    """Thousands of cancels against short stretches of user code: none escapes into ours."""
    escaped: list[BaseException] = []
    total = 3000

    def work(token: CancelToken, begun: threading.Event) -> None:
        begun.set()
        entry = None
        try:
            entry = token.enter()
            try:
                sum(range(20))
            finally:
                token.leave(entry)
        except StepCancelled:
            if entry is not None:
                token.leave(entry)
        try:
            sum(range(2000))  # ours: nothing may arrive here
        except BaseException as error:
            escaped.append(error)

    for _ in range(total // 10):
        threads = []
        for _ in range(10):
            token, begun = CancelToken(), threading.Event()
            thread = threading.Thread(target=work, args=(token, begun))
            thread.start()
            begun.wait(5)
            token.cancel()
            threads.append(thread)
        for thread in threads:
            thread.join(10)
    assert escaped == []


TRACED = """
import sys, threading
from warmcell.errors import StepCancelled
from warmcell.runner.cancellation import CancelToken

token, begun, cancelled = CancelToken(), threading.Event(), threading.Event()

def work():
    entry = token.enter()
    try:
        begun.set()
        cancelled.wait()
        sum(range(20))
    except StepCancelled:
        token.leave(entry)

thread = threading.Thread(target=work)
thread.start()
begun.wait()
token.cancel()
cancelled.set()
thread.join()
sys.settrace(lambda *_: None)
(lambda: print("traced"))()
"""


def test_a_debugger_still_works_after_a_cancel() -> None:
    """What is traced runs on: nothing is left for CPython to look for."""
    try:
        # A process of its own, as nothing ends a thread that does not get to its first line.
        ended = subprocess.run(
            [sys.executable, "-c", TRACED], capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        pytest.fail("a traced function never began")
    assert ended.stdout == "traced\n"
    assert ended.stderr == ""


def test_callbacks_are_called_once_and_can_be_forgotten() -> None:
    """Registered before or after."""
    token = CancelToken()
    seen: list[str] = []
    forgotten = lambda: seen.append("forgotten")  # noqa: E731
    token.on_cancel(lambda: seen.append("before"))
    token.on_cancel(forgotten)
    token.forget(forgotten)
    token.cancel()
    token.cancel()
    token.on_cancel(lambda: seen.append("after"))
    assert seen == ["before", "after"]
    assert token.wait(100)
