"""Headers that protect answers, and those that let pages of other origins read them (CORS)."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache

from warmcell_server.settings import Cors, SecureHeaders

__all__ = ["ALWAYS", "EXPOSED", "allowed_origin", "preflight", "secure"]

# On every answer, whatever a deployment's settings say of it later.
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# What a script of another origin may read beside the body.
EXPOSED = (
    "Content-Disposition, Idempotency-Replayed, Location, Preference-Applied, Retry-After, "
    "Server-Timing, Traceparent, WWW-Authenticate, X-Run-Id"
)
_NAMES = {
    "server": "Server",
    "hsts": "Strict-Transport-Security",
    "xfo": "X-Frame-Options",
    "content": "X-Content-Type-Options",
    "csp": "Content-Security-Policy",
    "referrer": "Referrer-Policy",
    "cache": "Cache-Control",
    "permissions": "Permissions-Policy",
}
_OURS = {"Server": "Warmcell", "Strict-Transport-Security": "max-age=63072000"}
_LIST = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_PREFLIGHT_SECONDS = "600"


@lru_cache(maxsize=256)
def secure(settings: SecureHeaders) -> tuple[tuple[str, str | None], ...]:
    """What a deployment's settings change in the headers of its answers: names and values, None
    for a header to omit. Nothing for the default settings."""
    changed: list[tuple[str, str | None]] = []
    default = SecureHeaders()
    for field, name in _NAMES.items():
        value = getattr(settings, field)
        if isinstance(value, str):
            changed.append((name, value))
        elif value is not getattr(default, field):
            changed.append((name, _OURS[name] if value else None))
    return tuple(changed)


def allowed_origin(cors: Cors, origin: str | None, method: str) -> str | None:
    """What to allow a page of ``origin`` that made a request: the value of
    ``Access-Control-Allow-Origin``, or None for nothing."""
    if origin is None or not cors.allow_origins:
        return None
    if "*" not in cors.allow_methods and method not in cors.allow_methods:
        return None
    if "*" in cors.allow_origins:
        return "*"
    return origin if origin in cors.allow_origins else None


def preflight(cors: Cors, methods: Collection[str], asked: str | None) -> dict[str, str]:
    """The headers of an answer to a preflight of an allowed origin.

    ``methods`` are what the route has, ``asked`` the headers that the page wants to send: with
    "*" they are named one by one, for a "*" in the answer does not cover ``Authorization``.
    """
    allowed = [m for m in methods if "*" in cors.allow_methods or m in cors.allow_methods]
    headers = ", ".join(cors.allow_headers)
    if "*" in cors.allow_headers:
        headers = asked if asked and _LIST.fullmatch(asked) else ""
    found = {
        "Access-Control-Allow-Methods": ", ".join((*allowed, "OPTIONS")),
        "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
    }
    return {**found, "Access-Control-Allow-Headers": headers} if headers else found
