"""How a command ends: exit codes, and errors as people and scripts read them."""

from __future__ import annotations

import json
import sys

from warmcell.errors import (
    BadRequest,
    DefinitionError,
    Forbidden,
    InvalidName,
    LinkError,
    NotFound,
    ParameterError,
    QueueFull,
    RunError,
    RunTimedOut,
    Unauthenticated,
    Unavailable,
    UsageError,
    WarmcellError,
)

__all__ = ["EXPLAINED", "FAILED", "INTERRUPTED", "TIMED_OUT", "code_of", "failed"]

FAILED = 1
TIMED_OUT = 7
INTERRUPTED = 130

# The first that fits decides.
_CODES: list[tuple[type[WarmcellError], int]] = [
    (RunTimedOut, TIMED_OUT),
    (RunError, FAILED),
    (UsageError, 2),
    (ParameterError, 2),
    (DefinitionError, 2),
    (InvalidName, 2),
    (BadRequest, 2),
    (NotFound, 3),
    (LinkError, 4),
    (Unauthenticated, 5),
    (Forbidden, 5),
    (QueueFull, 6),
    (Unavailable, 6),
]
EXPLAINED = """\
exit codes:
  0  done              4  no server found, or no answer
  1  the run failed    5  not allowed: token or key
  2  wrong usage       6  not now: try again later
  3  no such thing     7  timed out                      130  interrupted
"""


def code_of(error: WarmcellError) -> int:
    """The exit code that an error stands for."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def failed(error: WarmcellError, *, as_json: bool) -> int:
    """Say on standard error what was wrong, and return the exit code."""
    if as_json:
        told = {"type": type(error).__name__, "detail": error.message}
        for name in ("hint", "run_id", "step", "errors", "retry_after", "traceback"):
            if value := getattr(error, name, None):
                told[name] = value
        print(json.dumps({"error": told}), file=sys.stderr)
        return code_of(error)
    if error.traceback:
        print(error.traceback.rstrip(), file=sys.stderr)
    print(f"warmcell: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    if run_id := getattr(error, "run_id", None):
        print(f"  See it with: warmcell runs show {run_id}", file=sys.stderr)
    return code_of(error)
