"""HTTP to a host, with the standard library: the client is also used where nothing else is."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Protocol

from warmcell.errors import LinkError, error_from_problem

__all__ = ["Http", "Transport", "discover"]


class Transport(Protocol):
    """Something that carries calls to a host, as :func:`warmcell.link.control` does."""

    url: str

    def control(
        self, method: str, path: str, body: object | None = None, *, timeout: float = 30.0
    ) -> Any:
        """Call ``path``, relative to ``…/warmcell/``; returns decoded JSON, raises our errors."""


class Http:
    """Calls by HTTP with a token. ``url`` ends in ``/warmcell/``."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise LinkError(f"{url!r} is not an address of a server.", hint="It begins with http.")
        inline = urllib.parse.parse_qs(parts.query).get("token", [None])[0]
        path = parts.path.rstrip("/")
        for page in ("/lab", "/tree", "/notebooks"):
            path = path.removesuffix(page)
        if not path.endswith("/warmcell"):
            path += "/warmcell"
        self.url = urllib.parse.urlunsplit((parts.scheme, parts.netloc, path + "/", "", ""))
        self._token = token or inline
        # no proxy for a server of this machine, whatever the environment says
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        handlers = [urllib.request.ProxyHandler({})] if local else []
        self._opener = urllib.request.build_opener(*handlers)

    def control(
        self, method: str, path: str, body: object | None = None, *, timeout: float = 30.0
    ) -> Any:
        """Send one request. Raises the error that the answer names, :class:`LinkError` if none
        came within ``timeout`` seconds."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)  # noqa: S310
        request.add_header("Accept", "application/json")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"token {self._token}")
        try:
            with self._opener.open(request, timeout=timeout) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise error_from_problem(error.code, _json(error.read())) from None
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            raise LinkError(f"No answer from {self.url}: {reason}.") from error
        return _json(answer)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


def discover(token: str | None = None) -> Http:
    """Find the one running Jupyter server of this user that has Warmcell.

    Raises :class:`LinkError` naming what to set if there is none, or several.
    """
    from jupyter_server.serverapp import list_running_servers

    found: list[Http] = []
    for server in list_running_servers():
        candidate = Http(server["url"], token or server["token"])
        try:
            candidate.control("GET", "api/v1/status", timeout=5.0)
        except (LinkError, LookupError):
            continue
        found.append(candidate)
    if len(found) == 1:
        return found[0]
    if not found:
        raise LinkError(
            "No running Jupyter server with Warmcell was found.",
            hint="Pass Client(url=..., token=...) or set WARMCELL_URL and WARMCELL_TOKEN.",
        )
    urls = ", ".join(server.url for server in found)
    raise LinkError(f"Several servers run: {urls}.", hint="Pass Client(url=...) of one of them.")
