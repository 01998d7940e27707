"""What code of a deployment's author sees of requests, and what it may say in its answers, on an
origin that is not its own."""

from __future__ import annotations

from collections.abc import Mapping

from warmcell.errors import EndpointError

__all__ = ["SANDBOX", "check_headers", "shown_headers"]

SANDBOX = "sandbox allow-scripts allow-forms"
"""The policy of pages that are not ours: an origin of their own, and no login."""

# Headers by which an answer would act for the whole origin, or leave its sandbox.
_OWNING = frozenset(
    {
        "accept-ch",
        "alt-svc",
        "clear-site-data",
        "content-security-policy",
        "content-security-policy-report-only",
        "cross-origin-resource-policy",
        "nel",
        "refresh",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "set-cookie",
        "set-login",
        "strict-transport-security",
        "www-authenticate",
        "x-content-type-options",
    }
)

_CREDENTIALS = frozenset(
    {"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Xsrftoken"}
)


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request, by names as Tornado writes them, without credentials."""
    return {name: value for name, value in headers.items() if name not in _CREDENTIALS}


def check_headers(headers: Mapping[str, str], who: str, *, trusted: bool) -> None:
    """Raise :class:`EndpointError` for a header that only a trusted deployment may set; ``who``
    begins the message."""
    for name in headers:
        lower = name.lower()
        if not trusted and (lower in _OWNING or lower.startswith("access-control-")):
            raise EndpointError(
                f"{who} sets the header {name}, by which it would act for the whole server.",
                hint="Leave it to the settings (cors, secure_headers), or set trusted=True.",
            )
