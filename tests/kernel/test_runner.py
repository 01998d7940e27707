"""Runs: what they record, branches beside each other, failures, modes, async."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any

import pytest

from tests.kernel.executing import inputs, run, statuses, value
from warmcell.errors import RunError
from warmcell.ids import new_id
from warmcell.pipelines import Pipeline, pipeline
from warmcell.runner import execute
from warmcell.runner.cancellation import CancelToken
from warmcell.steps import step


@step
def load(x: int) -> Annotated[int, "loaded"]:
    return x


@step
def score(x: int, factor: int = 2) -> float:
    return x * factor


@step
def fail(x: Any) -> Any:
    raise ValueError(f"no {x}")


@pipeline
def chain(x):
    return score(load(x), factor=3)


# -- records ---------------------------------------------------------------------------------


def test_a_run_records_its_steps_and_artifacts() -> None:
    """Names, states, times in microseconds, lineage, and each output described."""
    outcome = run(chain, x=2)
    first, second = outcome.detail.steps
    assert (outcome.status, outcome.outputs) == ("succeeded", {"output": 6})
    assert (first.step, first.inputs, first.upstream) == ("load", {"x": "$x"}, ())
    assert second.inputs == {"x": "load.loaded", "factor": "="}
    assert second.upstream == ("load",)
    assert [step_.attempts for step_ in outcome.detail.steps] == [1, 1]
    times = [outcome.started_at, first.started_at, first.finished_at, second.started_at]
    assert times == sorted(t for t in times if t is not None)
    assert [(a.step, a.name, bytes(a.value or b"")) for a in outcome.detail.artifacts] == [
        ("load", "loaded", b"2"), ("score", "output", b"6"),
    ]  # fmt: skip


def test_without_keep_nothing_is_recorded() -> None:
    """A deployment that records nothing pays for nothing."""
    outcome = execute(chain, {"x": 2}, run_id=new_id(), keep=False)
    assert outcome.value == 6
    assert (outcome.detail.steps, outcome.detail.artifacts, outcome.detail.logs) == ([], [], [])


def test_an_error_names_step_and_own_lines() -> None:
    """The record carries the traceback without Warmcell's frames; later steps are skipped."""

    @pipeline
    def broken(x):
        return score(fail(load(x)))

    outcome = run(broken, x=2)
    assert outcome.status == "failed"
    assert isinstance(outcome.exception, ValueError)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "no 2")
    assert outcome.error.step == "fail"
    assert outcome.error.traceback is not None
    assert "raise ValueError" in outcome.error.traceback
    assert "warmcell/runner.py" not in outcome.error.traceback
    assert statuses(outcome) == {"load": "succeeded", "fail": "failed", "score": "skipped"}


def test_an_error_of_the_body_has_no_step() -> None:
    """What the body itself raises is the run's error, even after steps that went well."""

    @pipeline
    def broken(x):
        if score(x) > 1:
            raise KeyError("body")

    outcome = run(broken, x=2)
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.step) == ("KeyError", None)


def test_a_body_may_handle_the_error_of_a_step() -> None:
    """An eager body is plain Python: it catches, and the run succeeds."""

    @pipeline
    def careful(x):
        try:
            return fail(x)
        except ValueError:
            return score(x)

    outcome = run(careful, x=2)
    assert (outcome.status, outcome.value) == ("succeeded", 4)
    assert statuses(outcome) == {"fail": "failed", "score": "succeeded"}


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), StopIteration(1)])
def test_any_exception_of_a_step_fails_the_run(error: BaseException) -> None:
    """Also those that would end a thread or confuse a generator."""

    @step
    def leave() -> None:
        raise error

    @pipeline
    def broken():
        return leave()

    outcome = run(broken)
    assert outcome.status == "failed"
    assert outcome.exception is error


