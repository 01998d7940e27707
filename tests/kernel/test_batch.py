"""Batch runs: what a recorder gets, what the caller gets, what is raised."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any

import msgspec
import pytest

from tests.kernel.executing import MemoryRecorder
from warmcell import log_metadata, output
from warmcell.batch import RunFailed, run
from warmcell.context import get_pipeline_context, get_step_context
from warmcell.errors import DefinitionError, RunCancelled, RunTimedOut, StoreFull, UsageError
from warmcell.pipelines import pipeline
from warmcell.records import RunDetail, RunRecord
from warmcell.steps import step


@pytest.fixture(autouse=True)
def _restore() -> Any:
    yield
    output.uninstall()


@step
def load(x: int) -> Annotated[int, "loaded"]:
    print("loading")
    return x


@step
def fail(x: int) -> int:
    raise ValueError(f"no {x}")


@pipeline
def chain(x):
    return load(load(x))


def test_a_run_is_recorded_from_start_to_end() -> None:
    """A running record first, then parts, and one record of the end."""
    recorder = MemoryRecorder()
    ended = run(chain, {"x": 3}, recorder=recorder, run_name="nightly")
    (started,), (finished,) = recorder.started, recorder.finished
    assert started.run_id == finished.run_id == ended.id
    assert (finished.status, finished.trigger, finished.run_name) == (
        "succeeded", "cell", "nightly",
    )  # fmt: skip
    assert finished.parameters is not None
    assert msgspec.json.decode(finished.parameters) == {"x": 3}
    assert finished.outputs is not None
    assert msgspec.json.decode(finished.outputs) == {"loaded": 3}
    steps = [s for d in recorder.details for s in d.steps if s.status == "succeeded"]
    assert [s.step for s in steps] == ["load", "load_2"]
    assert recorder.followed == {}


def test_parts_are_sent_while_the_run_goes_on() -> None:
    """Who looks from outside sees the step that runs, and what it printed."""
    seen = threading.Event()

    class Watching(MemoryRecorder):
        def detail(self, run_id: str, detail: RunDetail) -> None:
            super().detail(run_id, detail)
            if any(s.step == "waits" and s.status == "running" for s in detail.steps):
                seen.set()

    @step
    def waits(x: int) -> int:
        assert seen.wait(20)
        return x

    @pipeline
    def long(x):
        return waits(load(x))

    recorder = Watching()
    run(long, {"x": 1}, recorder=recorder)
    assert any(log.text == "loading\n" for d in recorder.details for log in d.logs)
    done = [s for d in recorder.details for s in d.steps if s.status == "succeeded"]
    assert [s.step for s in done] == ["load", "waits"]


def test_the_caller_gets_the_run_with_the_objects_themselves() -> None:
    """Outputs are what the steps returned, not copies."""
    made = object()

    @step
    def make() -> Any:
        return made

    @pipeline
    def making():
        return {"one": make(), "x": 2}

    ended = run(making, {}, recorder=MemoryRecorder())
    assert ended.outputs["one"] is made
    assert ended.output == {"one": made, "x": 2}
    assert (ended.status, ended.pipeline, ended.error) == ("succeeded", "making", None)
    assert ended.duration is not None
    assert ended.duration >= 0
    assert [s.name for s in ended.steps] == ["make"]


def test_a_failed_run_is_recorded_and_raised_with_its_cause() -> None:
    """The message says run, step and error; the cause is the step's own exception."""

    @pipeline
    def broken(x):
        return load(fail(x))

    recorder = MemoryRecorder()
    with pytest.raises(RunFailed, match=r"failed in step `fail`: ValueError: no 4") as caught:
        run(broken, {"x": 4}, recorder=recorder)
    assert isinstance(caught.value.__cause__, ValueError)
    assert (caught.value.run_id, caught.value.step) == (recorder.finished[0].run_id, "fail")
    assert recorder.finished[0].status == "failed"
    assert recorder.finished[0].error is not None
    assert recorder.finished[0].error.step == "fail"


