"""Steps that yield: what a run gets of them, live and at its end."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Annotated, Any

import msgspec
import pytest

from tests.kernel.executing import run, statuses, value
from warmcell import Retry, get_step_context, pipeline, step, wire
from warmcell.errors import RunTimedOut
from warmcell.ids import new_id
from warmcell.runner import CancelToken, Execution, execute
from warmcell.runner.feed import PRESSURE, Feed
from warmcell.schemas import output_schema
from warmcell.serving import Serving

WAIT = 20.0


@step
def words(text: str) -> Iterator[str]:
    yield from text.split()


@step
async def awords(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word


@step
def joined(parts: list[str]) -> str:
    return "-".join(parts)


@pipeline
def split(text: str) -> str:
    return joined(words(text))


@pipeline
def asplit(text: str) -> str:
    return joined(awords(text))


@pytest.mark.parametrize("pipe", [split, asplit])
def test_the_value_is_the_list_of_what_was_yielded(pipe: Any) -> None:
    """The next step gets it like any other value."""
    assert value(pipe, text="a b c") == "a-b-c"


def test_what_a_generator_returns_is_its_value() -> None:
    """Unless that is None."""

    @step
    def tokens() -> Generator[str, None, dict[str, int]]:
        yield "a"
        yield "b"
        return {"tokens": 2}

    @pipeline
    def counted():
        return tokens()

    assert value(counted) == {"tokens": 2}
    (output,) = tokens.outputs
    assert output.annotation == dict[str, int]


def test_the_schema_says_a_list() -> None:
    """Of what the annotation says is yielded; a name in it holds."""

    @step
    def numbers() -> Annotated[Iterator[int], "numbers"]:
        yield 1

    @pipeline
    def counting():
        return numbers()

    schema = output_schema(counting.outputs)
    assert schema["properties"]["numbers"] == {"items": {"type": "integer"}, "type": "array"}


def test_outside_a_run_it_is_the_plain_generator() -> None:
    """As any step is its function there."""
    assert list(words("a b")) == ["a", "b"]


def test_it_can_be_mapped_and_fail_and_be_tried_again() -> None:
    """A new attempt begins a new generator."""
    attempts: list[int] = []

    @step(retry=Retry(1))
    def shaky() -> Iterator[int]:
        attempts.append(1)
        yield len(attempts)
        if len(attempts) < 2:
            raise OSError("again")

    @pipeline
    def trying():
        return shaky()

    assert value(trying) == [2]

    @pipeline
    def mapped(texts: list[str]):
        return [future.result() for future in words.map(texts)]

    assert value(mapped, texts=["a b", "c"]) == [["a", "b"], ["c"]]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_cancel_closes_the_generator(is_async: bool) -> None:
    """Also one that yields for ever."""
    closed = threading.Event()
    token = CancelToken()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
                token.cancel()
        finally:
            closed.set()

    async def aendless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                token.cancel()
        finally:
            closed.set()

    forever = step(aendless if is_async else endless, name="forever")  # type: ignore[call-overload]

    @pipeline
    def waiting():
        return forever()

    outcome = execute(waiting, {}, run_id=new_id(), cancel=token)
    assert outcome.status == "cancelled"
    assert closed.wait(WAIT)
    assert statuses(outcome) == {"forever": "cancelled"}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_timeout_ends_a_generator_that_never_ends(is_async: bool) -> None:
    """Between two values as well as inside one."""
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async def aendless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    function: Any = aendless if is_async else endless
    forever = step(name="forever", timeout=0.05)(function)

    @pipeline
    def waiting():
        return forever()

    outcome = run(waiting)
    assert outcome.status == "timed_out"
    assert isinstance(outcome.exception, RunTimedOut)
    assert closed.wait(WAIT)


# -- who follows a run -----------------------------------------------------------------------


class Host:
    """Receives events."""

    def __init__(self) -> None:
        self.events: list[wire.Event] = []
        self.news = threading.Condition()

    def __call__(self, event: Any) -> None:
        with self.news:
            self.events.append(event)
            self.news.notify_all()

    def wait(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.events) >= count, WAIT), self.events

    def told(self) -> list[tuple[Any, ...]]:
        """Kind and what matters of each event."""
        found: list[tuple[Any, ...]] = []
        for event in self.events:
            data = msgspec.json.decode(event.data)
            match event.kind:
                case "step":
                    found.append((data["step"], data["status"]))
                case "output":
                    found.append((data["step"], data["index"], data["value"]))
                case "log":
                    found.append((data["stream"], data["text"]))
                case "progress":
                    found.append((data["step"], data["done"], data["total"], data["message"]))
        return found


def followed(pipe: Any, host: Host, /, **arguments: Any) -> Any:
    """Execute with somebody following from the beginning on."""
    run = Execution(pipe, arguments, run_id=new_id(), token=CancelToken())
    feed = Feed.attach(run, host)
    outcome = execute(pipe, arguments, run_id=run.run_id, execution=run)
    feed.close()
    return outcome


@pytest.mark.parametrize("pipe", [split, asplit])
def test_who_follows_sees_steps_and_values_in_order(pipe: Any) -> None:
    """Each value is an event, before the step that yielded it ends; ids grow."""
    host = Host()
    assert followed(pipe, host, text="a b").value == "a-b"
    name = "words" if pipe is split else "awords"
    assert host.told() == [
        (name, "running"),
        (name, 0, "a"),
        (name, 1, "b"),
        (name, "succeeded"),
        ("joined", "running"),
        ("joined", "succeeded"),
    ]
    ids = [event.id for event in host.events]
    assert ids == sorted(set(ids))


def test_a_value_is_told_as_it_was_when_it_was_yielded() -> None:
    """And before the next one is made."""
    host = Host()

    @step
    def growing() -> Iterator[list[int]]:
        values: list[int] = []
        for number in range(2):
            values.append(number)
            yield values
            host.wait(2 + number)

    @pipeline
    def grown():
        return growing()

    followed(grown, host)
    assert [told[2] for told in host.told() if len(told) == 3] == [[0], [0, 1]]


def test_who_comes_late_is_told_what_was_before() -> None:
    """Steps, logs and yielded values; the run does not know yet that anybody will ask."""
    host = Host()
    here, go = threading.Event(), threading.Event()

    @step
    def chatty() -> Iterator[int]:
        get_step_context().report_progress(1, 2)
        yield 1
        yield 2
        here.set()
        assert go.wait(WAIT)
        get_step_context().report_progress(2, 2, "done")
        yield 3

    @pipeline
    def talking():
        return joined.with_options(name="after")([str(n) for n in chatty()])

    run = Execution(talking, {}, run_id=new_id(), token=CancelToken())
    run.log("stdout", "before\n", "chatty")
    thread = threading.Thread(
        target=execute, args=(talking, {}), kwargs={"run_id": run.run_id, "execution": run}
    )
    thread.start()
    assert here.wait(WAIT)
    Feed.attach(run, host)
    host.wait(4)
    assert sorted(host.told(), key=repr) == sorted(
        [("stdout", "before\n"), ("chatty", "running"), ("chatty", 0, 1), ("chatty", 1, 2)],
        key=repr,
    )
    go.set()
    thread.join(WAIT)
    assert run.feed is not None
    run.feed.close()
    assert ("chatty", 2, 3) in host.told()
    assert ("chatty", 2, 2, "done") in host.told()
    assert host.told()[-1] == ("after", "succeeded")


def test_a_chatty_step_does_not_flood() -> None:
    """Lines are joined and only the newest progress is told; no value is lost, and the step waits
    for whoever follows once many values wait."""
    host = Host()
    lines = 5_000

    @step
    def noisy() -> Iterator[int]:
        context = get_step_context()
        for number in range(lines):
            context.run.log("stdout", f"{number}\n", "noisy")
            context.report_progress(number, lines)
        for number in range(3 * PRESSURE):
            yield number
            assert len(context.run.yields) <= PRESSURE + 1

    @pipeline
    def loud():
        return noisy()

    followed(loud, host)
    logs = [msgspec.json.decode(e.data)["text"] for e in host.events if e.kind == "log"]
    assert "".join(logs) == "".join(f"{n}\n" for n in range(lines))
    assert len(logs) < lines / 10
    assert sum(event.kind == "progress" for event in host.events) < lines / 10
    values = [msgspec.json.decode(e.data)["value"] for e in host.events if e.kind == "output"]
    assert values == list(range(3 * PRESSURE))


def test_what_has_no_json_form_is_told_by_its_type() -> None:
    """Also half a character, a number of numpy's, and a value whose own code fails."""
    import numpy as np

    host = Host()

    class Odd:
        pass

    @step
    def odd() -> Any:
        context = get_step_context()
        context.report_progress(np.float32(0.5), np.int64(2), "\ud800")
        context.run.log("stdout", "\ud800\n", "odd")
        yield Odd()

    @pipeline
    def oddly():
        odd()

    assert followed(oddly, host).status == "succeeded"
    told = {event.kind: msgspec.json.decode(event.data) for event in host.events}
    assert told["output"]["value"]["$type"].endswith("Odd")
    assert (told["progress"]["done"], told["progress"]["total"]) == (0.5, 2)
    assert told["log"]["text"] == "?\n"


