"""What is sent for an answer that cannot be: it is too large for the link, say."""

from __future__ import annotations

from warmcell import wire
from warmcell.errors import EndpointError
from warmcell.records import ErrorInfo

__all__ = ["of_call", "of_endpoint"]


def of_call(answer: wire.Answer, why: str) -> wire.Answer:
    """For the answer to a call."""
    error = ErrorInfo("OutputError", f"The answer cannot be sent: {why}")
    return wire.Answer(
        answer.call,
        "failed",
        error=error,
        started_at=answer.started_at,
        finished_at=answer.finished_at,
    )


def of_endpoint(answer: wire.EndpointAnswer, why: str) -> wire.EndpointAnswer:
    """For the answer of a custom endpoint."""
    from warmcell.around.endpoints.calls import failed

    return failed(answer.call, EndpointError(f"The answer cannot be sent: {why}"))
