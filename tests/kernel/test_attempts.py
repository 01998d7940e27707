"""One step of a run: retries, timeouts, hooks."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.kernel.executing import run, statuses, text, value
from warmcell.context import get_step_context
from warmcell.options import Retry
from warmcell.pipelines import pipeline
from warmcell.steps import step


class Flaky(Exception):
    """What a flaky service raises."""


def flaky(times: int, error: type[BaseException] = Flaky) -> Any:
    """A function that raises that many times, then returns how often it was called."""
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error(f"attempt {len(calls)}")
        return len(calls)

    return call


def test_a_step_is_tried_again() -> None:
    """As often as its retry says; attempts are recorded, and what went wrong is in the log."""

    @pipeline
    def retried():
        return again()

    again = step(retry=2)(flaky(2))
    outcome = run(retried)
    assert outcome.value == 3
    assert [s.attempts for s in outcome.detail.steps] == [3]
    assert "attempt 1 raised Flaky: attempt 1. Retry 1 of 2 in 0 s." in text(outcome, "log")


def test_the_last_attempt_counts() -> None:
    """One attempt too few, and the run fails with the last error."""

    @pipeline
    def retried():
        return again()

    again = step(retry=2)(flaky(3))
    outcome = run(retried)
    assert (outcome.status, str(outcome.exception)) == ("failed", "attempt 3")
    assert [s.attempts for s in outcome.detail.steps] == [3]


def test_only_listed_errors_are_tried_again() -> None:
    """An error that no retry can mend ends the step at once."""

    @pipeline
    def retried():
        return again()

    again = step(retry=Retry(5, on=(ConnectionError, TimeoutError)))(flaky(1, KeyError))
    assert [s.attempts for s in run(retried).detail.steps] == [1]
    again = step(retry=Retry(5, on=ConnectionError))(flaky(1, ConnectionResetError))
    assert [s.attempts for s in run(retried).detail.steps] == [2]


def test_waits_grow_by_the_backoff() -> None:
    """And a backoff of zero, ZenML's default, does not lose the delay."""
    assert [Retry(4, delay=0.5, backoff=3).wait(n) for n in (1, 2, 3)] == [0.5, 1.5, 4.5]
    assert [Retry(4, delay=0.5, backoff=0).wait(n) for n in (1, 2, 3)] == [0.5, 0.5, 0.5]


def test_a_pipeline_gives_a_retry_to_steps_without_one() -> None:
    """A step's own retry wins."""

    @pipeline(retry=1)
    def retried():
        return again()

    again = step(flaky(1))
    assert value(retried) == 2
    again = step(retry=0)(flaky(1))
    assert run(retried).status == "failed"


def test_an_async_step_is_tried_again_too() -> None:
    """With the same rules."""
    fail_once = flaky(1)

    @step(retry=Retry(1, delay=0.001))
    async def again() -> int:
        await asyncio.sleep(0)
        return fail_once()

    @pipeline
    def retried():
        return again()

    outcome = run(retried)
    assert outcome.value == 2
    assert [s.attempts for s in outcome.detail.steps] == [2]


# -- timeouts --------------------------------------------------------------------------------


def test_a_step_past_its_timeout_is_stopped() -> None:
    """Python code of it is interrupted, and the run is timed out."""
    stopped = threading.Event()

    @step(timeout=0.05)
    def slow() -> None:
        try:
            while True:
                pass
        finally:
            stopped.set()

    @pipeline
    def waits():
        return slow()

    outcome = run(waits)
    assert outcome.status == "timed_out"
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.step) == ("RunTimedOut", "slow")
    assert "took longer than its timeout of 0.05 s" in outcome.error.message
    assert statuses(outcome) == {"slow": "timed_out"}
    assert stopped.wait(10)


def test_a_step_stuck_in_c_code_does_not_hold_the_run() -> None:
    """Its caller goes on; the thread is left to itself."""
    release = threading.Event()

    @step(timeout=0.05)
    def stuck() -> None:
        release.wait(30)  # one long call into C: no exception reaches it

    @pipeline
    def waits():
        return stuck()

    try:
        assert run(waits).status == "timed_out"
    finally:
        release.set()


def test_the_timeout_holds_for_each_attempt() -> None:
    """A timeout is an error that can be retried."""
    attempts: list[int] = []

    @step(timeout=0.05, retry=Retry(1, on=TimeoutError))
    def slow_once() -> int:
        attempts.append(1)
        while len(attempts) == 1:
            pass
        return len(attempts)

    @pipeline
    def waits():
        return slow_once()

    assert value(waits) == 2


def test_a_step_within_its_timeout_is_as_without() -> None:
    """Value, error and context are those of the step."""

    @step(timeout=30)
    def quick(x: int) -> Any:
        if x < 0:
            raise ValueError(x)
        return get_step_context().step_name, x

    @pipeline
    def waits(x):
        return quick(x)

    assert value(waits, x=1) == ("quick", 1)
    with pytest.raises(ValueError, match="-1"):
        value(waits, x=-1)


