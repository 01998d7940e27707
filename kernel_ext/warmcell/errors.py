"""Every exception that Warmcell raises.

Each class subclasses the built-in that a caller would already catch. ``hint`` is the way out, one
sentence. Mapping an error to an HTTP status happens in one place: ``warmcell_server.problems``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class WarmcellError(Exception):
    """Base of all: a message that names what was wrong, and a hint that names the way out.

    ``headers`` go along where the error becomes an HTTP answer. ``traceback`` is that of code which
    the caller had executed elsewhere.
    """

    headers: dict[str, str] | None = None
    traceback: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        stop = "" if self.message.endswith((".", "!", "?", ":")) else "."
        return f"{self.message}{stop} {self.hint}"

    def _render_traceback_(self) -> list[str]:
        """Show users one line instead of our frames (an IPython protocol)."""
        return [f"{type(self).__name__}: {self}"]


# -- definition ------------------------------------------------------------------------------


class DefinitionError(WarmcellError, ValueError):
    """A step or pipeline was defined in a way that cannot work."""


class CellSyntaxError(DefinitionError):
    """The body of a cell is not Python. ``rendered`` is how a notebook shows the place."""

    def __init__(self, message: str, *, rendered: Sequence[str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rendered = list(rendered)

    def _render_traceback_(self) -> list[str]:
        return self.rendered


class UsageError(WarmcellError, ValueError):
    """A magic or a method got an option or an argument that it does not know."""


class StepContextError(UsageError, RuntimeError):
    """Something that belongs to the step or the run that executes, asked for outside of one, or of
    an output that the step does not have."""


class InvalidName(WarmcellError, ValueError):
    """A name of a step, pipeline, deployment or tag does not have the required form."""


class GraphError(DefinitionError):
    """The steps of a pipeline cannot be ordered: a cycle, or a result used before it exists."""


# -- deploy ----------------------------------------------------------------------------------


class DeployError(WarmcellError, RuntimeError):
    """A pipeline could not be deployed; what was served before is still served."""


class GateRefused(DeployError):
    """A deploy would change more than its gate allows. ``backtest`` has the figures."""

    def __init__(self, message: str, *, backtest: Any = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.backtest = backtest


class SnapshotError(WarmcellError, RuntimeError):
    """A snapshot could not be captured, written or restored."""


class NotTrusted(SnapshotError):
    """A stored snapshot is not signed by this user; loading it would run its code."""


class NameTaken(WarmcellError, RuntimeError):
    """Another live host already serves a deployment of this name. ``holder`` names it."""

    def __init__(self, message: str, *, holder: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.holder = holder


# -- call ------------------------------------------------------------------------------------


class Unauthenticated(WarmcellError, PermissionError):
    """A request carries no token, key or login, or one that is not valid."""


class Forbidden(WarmcellError, PermissionError):
    """A request comes from a known user, but may not do this, or not from there."""


class NotFound(WarmcellError, KeyError):
    """No deployment, run, snapshot or artifact of that name or id."""


class Conflict(WarmcellError, RuntimeError):
    """The state of the thing does not allow this, such as cancelling a run that has ended."""


class BadRequest(WarmcellError, ValueError):
    """The body or the query of a request cannot be read."""


class TooLarge(WarmcellError, ValueError):
    """A body is larger than the limit; the message names the limit in bytes."""


class UnsupportedMedia(WarmcellError, ValueError):
    """The content type of a body is not one that the route understands."""


class NotAcceptable(WarmcellError, ValueError):
    """An answer cannot be what the request accepts; the hint names what can be had. ``run_id`` is
    there where the run succeeded, and its outputs are in the history."""

    run_id: str | None = None


class ParameterError(WarmcellError, ValueError):
    """Parameters do not fit the signature.

    ``errors`` is a list of ``{"pointer": "/parameters/age", "message": ..., "type": ...}``, with
    JSON Pointers (RFC 6901) into the request body.
    """

    def __init__(
        self, message: str, *, errors: Sequence[dict[str, Any]] = (), hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.errors = list(errors)


class QueueFull(WarmcellError, RuntimeError):
    """The queue of a deployment is full. ``retry_after`` is in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unavailable(WarmcellError, RuntimeError):
    """Nothing can take the call now: no worker, a restart, a full disk. ``retry_after`` in s."""

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RunError(WarmcellError, RuntimeError):
    """A run failed. ``run_id`` and ``step`` say where; ``__cause__`` is the step's own error."""

    def __init__(
        self,
        message: str,
        *,
        run_id: str | None = None,
        step: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.run_id = run_id
        self.step = step


class RunCancelled(RunError):
    """A run was cancelled before it ended."""


class RunTimedOut(RunError, TimeoutError):
    """A run or a step passed its deadline."""


class RunLost(RunError):
    """The worker that executed a run died; the message carries the cause."""


class OutputError(RunError):
    """A run produced an output that has no JSON form."""


class EndpointError(WarmcellError, RuntimeError):
    """A custom endpoint raised, or answered what cannot be sent."""


class StepCancelled(BaseException):
    """Raised inside a step's own code to end it; not an Exception, so that a step's
    ``except Exception`` does not swallow it."""


class ArtifactError(WarmcellError, RuntimeError):
    """A value cannot be kept as an artifact, or an artifact version cannot be loaded."""


# -- store and link --------------------------------------------------------------------------


class StoreError(WarmcellError, RuntimeError):
    """The store cannot do what was asked."""


class StoreFull(StoreError):
    """The disk of the store is full; nothing is acknowledged until an append works again."""


class StoreTooNew(StoreError):
    """The store was written by a newer Warmcell. ``found`` and ``known`` are schema versions."""

    def __init__(self, message: str, *, found: int, known: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.found = found
        self.known = known


class QueryError(WarmcellError, ValueError):
    """A user's SQL is refused or failed."""


class LinkError(WarmcellError, ConnectionError):
    """The connection between a kernel and its host failed."""


# -- errors that come over HTTP or the link ----------------------------------------------------

_BY_STATUS: dict[int, type[WarmcellError]] = {
    400: BadRequest,
    404: NotFound,
    406: NotAcceptable,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedMedia,
    422: ParameterError,
    429: QueueFull,
    503: Unavailable,
    504: RunTimedOut,
}


def error_from_problem(status: int, problem: object) -> WarmcellError:
    """Return the error that a problem document (RFC 9457) stands for.

    The last segment of its ``type`` is the error's class in kebab case, as
    ``warmcell_server.problems`` writes it; an unknown one falls back to the status.
    """
    body = problem if isinstance(problem, dict) else {}
    slug = str(body.get("type", "")).rpartition("/")[2].rpartition("#")[2].rpartition(":")[2]
    name = "".join(part.capitalize() for part in slug.split("-"))
    found = globals().get(name)
    kind = found if isinstance(found, type) and issubclass(found, WarmcellError) else None
    kind = kind or _BY_STATUS.get(status, RunError if body.get("run_id") else WarmcellError)
    message = str(body.get("detail") or body.get("title") or f"The host answered {status}.")
    keywords: dict[str, Any] = {"hint": body.get("hint")}
    if issubclass(kind, RunError):
        keywords |= {"run_id": body.get("run_id"), "step": body.get("step")}
    elif issubclass(kind, ParameterError):
        keywords |= {"errors": body.get("errors") or []}
    elif issubclass(kind, QueueFull | Unavailable):
        keywords |= {"retry_after": float(body.get("retry_after") or 1.0)}
    elif issubclass(kind, NameTaken):
        keywords |= {"holder": str(body.get("holder") or "")}
    elif issubclass(kind, StoreTooNew):
        keywords |= {"found": int(body.get("found") or 0), "known": int(body.get("known") or 0)}
    error = kind(message, **keywords)
    error.traceback = body.get("traceback")
    return error
