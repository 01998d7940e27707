"""Addresses: what people paste, read as the place of a host, and of a deployment in it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from warmcell.errors import LinkError

__all__ = ["Address", "read_address"]

_PAGES = ("/lab", "/tree", "/notebooks", "/edit", "/doc")


class Address(NamedTuple):
    """Where a host is. ``url`` ends in ``/warmcell/``; ``deployment`` is the one that the address
    names, ``token`` what stood in its query."""

    url: str
    deployment: str | None = None
    token: str | None = None


def read_address(text: str) -> Address:
    """Read the address of a server, of a page of it, of ``…/warmcell/`` or of a deployment.

    Raises :class:`LinkError` for what is none.
    """
    parts = urlsplit(text)
    try:
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        port_fits = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise LinkError(f"{text!r} is not an address of a server.", hint="It begins with http.")
    token = parse_qs(parts.query).get("token", [None])[0]
    path, deployment = parts.path.rstrip("/"), None
    base, found, below = path.rpartition("/warmcell/")
    if found:
        path, name = base + "/warmcell", below.partition("/")[0]
        deployment = unquote(name) if name != "api" else None
    elif not path.endswith("/warmcell"):
        for page in _PAGES:
            before, found, after = path.partition(page)
            if found and (not after or after.startswith("/")):
                path = before
        path += "/warmcell"
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path + "/", "", ""))
    return Address(url, deployment, token)
