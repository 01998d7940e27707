"""How a call that ended is told: the JSON of its success, or the error of its failure."""

from __future__ import annotations

from typing import Any

import msgspec

from warmcell.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotAcceptable,
    NotFound,
    OutputError,
    ParameterError,
    QueueFull,
    RunCancelled,
    RunError,
    RunLost,
    RunTimedOut,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    WarmcellError,
)
from warmcell.records import ErrorInfo, RunRecord
from warmcell_server import problems
from warmcell_server.calls import CallResult

__all__ = ["error_event", "failure", "from_record", "from_run", "success", "terminal_event"]

NULL = msgspec.Raw(b"null")
# What a worker says of a call that it did not execute, or whose answer it could not write, and
# what middleware says that refuses one.
_REFUSALS: dict[str, type[WarmcellError]] = {
    kind.__name__: kind
    for kind in (
        BadRequest,
        Conflict,
        Forbidden,
        NotAcceptable,
        NotFound,
        QueueFull,
        TooLarge,
        Unauthenticated,
        Unavailable,
        UnsupportedMedia,
    )
}


class _Metadata(msgspec.Struct):
    run_id: str
    run_name: str | None
    deployment: str
    snapshot: int
    snapshot_id: str
    pipeline: str
    parameters_used: msgspec.Raw


class _Success(msgspec.Struct):
    success: bool
    outputs: msgspec.Raw
    execution_time: float
    metadata: _Metadata
    error: None = None


_encode = msgspec.json.Encoder().encode


def success(result: CallResult) -> bytes:
    """The JSON of a run that succeeded."""
    return _encode(
        _Success(
            True,
            NULL if result.outputs is None else msgspec.Raw(result.outputs),
            result.execution_time,
            _Metadata(
                result.run_id,
                result.run_name,
                result.deployment,
                result.snapshot,
                result.snapshot_id,
                result.pipeline,
                NULL if result.parameters is None else msgspec.Raw(result.parameters),
            ),
        )
    )


def failure(result: CallResult) -> WarmcellError:
    """The error of a run that did not succeed, for the one map of errors to statuses."""
    error = result.error or ErrorInfo("RunError", f"The run is {result.status}.")
    told = result.errors is not None or result.status == "succeeded"  # by us, not by a step
    if told and error.type in _REFUSALS:
        refused = _REFUSALS[error.type](error.message, hint=error.hint)
        if isinstance(refused, NotAcceptable):
            refused.run_id = result.run_id if result.status == "succeeded" else None
        return refused
    if result.status == "invalid" or result.errors is not None:
        return ParameterError(error.message, errors=result.errors or [], hint=error.hint)
    kinds: dict[str, type[RunError]] = {
        "timed_out": RunTimedOut,
        "cancelled": RunCancelled,
        "lost": RunLost,
    }
    kind = kinds.get(result.status, OutputError if error.type == "OutputError" else RunError)
    message = error.message
    if kind is RunError:
        where = f"Step '{error.step}'" if error.step else "The run"
        message = f"{where} raised {error.type}: {error.message}"
    return kind(message, run_id=result.run_id, step=error.step, hint=error.hint)


def terminal_event(result: CallResult, refused: WarmcellError | None = None) -> tuple[str, bytes]:
    """The last event of a run: "done" with the JSON of its success, or "error" with a problem;
    ``refused`` is why it could not be recorded."""
    if refused is not None:
        return error_event(refused, result.run_id, result.status)
    if result.status == "succeeded":
        return "done", success(result)
    return error_event(failure(result), result.run_id, result.status)


def error_event(error: WarmcellError, run_id: str, status: str) -> tuple[str, bytes]:
    """The last event of a run that has no outputs to give."""
    body = problems.problem(error).body
    status = "failed" if status == "invalid" else status
    return "error", _encode({**body, "run_id": run_id, "run_status": status})


def from_run(run: dict[str, Any]) -> CallResult:
    """The result of a run that ended, from the store's record of it."""
    found = run.get("error") or None
    error = None
    if found:
        known = {name: found.get(name) for name in ("type", "message", "step", "hint", "errors")}
        error = ErrorInfo(**{**known, "type": found.get("type") or "RunError"})
    pipeline, snapshot = run["pipeline"], run["snapshot"] or 0
    return CallResult(
        run["run_id"],
        run["run_name"],
        run["status"],
        None if run["outputs"] is None else _encode(run["outputs"]),
        None if run["parameters"] is None else _encode(run["parameters"]),
        error,
        error.errors if error is not None else None,
        run["duration"] or 0.0,
        run["deployment"] or "",
        pipeline,
        snapshot,
        f"{pipeline}@{snapshot}",
    )


def from_record(run: RunRecord) -> CallResult:
    """The result of a run that ended, from what is about to be recorded of it."""
    seconds = ((run.finished_at or 0) - (run.started_at or run.created_at)) / 1_000_000
    return CallResult(
        run.run_id,
        run.run_name,
        run.status,
        bytes(run.outputs or b"") or None,
        bytes(run.parameters or b"") or None,
        run.error,
        run.error.errors if run.error is not None else None,
        max(0.0, seconds),
        run.deployment or "",
        run.pipeline,
        run.snapshot or 0,
        f"{run.pipeline}@{run.snapshot or 0}",
    )