def test_a_value_that_cannot_be_looked_at_does_not_fail_the_run() -> None:
    """Describing an artifact is ours; a value with broken code of its own is the user's."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

        def __len__(self) -> int:
            raise RuntimeError("no len")

    @step
    def make() -> Any:
        return Broken()

    @pipeline
    def making():
        return make()

    assert run(making).status == "succeeded"


# -- branches --------------------------------------------------------------------------------


def test_independent_branches_run_at_the_same_time() -> None:
    """Two steps that wait for each other both end."""
    barrier = threading.Barrier(2, timeout=10)

    @step
    def meet(x: int) -> int:
        barrier.wait()
        return x

    @pipeline
    def branches(x):
        return score(meet(x), meet(2))

    assert value(branches, x=5) == 10


def test_a_fan_out_in_a_loop_runs_at_the_same_time() -> None:
    """Also where the graph is traced anew in each run."""
    barrier = threading.Barrier(8, timeout=10)

    @step
    def meet(x: int) -> int:
        barrier.wait()
        return x

    @step
    def add(xs: list[int]) -> int:
        return sum(xs)

    @pipeline
    def fan(n):
        return add([meet(i) for i in range(n)])

    assert value(fan, n=8) == 28


def test_submitted_steps_run_beside_the_body() -> None:
    """The body goes on while they run, and gets their values when it asks."""
    arrived, go_on = threading.Event(), threading.Event()

    @step
    def slow() -> int:
        arrived.set()
        assert go_on.wait(10)
        return 1

    @pipeline
    def eager():
        future = slow.submit()
        assert arrived.wait(10)
        was_done = future.done()
        go_on.set()
        return was_done, future.result()

    assert value(eager) == (False, 1)


def test_many_runs_at_once_keep_apart() -> None:
    """Each of many threads gets its own values and records."""
    results: list[tuple[int, Any]] = []

    def work(x: int) -> None:
        outcome = run(chain, x=x)
        results.append((x, (outcome.value, len(outcome.detail.steps))))

    threads = [threading.Thread(target=work, args=(x,)) for x in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(results) == [(x, (3 * x, 2)) for x in range(50)]


def test_more_nested_runs_than_threads_do_not_block() -> None:
    """A run never waits for a thread of the pool: its caller works too."""

    @step
    def inner(depth: int) -> int:
        return depth if depth == 0 else value(nest, depth=depth - 1)

    @step
    def other(depth: int) -> int:
        return depth

    @pipeline
    def nest(depth):
        return score(inner(depth), other(depth))

    assert value(nest, depth=60) == 0


# -- execution modes -------------------------------------------------------------------------


def _modes() -> tuple[Any, threading.Event, threading.Event]:
    running, failed = threading.Event(), threading.Event()

    @step
    def failing() -> None:
        assert running.wait(10)
        failed.set()
        raise ValueError("first")

    @step
    def other() -> int:
        running.set()
        assert failed.wait(10)
        for _ in range(10_000_000):  # ends early where the run is cancelled
            pass
        return 1

    @step
    def after_other(x: int) -> int:
        return x

    @step
    def after_failing(x: Any) -> Any:
        return x

    def body():
        return after_failing(failing()), after_other(other())

    return body, running, failed


def test_continue_on_failure_runs_what_does_not_depend() -> None:
    """The default: only what needs the failed step is skipped."""
    body, *_ = _modes()
    outcome = run(Pipeline(body))
    assert (outcome.status, str(outcome.exception)) == ("failed", "first")
    assert statuses(outcome) == {
        "failing": "failed", "other": "succeeded", "after_other": "succeeded",
        "after_failing": "skipped",
    }  # fmt: skip


def test_stop_on_failure_starts_nothing_more() -> None:
    """What runs ends; the rest is skipped."""
    body, *_ = _modes()
    outcome = run(Pipeline(body).with_options(execution_mode="stop_on_failure"))
    assert statuses(outcome) == {
        "failing": "failed", "other": "succeeded", "after_other": "skipped",
        "after_failing": "skipped",
    }  # fmt: skip


def test_fail_fast_stops_what_runs() -> None:
    """The run is failed by its first error; what ran is cancelled."""
    body, *_ = _modes()
    outcome = run(Pipeline(body).with_options(execution_mode="fail_fast"))
    assert (outcome.status, str(outcome.exception)) == ("failed", "first")
    assert statuses(outcome) == {
        "failing": "failed", "other": "cancelled", "after_other": "skipped",
        "after_failing": "skipped",
    }  # fmt: skip


# -- async -----------------------------------------------------------------------------------


def test_async_steps_of_a_plain_pipeline_run_at_the_same_time() -> None:
    """They share one event loop, and hold no thread while they wait."""
    waiting: list[int] = []
    everyone = asyncio.Event()

    @step
    async def meet(x: int, n: int) -> int:
        waiting.append(x)
        if len(waiting) == n:
            everyone.set()
        async with asyncio.timeout(10):
            await everyone.wait()
        return x

    @step
    def add(xs: list[int]) -> int:
        return sum(xs)

    @pipeline
    def fan(n):
        return add([meet(i, n) for i in range(n)])

    outcome = run(fan, n=100)
    assert outcome.value == 4950
    assert inputs(outcome)["meet"] == {"x": "=", "n": "$n"}


def test_an_async_step_in_an_eager_body_gives_its_value() -> None:
    """A plain body cannot await, so the call waits."""

    @step
    async def fetch(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @pipeline
    def eager(x):
        return fetch(x) + fetch(x)

    assert value(eager, x=1) == 4


def test_an_async_pipeline_awaits_its_steps() -> None:
    """Also beside each other, also steps that are plain functions."""
    here: list[int] = []
    everyone = asyncio.Event()

    @step
    async def meet(x: int) -> int:
        here.append(x)
        if len(here) == 2:
            everyone.set()
        async with asyncio.timeout(10):
            await everyone.wait()
        return x

    @pipeline
    async def both(x):
        first, second = await asyncio.gather(meet(x), meet(x + 20))
        return score(first, factor=second)

    outcome = run(both, x=5)
    assert outcome.value == 125
    assert inputs(outcome)["score"] == {"x": "meet.output", "factor": "meet_2.output"}


def test_an_async_pipeline_runs_where_a_loop_runs_already() -> None:
    """As in a notebook, where every cell runs inside one."""

    @step
    async def fetch(x: int) -> int:
        return x

    @pipeline
    async def waits(x):
        return await fetch(x)

    async def cell() -> Any:
        return value(waits, x=7)

    assert asyncio.run(cell()) == 7


def test_an_async_error_is_the_runs_error() -> None:
    """As for plain steps; an awaited one can be caught."""

    @step
    async def broken(x: int) -> int:
        raise ValueError(x)

    @pipeline
    def plain(x):
        return score(broken(x))

    @pipeline
    async def catching(x):
        try:
            await broken(x)
        except ValueError:
            return "caught"

    assert statuses(run(plain, x=1)) == {"broken": "failed", "score": "skipped"}
    assert value(catching, x=1) == "caught"


def test_cancelling_ends_an_async_step() -> None:
    """At its next await."""
    token = CancelToken()

    @step
    async def endless() -> None:
        asyncio.get_running_loop().call_soon(token.cancel)
        await asyncio.Event().wait()

    @pipeline
    def waits():
        return endless()

    outcome = execute(waits, {}, run_id=new_id(), cancel=token)
    assert outcome.status == "cancelled"
    assert statuses(outcome) == {"endless": "cancelled"}


# -- errors of a run -------------------------------------------------------------------------


def test_errors_can_be_raised_and_caught_as_the_step_raised_them() -> None:
    """The exception itself is in the outcome, not a copy."""
    outcome = run(Pipeline(lambda_body), x=1)
    with pytest.raises(ValueError, match="no 1"):
        raise outcome.exception or RunError("none")


def lambda_body(x):
    return fail(x)
