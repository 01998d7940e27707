"""How a call that ended is told: the JSON of its success, or the error of its failure."""

from __future__ import annotations

from typing import Any

import msgspec

from warmcell.errors import (
    OutputError,
    ParameterError,
    RunCancelled,
    RunError,
    RunLost,
    RunTimedOut,
    WarmcellError,
)
from warmcell.records import ErrorInfo
from warmcell_server import problems
from warmcell_server.calls import CallResult

__all__ = ["failure", "from_run", "success", "terminal_event"]

NULL = msgspec.Raw(b"null")


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


def terminal_event(result: CallResult) -> tuple[str, bytes]:
    """The last event of a run: "done" with the JSON of its success, or "error" with a problem."""
    if result.status == "succeeded":
        return "done", success(result)
    problem = problems.problem(failure(result))
    return "error", _encode({**problem.body, "run_id": result.run_id, "run_status": result.status})


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
