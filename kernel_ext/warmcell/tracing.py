"""Traces: W3C ``traceparent`` of every run, and OpenTelemetry spans where somebody collects them.

OpenTelemetry is optional. It is used only once its API has found a provider, which somebody set in
this process (or named in ``OTEL_PYTHON_TRACER_PROVIDER``); looking for it imports nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any

import warmcell

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer

    from warmcell.graph import Node
    from warmcell.runner.execution import Execution

__all__ = ["RunSpans", "context_of", "current", "derive", "parse", "text_of", "tracer"]

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_API = "opentelemetry.trace"
_cached: tuple[Any, Tracer | None] = (None, None)

if os.environ.get("OTEL_PYTHON_TRACER_PROVIDER"):
    with contextlib.suppress(ImportError):  # whoever set it meant another environment
        importlib.import_module(_API)


def parse(header: str | None) -> str | None:
    """Return a ``traceparent`` in the form of version 00, or None when it is absent or invalid:
    then a trace begins here, as W3C Trace Context says."""
    found = _FORM.fullmatch(header.strip()) if header else None
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(parent, 16):
        return None
    return f"00-{trace}-{parent}-{flags}"


def derive(run_id: str, *, sampled: bool = True) -> str:
    """The ``traceparent`` of a run whose caller sent none: its trace has the run's id."""
    trace = run_id.replace("-", "")
    return f"00-{trace}-{trace[16:]}-0{int(sampled)}"


def tracer() -> Tracer | None:
    """OpenTelemetry's tracer; None where no provider is set."""
    global _cached
    api = sys.modules.get(_API)
    find = getattr(api, "get_tracer_provider", None)  # absent while another thread imports it
    if api is None or find is None:
        return None
    provider = find()
    known, found = _cached
    if known is not provider:
        found = None
        if not isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
            found = provider.get_tracer("warmcell", warmcell.__version__)
        _cached = (provider, found)
    return found


def context_of(traceparent: str) -> Context:
    """OpenTelemetry's context whose current span is the remote one of ``traceparent``."""
    from opentelemetry import trace

    _, trace_id, parent, flags = traceparent.split("-")
    bits = trace.TraceFlags(int(flags, 16))
    remote = trace.SpanContext(int(trace_id, 16), int(parent, 16), True, bits)
    return trace.set_span_in_context(trace.NonRecordingSpan(remote))


def text_of(context: SpanContext) -> str:
    """A span's context as ``traceparent``."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 3:02x}"


def current() -> str | None:
    """The ``traceparent`` of the span that is current in this code, where there is a provider."""
    if tracer() is None:
        return None
    context = sys.modules[_API].get_current_span().get_span_context()
    return text_of(context) if context.is_valid else None


class RunSpans:
    """The spans of a run: one of its own, current while it executes, and one for each step, current
    in its code. Made only where there is a tracer."""

    def __init__(self, tracer: Tracer, run: Execution, started: int) -> None:
        from opentelemetry import context as contexts
        from opentelemetry import trace

        self._contexts = contexts
        self._trace = trace
        self._tracer = tracer
        self._steps: dict[int, tuple[Span, Token[Context]]] = {}
        self._redaction = run.redaction
        parent = None
        if run.traceparent is not None:
            parent = context_of(run.traceparent)
        elif not trace.get_current_span().get_span_context().is_valid:
            parent = context_of(derive(run.run_id, sampled=_samples(run.run_id)))
        self._span = tracer.start_span(
            f"run {run.pipeline.name}",
            parent,
            start_time=started * 1000,
            attributes={
                "warmcell.run_id": run.run_id,
                "warmcell.pipeline": run.pipeline.name,
                "warmcell.deployment": run.deployment or "",
                "warmcell.snapshot": run.snapshot or 0,
            },
        )
        self._token = contexts.attach(trace.set_span_in_context(self._span))

    def began(self, node: Node, started: int) -> None:
        """A step starts, in the context that its code will run in."""
        span = self._tracer.start_span(
            f"step {node.name}",
            start_time=started * 1000,
            attributes={"warmcell.step": node.name, "warmcell.step.index": node.index},
        )
        attached = self._contexts.attach(self._trace.set_span_in_context(span))
        self._steps[node.index] = (span, attached)

    def ended(
        self, node: Node, status: str, ended: int, error: BaseException | None = None
    ) -> None:
        """A step ended, in the context that it began in."""
        found = self._steps.pop(node.index, None)
        if found is not None:
            self._contexts.detach(found[1])
            self._end(found[0], status, ended, error)

    def finish(self, status: str, ended: int, error: BaseException | None) -> None:
        """The run ended, on the thread that it began on."""
        self._contexts.detach(self._token)
        for span, _ in self._steps.values():  # left behind, as stuck steps are
            self._end(span, "cancelled", ended, None)
        self._end(self._span, status, ended, error)

    def _end(self, span: Span, status: str, ended: int, error: BaseException | None) -> None:
        span.set_attribute("warmcell.status", status)
        if status != "succeeded":
            text = status
            if error is not None:
                text = self._exception(span, error, ended)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, text))
        span.end(ended * 1000)

    def _exception(self, span: Span, error: BaseException, ended: int) -> str:
        """Say what was raised, and return it as one line; both without what is to be masked. Not
        ``record_exception``: that one would write the message as it is."""
        kind, masked = type(error), self._redaction.text
        name = kind.__qualname__
        if kind.__module__ not in ("builtins", "__main__"):
            name = f"{kind.__module__}.{name}"
        try:
            message, trace = str(error), "".join(traceback.format_exception(error))
        except Exception:  # its own code fails: that must not fail the run
            message, trace = "", ""
        message = masked(message)
        about = {
            "exception.type": name,
            "exception.message": message,
            "exception.stacktrace": masked(trace),
        }
        span.add_event("exception", about, ended * 1000)
        return f"{kind.__name__}: {message}"


def _samples(run_id: str) -> bool:
    """Whether the provider would record a trace that begins with this run. To its sampler the run
    has a parent, as only so the trace gets the run's id, and that parent must not decide."""
    sampler = getattr(sys.modules[_API].get_tracer_provider(), "sampler", None)
    if sampler is None:
        return True
    trace_id = int(run_id.replace("-", ""), 16)
    return bool(sampler.should_sample(None, trace_id, "run").decision.is_sampled())