def test_a_failed_step_says_why() -> None:
    """Without its traceback, which is in the record."""
    host = Host()

    @step
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("no")

    @pipeline
    def breaking():
        return joined(broken())

    outcome = followed(breaking, host)
    assert outcome.status == "failed"
    ends = [msgspec.json.decode(e.data) for e in host.events if e.kind == "step"]
    assert [(end["step"], end["status"]) for end in ends] == [
        ("broken", "running"),
        ("broken", "failed"),
        ("joined", "skipped"),
    ]
    assert ends[1]["error"] == {"type": "ValueError", "message": "no", "hint": None}


def test_a_run_may_be_watched_before_it_begins() -> None:
    """Whoever asks for it can be quicker than the thread that runs it; one that is unknown, or has
    ended, is nothing to watch."""
    serving, host = Serving(), Host()
    run = Execution(split, {"text": "a"}, run_id=new_id(), token=CancelToken())
    serving.watch("unknown", host)
    serving.watch(run.run_id, host)
    serving.follow(run, host)
    execute(split, run.arguments, run_id=run.run_id, execution=run)
    serving.unfollow(run)
    assert host.told()[0] == ("words", "running")
    assert host.told()[-1] == ("joined", "succeeded")
    count = len(host.events)
    serving.watch(run.run_id, host)
    assert len(host.events) == count
