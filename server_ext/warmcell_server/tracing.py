"""Traces of calls at the host: the request as a span, and its wait in the queue.

What is always done, with OpenTelemetry or without, is in :mod:`warmcell.tracing`: a caller's
``traceparent`` is taken over and passed on, and a run without one gets one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from warmcell.tracing import context_of, derive, parse, text_of, tracer

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Request", "begin", "derive", "parse", "queued"]


class Request:
    """The span of a request. Its ``traceparent`` is the run's."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.traceparent = text_of(span.get_span_context())

    def end(self, status: int, run_id: str | None = None) -> None:
        """The request was answered with an HTTP ``status``."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute("http.response.status_code", status)
        if run_id is not None:
            self._span.set_attribute("warmcell.run_id", run_id)
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def begin(deployment: str, method: str, path: str, headers: Mapping[str, str]) -> Request | None:
    """Start the span of a request to ``deployment``; None where nobody collects spans.

    It continues the span that is current here (of an instrumented Tornado), else the caller's.
    """
    found = tracer()
    if found is None:
        return None
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = None
    if not trace.get_current_span().get_span_context().is_valid:
        sent = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        context = TraceContextTextMapPropagator().extract(sent)
    what = path.rpartition("/")[2]
    span = found.start_span(
        f"{method} warmcell/{{deployment}}/{what}",
        context,
        trace.SpanKind.SERVER,
        {
            "http.request.method": method,
            "http.route": f"warmcell/{{deployment}}/{what}",
            "url.path": path,
            "warmcell.deployment": deployment,
        },
    )
    return Request(span)


def queued(traceparent: str | None, deployment: str, created_at: int, sent_at: int) -> None:
    """Tell how long a call waited for its place, as a child of its request. Times are
    microseconds."""
    if traceparent is None or (found := tracer()) is None:
        return
    span = found.start_span(
        f"queue {deployment}",
        context_of(traceparent),
        start_time=created_at * 1000,
        attributes={"warmcell.deployment": deployment},
    )
    span.end(sent_at * 1000)