def test_an_async_step_past_its_timeout_is_cancelled() -> None:
    """At its await; an own TimeoutError is an error like any other."""

    @step(timeout=0.05)
    async def slow() -> None:
        await asyncio.Event().wait()

    @step(timeout=30)
    async def raises() -> None:
        raise TimeoutError("own")

    @pipeline
    def waits(own):
        return raises() if own else slow()

    assert run(waits, own=False).status == "timed_out"
    outcome = run(waits, own=True)
    assert (outcome.status, str(outcome.exception)) == ("failed", "own")


# -- hooks -----------------------------------------------------------------------------------


def test_hooks_of_a_step_are_called_once() -> None:
    """Around all attempts, inside the step's context; with the last error."""
    seen: list[Any] = []

    def on_failure(error: BaseException) -> None:
        seen.append(("failure", str(error), get_step_context().step_name))

    options: dict[str, Any] = {
        "on_start": lambda: seen.append("start"),
        "on_end": lambda error: seen.append(("end", error and str(error))),
        "on_success": lambda: seen.append("success"),
        "on_failure": on_failure,
    }

    @pipeline
    def hooked():
        return again()

    again = step(retry=1, name="again", **options)(flaky(1))
    value(hooked)
    assert seen == ["start", "success", ("end", None)]
    seen.clear()
    again = step(retry=1, name="again", **options)(flaky(2))
    run(hooked)
    assert seen == ["start", ("failure", "attempt 2", "again"), ("end", "attempt 2")]


@pytest.mark.parametrize("parallel", [False, True])
def test_hooks_of_a_pipeline_are_called_once_per_run(parallel: bool) -> None:
    """Whatever the kind of its graph."""
    seen: list[Any] = []

    @step
    def work(x: int) -> int:
        if x < 0:
            raise ValueError("negative")
        return x

    @step
    def both(*xs: int) -> int:
        return sum(xs)

    @pipeline(
        on_start=lambda: seen.append("start"),
        on_end=lambda error: seen.append(("end", error and str(error))),
        on_success=lambda: seen.append("success"),
        on_failure=lambda error: seen.append(("failure", str(error))),
    )
    def hooked(x):
        if parallel:
            return both(work(x), work(1))
        return both(work(work(x)))

    value(hooked, x=1)
    assert seen == ["start", "success", ("end", None)]
    seen.clear()
    run(hooked, x=-1)
    assert seen == ["start", ("failure", "negative"), ("end", "negative")]


def test_an_error_of_a_hook_is_logged_and_swallowed() -> None:
    """A hook does not decide how a run ends; its traceback is in the log of the run."""
    from warmcell import output

    def broken() -> None:
        raise RuntimeError("hook")

    @step(on_start=broken)
    def work() -> int:
        return 1

    @pipeline(on_success=broken)
    def hooked():
        return work()

    output.install()
    try:
        outcome = run(hooked)
    finally:
        output.uninstall()
    assert outcome.value == 1
    assert text(outcome, "log").count("RuntimeError: hook") == 2


def test_an_async_hook_is_awaited() -> None:
    """On the event loop."""
    seen: list[str] = []

    async def hook() -> None:
        await asyncio.sleep(0)
        seen.append("hook")

    @step(on_success=hook)
    async def work() -> int:
        return 1

    @step(on_success=hook)
    def plain(x: int) -> int:
        return x

    @pipeline
    def hooked():
        return plain(work())

    assert value(hooked) == 1
    assert seen == ["hook", "hook"]


def test_a_state_is_made_and_cleaned_up_around_a_run() -> None:
    """Steps see what on_init returned; a state that is given is used as it is."""
    seen: list[Any] = []

    def on_init(size: int) -> dict[str, int]:
        return {"size": size}

    @step
    def work() -> Any:
        return get_step_context().pipeline_state

    @pipeline(on_init=on_init, on_init_kwargs={"size": 3}, on_cleanup=seen.append)
    def stateful():
        return work()

    assert value(stateful) == {"size": 3}
    assert seen == [{"size": 3}]

    from warmcell.ids import new_id
    from warmcell.runner import execute

    outcome = execute(stateful, {}, run_id=new_id(), state="given")
    assert outcome.value == "given"
    assert seen == [{"size": 3}]


def test_an_error_of_on_init_fails_the_run() -> None:
    """Nothing runs without the state it needs."""

    def on_init() -> None:
        raise OSError("no model")

    @step
    def work() -> int:
        return 1

    @pipeline(on_init=on_init)
    def stateful():
        return work()

    outcome = run(stateful)
    assert (outcome.status, str(outcome.exception)) == ("failed", "no model")
