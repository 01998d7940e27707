"""Traces: W3C traceparent, and OpenTelemetry spans from the request to the steps."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler

from tests.support.http import Response, request
from warmcell import get_step_context, link, pipeline, step, tracing
from warmcell.errors import RunError
from warmcell.ids import new_id
from warmcell_server.embedded import EmbeddedHost

WAIT = 20.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@step
def outside(x: int) -> str:
    with trace.get_tracer("user").start_as_current_span("request"):
        return get_step_context().traceparent


@step
async def awaiting(x: int) -> int:
    with trace.get_tracer("user").start_as_current_span("awaited"):
        await asyncio.sleep(0)
    return x


@step
def failing(x: int) -> int:
    raise ValueError(f"no {x}")


@pipeline
def reaching(x: int) -> str:
    awaiting(x)
    return outside(x)


@pipeline
def broken(x: int) -> int:
    return failing(x)


class Spans(InMemorySpanExporter):
    """What was exported. A request's own span comes after its answer, so looking waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._came:
            self._came.notify_all()
            return super().export(spans)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if span.name == name]

    def __getitem__(self, name: str) -> ReadableSpan:
        with self._came:
            assert self._came.wait_for(lambda: self.named(name), WAIT), name
        (found,) = self.named(name)
        return found

    def __len__(self) -> int:
        return len(self.get_finished_spans())


def collect(monkeypatch: pytest.MonkeyPatch, sampler: Sampler | None = None) -> Spans:
    """Set a provider, as a user does, but for one test only."""
    spans = Spans()
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return spans


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[link.Kernel]:
    """This process as a kernel with a host of its own, and an empty store."""
    monkeypatch.setenv("WARMCELL_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("WARMCELL_CONNECTION", raising=False)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    here = link.kernel()
    yield here
    here.close()
    gc.collect()


def call(kernel: link.Kernel, name: str, **headers: str) -> Response:
    """Invoke by HTTP, as a caller elsewhere does."""
    host: EmbeddedHost = kernel._embedded
    return request(
        "POST",
        f"{host.url}{name}/invoke",
        json_body={"parameters": {"x": 1}},
        headers={"Authorization": f"token {host.token}", **headers},
    )


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        (PARENT, PARENT),
        (f" {PARENT} ", PARENT),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", PARENT),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (PARENT.upper(), None),
        (f"{PARENT},{PARENT}", None),
        ("", None),
        (None, None),
    ],
)
def test_a_traceparent_is_taken_or_left(header: str | None, taken: str | None) -> None:
    """Only a valid one is taken over; a trace begins here in place of any other."""
    assert tracing.parse(header) == taken


def test_a_run_without_one_has_its_id_as_trace() -> None:
    """What is derived is valid, and leads from a trace back to the run."""
    run_id = new_id()
    derived = tracing.derive(run_id)
    assert tracing.parse(derived) == derived
    assert derived.split("-")[1] == run_id.replace("-", "")


@pytest.mark.parametrize("header", [PARENT, "nonsense", None])
def test_it_is_stored_and_passed_on(kernel: link.Kernel, header: str | None) -> None:
    """The run keeps its caller's trace, a step can send it along; without OpenTelemetry too."""
    reaching.deploy("reaching")
    answer = call(kernel, "reaching", **({"traceparent": header} if header else {})).json()
    run = kernel.control("GET", f"api/v1/runs/{answer['metadata']['run_id']}")
    derived = tracing.derive(run["run_id"])
    assert run["traceparent"] == (PARENT if header == PARENT else derived)
    assert answer["outputs"]["output"] == run["traceparent"]


def test_spans_lead_from_the_request_to_the_steps(
    kernel: link.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Request, queue, run and steps are one trace below the caller's, and code in a step adds to
    its step."""
    reaching.deploy("reaching")
    spans = collect(monkeypatch)
    answer = call(kernel, "reaching", traceparent=PARENT).json()
    served = spans["POST warmcell/{deployment}/invoke"]
    assert parent_of(served) == 0x00F067AA0BA902B7
    assert served.kind is trace.SpanKind.SERVER
    assert served.attributes is not None
    assert served.attributes["http.response.status_code"] == 200
    run_id = answer["metadata"]["run_id"]
    assert served.attributes["warmcell.run_id"] == run_id
    for child, parent in (
        ("queue reaching", "POST warmcell/{deployment}/invoke"),
        ("run reaching", "POST warmcell/{deployment}/invoke"),
        ("step awaiting", "run reaching"),
        ("step outside", "run reaching"),
        ("awaited", "step awaiting"),
        ("request", "step outside"),
    ):
        assert parent_of(spans[child]) == id_of(spans[parent]), child
    assert len(spans) == 7
    context = spans["request"].context
    assert context is not None
    assert answer["outputs"]["output"] == tracing.text_of(context)
    recorded = kernel.control("GET", f"api/v1/runs/{run_id}")["traceparent"]
    assert recorded == f"00-{TRACE}-{id_of(served):016x}-01"


def test_errors_are_on_the_spans(kernel: link.Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step that raised, its run and its request are errors."""
    broken.deploy("broken")
    spans = collect(monkeypatch)
    assert call(kernel, "broken").status == 500
    served = spans["POST warmcell/{deployment}/invoke"]
    assert served.attributes is not None
    assert served.attributes["http.response.status_code"] == 500
    for name in ("step failing", "run broken", "POST warmcell/{deployment}/invoke"):
        assert spans[name].status.status_code is trace.StatusCode.ERROR
    assert spans["step failing"].status.description == "ValueError: no 1"
    assert [event.name for event in spans["step failing"].events] == ["exception"]


def test_a_run_of_a_cell_continues_what_is_current(
    kernel: link.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that a cell starts is below the cell's own span; else its trace has its id."""
    spans = collect(monkeypatch)
    with trace.get_tracer("user").start_as_current_span("cell"):
        reaching(1)
        assert trace.get_current_span().get_span_context().is_valid
    assert parent_of(spans["run reaching"]) == id_of(spans["cell"])
    with pytest.raises(RunError):
        broken(1)
    run: Any = spans["run broken"]
    assert f"{run.context.trace_id:032x}" == run.attributes["warmcell.run_id"].replace("-", "")
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_sampler_decides(kernel: link.Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace that begins with a run is sampled as any other of its provider."""
    spans = collect(monkeypatch, ParentBased(ALWAYS_OFF))
    reaching(1)
    assert len(spans) == 0
