"""What the headers of a request to run a deployment ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from warmcell.bodies.media import JSON
from warmcell_server.tracing import parse

__all__ = ["NOTHING", "Asked", "asked_by", "wait_of"]

LONGEST_WAIT = 600.0
_WAIT = re.compile(r"wait\s*=\s*\"?(\d+)\"?", re.IGNORECASE)


class Asked(msgspec.Struct, frozen=True):
    """What the headers of a request ask for. ``wait`` is in seconds."""

    detached: bool = False
    wait: float | None = None
    key: str | None = None
    traceparent: str | None = None
    accept: str | None = None
    stream: bool = False

    def traced(self, traceparent: str) -> Asked:
        """The same within a span of this server."""
        return msgspec.structs.replace(self, traceparent=traceparent)


NOTHING = Asked()


def asked_by(headers: Mapping[str, str]) -> Asked:
    """Read Prefer (RFC 7240), Idempotency-Key, Accept and traceparent (W3C Trace Context)."""
    prefer = headers.get("Prefer")
    key = headers.get("Idempotency-Key")
    trace = parse(headers.get("Traceparent"))
    accept = headers.get("Accept")
    if accept is not None and (accept == "*/*" or accept.startswith(JSON)) and "q=" not in accept:
        accept = None
    if prefer is None and key is None and trace is None and accept is None:
        return NOTHING
    wait = None
    detached = prefer is not None and "respond-async" in prefer.lower()
    if prefer is not None and detached:
        wait = wait_of(prefer)
    stream = accept is not None and "text/event-stream" in accept
    return Asked(detached, wait, key, trace, None if stream else accept, stream)


def wait_of(prefer: str) -> float | None:
    """The seconds of ``wait`` in a Prefer header (RFC 7240), at most ten minutes."""
    match = _WAIT.search(prefer)
    return min(float(match.group(1)), LONGEST_WAIT) if match else None
