"""What is told of a run while it goes on, displayed or traced, without what is to be masked."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from warmcell import Pipeline, get_secret, get_step_context, output, pipeline, step, wire
from warmcell.displayed import masked
from warmcell.ids import new_id
from warmcell.redaction import MASK, NONE, Redaction
from warmcell.runner import CancelToken, execute
from warmcell.runner.execution import Execution
from warmcell.runner.feed import Feed
from warmcell.secrets import set_secret

VALUE = 'päss"word/<of> 43'


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "keys"))
    output.uninstall()
    set_secret("token", VALUE)
    yield
    output.uninstall()


@step
def words() -> Iterator[dict[str, Any]]:
    value = get_secret("token")
    get_step_context().report_progress(1, 2, f"with {value}")
    yield {"header": f"Bearer {value}", "rows": 3}
    yield {"user": "ada", "password": "hunter-4"}


@step(outputs=["api_key"])
def named(after: Any) -> Iterator[str]:
    yield "key-of-bob"


@pipeline(settings={"redact": ["password", "api_key"]})
def telling() -> Any:
    return named(words())


def told(
    pipe: Pipeline, *, late: bool = False, listener: Callable[[Any], object] | None = None
) -> list[dict[str, Any]]:
    """The events of a run for who follows it: from its beginning on, or once all was yielded."""
    events: list[wire.Event] = []
    run = Execution(pipe, {}, run_id=new_id(), token=CancelToken(), listener=listener)
    feed = None if late else Feed.attach(run, events.append)
    assert execute(pipe, {}, run_id=run.run_id, execution=run).exception is None
    feed = feed or Feed.attach(run, events.append)
    feed.close()
    return [{"kind": event.kind, **msgspec.json.decode(event.data)} for event in events]


@pytest.mark.parametrize("late", [False, True])
def test_who_follows_a_run_gets_no_secret(late: bool) -> None:
    """Values that are yielded, also those that were before somebody followed, and progress: named
    secrets, keys at any depth and outputs whose own name fits."""
    seen: list[Any] = []
    events = told(telling, late=late, listener=seen.append)
    values = [event["value"] for event in events if event["kind"] == "output"]
    assert values == [
        {"header": f"Bearer {MASK}", "rows": 3}, {"user": "ada", "password": MASK}, MASK,
    ]  # fmt: skip
    shown = str(events) + str(seen)
    for value in (VALUE, json.dumps(VALUE)[1:-1], "hunter-4", "key-of-bob"):
        assert value not in shown
    messages = [event["message"] for event in seen if event["kind"] == "progress"]
    assert messages == [f"with {MASK}"]


def test_a_table_with_a_covered_column_is_told_of_by_its_mask() -> None:
    """Its JSON need not have the column's name beside each value."""
    pandas = pytest.importorskip("pandas")

    @step
    def tables() -> Iterator[Any]:
        yield pandas.DataFrame({"user": ["ada"], "password": ["hunter-5"]})
        yield pandas.DataFrame({"user": ["ada"]})

    @pipeline(settings={"redact": ["password"]})
    def tabling() -> Any:
        return tables()

    first, second = (event["value"] for event in told(tabling) if event["kind"] == "output")
    assert first == MASK
    assert "ada" in str(second)


def test_spans_have_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither message nor traceback nor status of what a step raised; its kind is there."""

    @step
    def logging_in() -> int:
        value = get_secret("token")
        try:
            raise ConnectionError(f"refused {value}")
        except ConnectionError as error:
            raise ValueError(f"cannot log in with {value}: password=hunter-6") from error

    @pipeline(settings={"redact": ["password"]})
    def entering() -> int:
        return logging_in()

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    outcome = execute(entering, {}, run_id=new_id())
    assert VALUE in str(outcome.exception)
    spans = kept.get_finished_spans()
    assert sorted(span.name for span in spans) == ["run entering", "step logging_in"]
    for span in spans:
        (event,) = span.events
        assert event.attributes is not None
        assert event.name == "exception"
        assert event.attributes["exception.type"] == "ValueError"
        assert event.attributes["exception.message"] == (
            f"cannot log in with {MASK}: password={MASK}"
        )
        assert "refused **redacted**" in str(event.attributes["exception.stacktrace"])
        written = span.to_json()
        assert "hunter-6" not in written
        assert VALUE not in written
        assert json.dumps(VALUE)[1:-1] not in written


def test_what_is_displayed_is_masked_by_its_kind() -> None:
    """Text, HTML with its escapes, addresses and JSON; pictures stay. A table whose head names a
    covered column is masked as a whole, as its values cannot be told apart."""
    get_secret("token")
    picture = "aGVsbG8="
    bundle = {
        "text/plain": f"token {VALUE}, {VALUE!r}",
        "text/html": f"<b>{html.escape(VALUE)}</b> <i>{html.escape(VALUE, quote=False)}</i>",
        "text/markdown": f"<https://ada:{quote(VALUE, safe='')}@example.org/{quote(VALUE)}>",
        "application/json": {"rows": [{"header": VALUE, "n": 1}]},
        "image/png": picture,
    }
    found = masked(bundle, NONE)
    assert found["image/png"] == picture
    assert found["application/json"] == {"rows": [{"header": MASK, "n": 1}]}
    assert found["text/html"] == f"<b>{MASK}</b> <i>{MASK}</i>"
    assert found["text/markdown"] == f"<https://ada:{MASK}@example.org/{MASK}>"
    assert found["text/plain"].count(MASK) == 2

    table = {
        "text/html": "<th>user</th><th>password</th><td>ada</td><td>hunter-7</td>",
        "text/plain": "{'user': 'ada', 'password': 'hunter-7'}",
        "application/json": {"password": "hunter-7"},
    }
    assert masked(table, Redaction(["password"])) == {
        "text/html": MASK,
        "text/plain": f"{{'user': 'ada', 'password': {MASK}}}",
        "application/json": {"password": MASK},
    }
    harmless = {"text/html": "<th>user</th><td>ada</td>"}
    assert masked(harmless, Redaction(["password"])) == harmless