def test_a_run_can_be_cancelled_from_outside() -> None:
    """By the token that the recorder was given."""
    recorder = MemoryRecorder()

    @step
    def endless() -> None:
        run_id = get_step_context().run_id
        threading.Thread(target=recorder.followed[run_id].token.cancel).start()
        while True:
            pass

    @pipeline
    def waits():
        return endless()

    with pytest.raises(RunCancelled, match="was cancelled in step `endless`"):
        run(waits, {}, recorder=recorder)
    assert recorder.finished[0].status == "cancelled"


def test_a_run_that_times_out_says_which_step() -> None:
    """As a TimeoutError."""

    @step(timeout=0.05)
    def slow() -> None:
        while True:
            pass

    @pipeline
    def waits():
        return slow()

    with pytest.raises(RunTimedOut, match=r"timed out in step `slow`.*timeout of 0.05 s"):
        run(waits, {}, recorder=MemoryRecorder())


def test_an_interrupt_is_recorded_and_raised_again() -> None:
    """So that the cells after it do not run."""

    @step
    def interrupted() -> None:
        raise KeyboardInterrupt

    @pipeline
    def stops():
        return load(interrupted())

    recorder = MemoryRecorder()
    with pytest.raises(KeyboardInterrupt, match="was cancelled"):
        run(stops, {}, recorder=recorder)
    assert recorder.finished[0].status == "cancelled"


def test_a_full_store_costs_the_record_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """What was computed is returned, and one line says that it is not kept."""

    class Full(MemoryRecorder):
        def finish(self, run: RunRecord, detail: RunDetail | None = None) -> None:
            raise StoreFull("The disk is full.")

    assert run(chain, {"x": 1}, recorder=Full()).output == 1
    assert "This run is not kept in the history: The disk is full." in caplog.text


def test_a_definition_error_makes_no_run() -> None:
    """What cannot run is not in the history."""

    @pipeline
    def broken(x):
        return lod(x)  # type: ignore[name-defined]  # noqa: F821

    recorder = MemoryRecorder()
    with pytest.raises(DefinitionError):
        run(broken, {"x": 1}, recorder=recorder)
    assert recorder.started == []


def test_awaiting_a_run_gives_the_run() -> None:
    """``await churn(x)`` works as ``churn(x)`` does."""

    async def cell() -> Any:
        ended = run(chain, {"x": 1}, recorder=MemoryRecorder())
        return await ended is ended

    assert asyncio.run(cell())


def test_context_and_metadata() -> None:
    """Steps and bodies know where they are; metadata is kept with them."""
    seen: list[Any] = []

    @step
    def knows(x: int) -> int:
        context = get_step_context()
        seen.append((context.pipeline_name, context.step_name, context.run_name, context.arguments))
        log_metadata({"rows": 3})
        return x

    @pipeline
    def talks(x):
        log_metadata({"kind": "nightly"})
        seen.append(get_pipeline_context().run_id)
        return knows(x)

    ended = run(talks, {"x": 1}, recorder=MemoryRecorder(), run_name="named")
    assert seen == [ended.id, ("talks", "knows", "named", {"x": 1})]
    assert ended.metadata == {"kind": "nightly", "knows.rows": 3}
    with pytest.raises(UsageError, match="only while a step of a run executes"):
        get_step_context()
    with pytest.raises(UsageError, match="only while a pipeline runs"):
        get_pipeline_context()
    with pytest.raises(UsageError, match="only while a pipeline runs"):
        log_metadata({})


def test_a_run_shows_itself_as_html_and_text() -> None:
    """Static, so that a saved notebook stays true."""
    ended = run(chain, {"x": 1}, recorder=MemoryRecorder())
    bundle = ended._repr_mimebundle_()
    assert ended.id in bundle["text/plain"]
    assert "succeeded" in bundle["text/html"]
