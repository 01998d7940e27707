"""One call of a deployment as it is sent: its body, its headers, how long to wait for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from warmcell.errors import UsageError
from warmcell.options import close_match

__all__ = ["CallOptions", "Request", "calling", "change"]

PATIENCE = 3600.0  # seconds that a call without a timeout of its own may take
GRACE = 30.0  # seconds for the answer to come after the deadline of the run


@dataclasses.dataclass(frozen=True)
class CallOptions:
    """How to call, beside the parameters.

    Times are in seconds: ``timeout`` for all of it, ``queue_timeout`` and ``run_timeout`` for its
    parts. Two calls with one ``idempotency_key`` make one run. The end of the run is posted to
    ``callback_url``, signed. ``traceparent`` is that of the step that calls, where it is not given.
    """

    timeout: float | None = None
    queue_timeout: float | None = None
    run_timeout: float | None = None
    run_name: str | None = None
    idempotency_key: str | None = None
    callback_url: str | None = None
    traceparent: str | None = None


_IN_BODY = ("timeout", "queue_timeout", "run_timeout", "run_name", "callback_url")
_NAMES = [option.name for option in dataclasses.fields(CallOptions)]


@dataclasses.dataclass(frozen=True)
class Request:
    """What goes to a host: ``path`` is relative to ``…/warmcell/``, ``timeout`` in seconds."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    timeout: float = 30.0


def change(options: CallOptions, changes: Mapping[str, Any]) -> CallOptions:
    """``options`` with changes. Raises :class:`UsageError` for one that there is not."""
    for name in changes:
        if name not in _NAMES:
            raise UsageError(
                f"A call has no option '{name}'.",
                hint=close_match(name, _NAMES) or f"Options: {', '.join(_NAMES)}.",
            )
    return dataclasses.replace(options, **changes)


def calling(
    deployment: str,
    options: CallOptions,
    *,
    parameters: Mapping[str, Any] | None = None,
    instances: Sequence[Mapping[str, Any]] | None = None,
    detached: bool = False,
) -> Request:
    """The request that calls a deployment with ``parameters``, or once per instance.

    Raises :class:`~warmcell.errors.ParameterError` naming what has no JSON form.
    """
    from warmcell.schemas import encode_parameters

    body: dict[str, Any]
    if instances is not None:
        body = {"instances": [encode_parameters(instance) for instance in instances]}
    else:
        body = {"parameters": encode_parameters(parameters or {})}
    for name in _IN_BODY:
        if (value := getattr(options, name)) is not None:
            body[name] = value
    if detached:
        body["async"] = True
    headers = {}
    if options.idempotency_key is not None:
        headers["Idempotency-Key"] = options.idempotency_key
    if (trace := options.traceparent or _trace()) is not None:
        headers["Traceparent"] = trace
    parts = [options.queue_timeout or 0.0, options.run_timeout or 0.0]
    seconds = options.timeout or (sum(parts) if all(parts) else PATIENCE - GRACE)
    path = f"{quote(deployment, safe='')}/invoke"
    return Request("POST", path, body, headers, seconds + GRACE)


def _trace() -> str | None:
    """The trace of the run that this code is part of."""
    from warmcell import context

    scope = context.current.get()
    if scope is None:
        return None
    found = scope if isinstance(scope, context.StepContext) else context.get_pipeline_context()
    return found.traceparent
