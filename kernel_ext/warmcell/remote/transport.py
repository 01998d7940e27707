"""HTTP to a host, with the standard library: the client is also used where nothing else is."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import select
import ssl
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol
from urllib.parse import urlsplit

from warmcell.errors import LinkError, WarmcellError, error_from_problem
from warmcell.remote.address import read_address

__all__ = ["Body", "Http", "Transport", "checked"]

KEPT = 8  # idle connections
SILENCE = 60.0  # seconds without a byte after which an event stream is taken for broken

Body = Mapping[str, Any] | list[Any] | bytes | None


class Transport(Protocol):
    """Something that carries calls to a host. Paths are relative to ``…/warmcell/``."""

    @property
    def url(self) -> str:
        """Address of the host; ends in ``/warmcell/``."""

    @property
    def web(self) -> bool:
        """Whether all of the HTTP surface is reached, not only the control plane."""

    def control(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """Call ``path``; returns decoded JSON, raises the error that the answer names."""

    async def acontrol(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = 30.0,
    ) -> Any:
        """:meth:`control` for an event loop."""

    def lines(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        piece: int = -1,
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Call ``path`` and read the answer line by line, for as long as the context lasts; lines
        of more than ``piece`` bytes come in pieces of so many."""

    def alines(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """:meth:`lines` for an event loop."""


class Http:
    """Calls by HTTP, with a token of the server or a key of a deployment. May be used by many
    threads at once; connections are kept open and used again.

    Args:
        url: any address of the server, or of a deployment in it.
        token: the server's token, or that of a user of it.
        key: an API key of a deployment (``wck_…``).
    """

    web = True

    def __init__(self, url: str, token: str | None = None, key: str | None = None) -> None:
        self.url, self.deployment, inline = read_address(url)
        self._credential = _credential(token or inline, key)
        self.keyed = self._credential.startswith("Bearer wck_")
        self._parts = urlsplit(self.url)
        self._proxy = _proxy(self._parts.scheme, self._parts.hostname or "")
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._pid = os.getpid()

    # -- calls ---------------------------------------------------------------------------------

    def control(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """Send one request. Raises the error that the answer names, :class:`LinkError` if none
        came within ``timeout`` seconds."""
        return _json(self.fetch(method, path, body, headers=headers, timeout=timeout)[0])

    def fetch(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> tuple[bytes, str]:
        """:meth:`control` for an answer of any kind: its bytes and their content type."""
        connection, response = self._exchange(method, path, body, headers, timeout)
        try:
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._silent(error, timeout) from error
        full = len(self._idle) >= KEPT
        if full or response.will_close or response.status >= 400:  # who refuses may also hang up
            connection.close()
        else:
            self._idle.append(connection)
        checked(self.url + path, response.status, dict(response.getheaders()), data)
        return data, response.getheader("Content-Type") or ""

    async def acontrol(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = 30.0,
    ) -> Any:
        """:meth:`control` for an event loop. Cancelling it closes the connection."""
        from warmcell.remote.asynchttp import exchange

        data, sent = self.prepare(body, headers)
        return _json(await exchange(method, self.url + path, data, sent, seconds))

    @contextlib.contextmanager
    def lines(
        self,
        method: str,
        path: str,
        body: Body = None,
        *,
        headers: Mapping[str, str] | None = None,
        piece: int = -1,
    ) -> Iterator[Iterator[bytes]]:
        """Read the answer line by line, or in pieces of longer ones. Raises :class:`LinkError` when
        the connection breaks or says nothing for a minute."""
        connection, response = self._exchange(method, path, body, headers, SILENCE)
        try:
            if response.status >= 300:
                data = response.read()
                checked(self.url + path, response.status, dict(response.getheaders()), data)
            yield self._read(response, piece)
        finally:
            connection.close()

    def alines(
        self, method: str, path: str, body: Body = None, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """:meth:`lines` for an event loop."""
        from warmcell.remote.asynchttp import lines

        data, sent = self.prepare(body, headers)
        return lines(method, self.url + path, data, sent, SILENCE)

    # -- the exchange --------------------------------------------------------------------------

    def prepare(
        self, body: Body, headers: Mapping[str, str] | None
    ) -> tuple[bytes | None, dict[str, str]]:
        """The bytes of a body, and all headers of its request."""
        sent = {"Accept": "application/json"}
        if self._credential:
            sent["Authorization"] = self._credential
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        return data, sent | dict(headers or {})

    def _exchange(
        self,
        method: str,
        path: str,
        body: Body,
        headers: Mapping[str, str] | None,
        timeout: float,
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        data, sent = self.prepare(body, headers)
        target = self._parts.path + path
        if self._proxy is not None and self._parts.scheme == "http":
            target = self.url + path
            sent |= self._proxy[2]
        again = method != "POST" or "Idempotency-Key" in sent  # to do twice is to do once
        while True:
            connection = self._connection(timeout)
            kept = connection.sock is not None
            try:
                connection.request(method, target, data, sent)
                return connection, connection.getresponse()
            except (ConnectionError, http.client.HTTPException) as error:
                connection.close()
                if not (kept and again):  # else the server closed it in the same moment
                    raise self._silent(error, timeout) from error
            except OSError as error:
                connection.close()
                raise self._silent(error, timeout) from error
            except BaseException:
                connection.close()
                raise

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        """A connection that is open still, or a new one."""
        if self._pid != os.getpid():  # a child must not talk on its parent's connections
            self._idle, self._pid = deque(), os.getpid()
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread took the last
                kept = self._idle.pop()
                if kept.sock is not None and not select.select([kept.sock], [], [], 0)[0]:
                    kept.sock.settimeout(timeout)
                    return kept
                kept.close()
        parts = self._parts
        host, port = parts.hostname or "", parts.port
        via = self._proxy
        if parts.scheme == "http":
            where = (host, port) if via is None else via[:2]
            return http.client.HTTPConnection(where[0], where[1], timeout=timeout)
        context = ssl.create_default_context()
        if via is None:
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        made = http.client.HTTPSConnection(via[0], via[1], timeout=timeout, context=context)
        made.set_tunnel(host, port or 443, via[2])
        return made

    def _read(self, response: http.client.HTTPResponse, piece: int) -> Iterator[bytes]:
        try:
            while line := response.readline(piece):
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(error, SILENCE) from error

    def _silent(self, error: BaseException, timeout: float) -> LinkError:
        """The error for an answer that did not come."""
        if isinstance(error, TimeoutError):
            return LinkError(f"No answer from {self.url} within {timeout:g} s.")
        return LinkError(f"No answer from {self.url}: {error}.")

    def close(self) -> None:
        """Close the connections that are kept for later calls. Harmless when repeated; a later
        call opens another."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        if hasattr(self, "_idle") and self._pid == os.getpid():
            self.close()

    def __repr__(self) -> str:
        return f"<http to {self.url}>"


def checked(url: str, status: int, headers: Mapping[str, str], data: bytes) -> None:
    """Raise the error that an answer stands for, if it does for one."""
    if status < 300:
        return
    if status < 400:
        place = {name.lower(): value for name, value in headers.items()}.get("location", "?")
        raise LinkError(
            f"{url} sends its callers on to {place}.",
            hint="Give the server's final address, and a token or key that it accepts.",
        )
    found = _json(data)
    error: WarmcellError = error_from_problem(status, found)
    raise error


def _credential(token: str | None, key: str | None) -> str:
    if key or (token and token.startswith("wck_")):
        return f"Bearer {key or token}"
    return f"token {token}" if token else ""


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


def _proxy(scheme: str, host: str) -> tuple[str, int | None, dict[str, str]] | None:
    """Host, port and headers of the proxy that the environment names for ``host``; never one for
    this machine."""
    if host in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies().get(scheme)
    if not found:
        return None
    parts = urlsplit(found if "//" in found else f"http://{found}")
    headers = {}
    if parts.username:
        word = base64.b64encode(f"{parts.username}:{parts.password or ''}".encode()).decode()
        headers["Proxy-Authorization"] = f"Basic {word}"
    return parts.hostname or "", parts.port, headers
