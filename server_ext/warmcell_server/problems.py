"""Which HTTP answer an error gets: one map, as ``application/problem+json`` (RFC 9457).

The ``type`` of a problem is ``urn:warmcell:problem:`` and the error's class name with hyphens, such
as ``urn:warmcell:problem:not-found``, so that a client can raise the same class again. What is no
error of Warmcell's is an ``about:blank`` problem that tells nothing of the inside.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any

from warmcell import errors
from warmcell.errors import WarmcellError

__all__ = ["CONTENT_TYPE", "PREFIX", "MethodNotAllowed", "Problem", "plain", "problem", "slug"]

CONTENT_TYPE = "application/problem+json"
PREFIX = "urn:warmcell:problem:"

# The most special class of an error's bases decides.
_KINDS: dict[type[BaseException], tuple[int, str]] = {
    errors.DefinitionError: (422, "The definition cannot work"),
    errors.UsageError: (422, "An option or argument is unknown or does not fit"),
    errors.InvalidName: (422, "The name does not have the required form"),
    errors.GateRefused: (409, "The gate refuses the deploy"),
    errors.DeployError: (409, "The pipeline could not be deployed"),
    errors.SnapshotError: (409, "The snapshot could not be captured or restored"),
    errors.ArtifactError: (409, "The artifact cannot be kept or loaded"),
    errors.NotTrusted: (409, "The snapshot or artifact is not trusted"),
    errors.NameTaken: (409, "The name is taken"),
    errors.Unauthenticated: (401, "Authentication is missing or not valid"),
    errors.Forbidden: (403, "This is not allowed"),
    errors.NotFound: (404, "There is no such thing here"),
    errors.Conflict: (409, "The state of the thing does not allow this"),
    errors.BadRequest: (400, "The request cannot be read"),
    errors.TooLarge: (413, "The body is too large"),
    errors.NotAcceptable: (406, "The answer cannot be had in the form that is accepted"),
    errors.UnsupportedMedia: (415, "The content type is not supported"),
    errors.ParameterError: (422, "The parameters do not fit"),
    errors.QueueFull: (429, "The queue is full"),
    errors.Unavailable: (503, "Nothing can take the call now"),
    errors.RunError: (500, "A step raised an error"),
    errors.OutputError: (500, "An output has no JSON form"),
    errors.EndpointError: (500, "A custom endpoint failed"),
    errors.RunCancelled: (409, "The run was cancelled"),
    errors.RunTimedOut: (504, "The run did not end in time"),
    errors.RunLost: (503, "The worker of the run died"),
    errors.StoreError: (503, "The store cannot do this"),
    errors.StoreFull: (503, "The disk of the store is full"),
    errors.StoreTooNew: (503, "The store is of a newer version"),
    errors.QueryError: (422, "The query is refused or failed"),
    errors.LinkError: (503, "The link to the kernel failed"),
    WarmcellError: (500, "Warmcell failed"),
}
_RETRY_AFTER = 1.0
_MEMBERS = (
    "hint", "run_id", "step", "errors", "holder", "retry_after", "found", "known", "traceback",
)  # fmt: skip


class MethodNotAllowed(WarmcellError, NotImplementedError):
    """The path is known, the method is not. ``allowed`` are the methods that it has."""

    def __init__(self, method: str, path: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"'{path}' has no method {method}.", hint=f"It has: {', '.join(sorted(allowed))}."
        )
        self.allowed = sorted(allowed)


_KINDS[MethodNotAllowed] = (405, "The method is not allowed here")


@dataclass(frozen=True)
class Problem:
    """A status, a body for JSON, and headers that belong to it."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


def problem(error: WarmcellError, *, instance: str | None = None) -> Problem:
    """Map an error to its answer. ``instance`` is the path or URL of what failed.

    Members beside RFC 9457's are what an error carries: ``hint``, ``run_id``, ``step``, ``errors``
    (of parameters, with ``pointer``, ``message`` and ``type``), ``holder``, ``retry_after`` (s).
    """
    kind = next(base for base in type(error).__mro__ if base in _KINDS)
    status, title = _KINDS[kind]
    body: dict[str, Any] = {
        "type": PREFIX + slug(kind.__name__),
        "title": title,
        "status": status,
        "detail": error.message,
    }
    if instance is not None:
        body["instance"] = instance
    for name in _MEMBERS:
        if value := getattr(error, name, None):
            body[name] = value
    return Problem(status, body, _headers(error, status))


def plain(status: int, detail: str | None = None, *, instance: str | None = None) -> Problem:
    """The answer for a bare status, of an error that is not Warmcell's."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase if status in _PHRASED else "Error",
        "status": status,
    }
    if detail:
        body["detail"] = detail
    if instance is not None:
        body["instance"] = instance
    return Problem(status, body)


@cache
def slug(name: str) -> str:
    """The last part of a problem's type: that of ``StoreFull`` is "store-full"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _headers(error: WarmcellError, status: int) -> dict[str, str]:
    return {**_own_headers(error, status), **(error.headers or {})}


def _own_headers(error: WarmcellError, status: int) -> dict[str, str]:
    if status in (429, 503):
        seconds = getattr(error, "retry_after", _RETRY_AFTER)
        return {"Retry-After": str(max(1, math.ceil(seconds)))}
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="Jupyter"'}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    return {}


_PHRASED = frozenset(int(status) for status in HTTPStatus)
