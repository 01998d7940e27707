"""The handler under all others: admits, takes in the body within its limit, answers in JSON."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado import iostream, web
from tornado.httputil import HTTPHeaders

from warmcell.errors import (
    BadRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
    WarmcellError,
)
from warmcell_server import access, problems

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Handler"]

BODY_LIMIT = 64 * 1024 * 1024
# A refused body is still taken in, up to here: a connection that is closed with unread data is
# reset, and the reset can overtake the answer.
DRAIN_BYTES = 256 * 1024 * 1024
DRAIN_SECONDS = 10.0
START_SECONDS = 20.0
BODY_SECONDS = 300.0  # for a body to arrive that does not come along with its headers
_AT_ONCE = 64 * 1024
_HOSTS_KEPT = 16

_JSON = "application/json"
_POLICY = "default-src 'none'; frame-ancestors 'none'"
_INTERNAL = "The server failed; its log has the cause."
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_encode = msgspec.json.Encoder().encode


@web.stream_request_body
class Handler(JupyterHandler):
    """A request to Warmcell.

    The body is streamed, so that nobody's body is read before :mod:`~warmcell_server.access` let
    its sender in and no more of it than the limit is kept. Errors are problem+json.
    """

    def initialize(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._refused = False
        self._limit: int = self.settings.get("warmcell_body_limit", BODY_LIMIT)

    @property
    def host(self) -> Host:
        """The host. Raises :class:`Unavailable` until it has started, or when it could not."""
        found = self.settings.get("warmcell")
        if found is None:
            raise Unavailable(self.settings.get("warmcell_reason") or "Warmcell is starting.")
        return cast("Host", found)

    @property
    def user(self) -> str | None:
        """The name of who asks, for the record."""
        found = self.current_user
        return found.username if found is not None else None

    def action(self) -> str:
        """What the request does, in the authorizer's words: "read", "write" or "execute"."""
        return "read" if self.request.method in ("GET", "HEAD") else "write"

    @property
    def tracks_activity(self) -> bool:
        """Whether the request counts as a person's or a program's use of the server."""
        return True

    @property
    def content_security_policy(self) -> str:
        return _POLICY

    # -- before the method -------------------------------------------------------------------

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", _JSON)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", self.content_security_policy)
        for name, value in self.settings.get("headers", {}).items():
            self.set_header(name, value)

    def prepare(self) -> Awaitable[None] | None:  # type: ignore[override]
        try:
            entering = access.enter(self, self.action())
            if entering is None:
                self._check_body()
        except (WarmcellError, web.HTTPError) as error:
            return self._refuse(error)
        if entering is not None or self.settings.get("warmcell") is None:
            return self._enter(entering)
        return None

    def check_host(self) -> bool:
        """Jupyter's check, remembered for host names that passed: it parses addresses anew."""
        host = self.request.host
        passed: set[str] = self.settings.setdefault("warmcell_hosts", set())
        if host in passed:
            return True
        allowed: bool = super().check_host()
        # Of the names that clients choose freely (remote access) only a few are worth keeping, and
        # one with "%" may be a Unix socket, which is allowed only while it exists.
        if allowed and len(passed) < _HOSTS_KEPT and "%" not in host:
            passed.add(host)
        return allowed

    async def _enter(self, entering: Awaitable[None] | None) -> None:
        try:
            if entering is not None:
                await entering
                self._check_body()
        except (WarmcellError, web.HTTPError) as error:
            await self._refuse(error)
        starting: asyncio.Event | None = self.settings.get("warmcell_starting")
        if starting is not None:  # the server listens before the host has opened its store
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(starting.wait(), START_SECONDS)

    def _check_body(self) -> None:
        """Refuse a body by its headers, before it arrives."""
        headers = self.request.headers
        length = _length(headers)
        if length > self._limit:
            raise self._too_large()
        if length > _AT_ONCE or "Transfer-Encoding" in headers:
            cast(Any, self.request.connection).set_body_timeout(BODY_SECONDS)
        if self.request.method in ("POST", "PUT", "PATCH"):
            kind = headers.get("Content-Type", _JSON)
            if kind != _JSON:
                _check_content_type(kind)
            if headers.get("Content-Encoding", "identity") != "identity":
                raise UnsupportedMedia("The body is compressed.", hint="Send it as it is.")

    async def _refuse(self, error: WarmcellError | web.HTTPError) -> None:
        """Answer at once, then take in and drop the body, as far as that is bearable."""
        headers = self.request.headers
        length = _length(headers)
        if (length == 0 and "Transfer-Encoding" not in headers) or "Expect" in headers:
            raise error
        connection = cast(Any, self.request.connection)
        connection.set_max_body_size(max(length, DRAIN_BYTES))
        self._refused = True
        self.answer_error(error)
        await self.flush()
        # Tornado reads the body once this is set, and would set it itself after this method.
        cast(Any, self)._prepared_future.set_result(None)
        with contextlib.suppress(TimeoutError, iostream.StreamClosedError):
            await asyncio.wait_for(asyncio.shield(self.request._body_future), DRAIN_SECONDS)
        raise web.Finish

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self._limit and not self._refused:
            self._chunks.append(chunk)
            return
        self._chunks.clear()
        if self._refused and self._size > DRAIN_BYTES:
            cast(Any, self.request.connection).close()

    # -- in the method -----------------------------------------------------------------------

    def body(self) -> bytes:
        """The body, complete and UTF-8.

        Raises:
            TooLarge: it came without a length and went over the limit.
            BadRequest: it is not UTF-8.
        """
        if self._size > self._limit:
            raise self._too_large()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                raise BadRequest(f"The body is not UTF-8: {error}.") from error
        return data

    def query(self) -> dict[str, str]:
        """The query, the last value of each name; without the token."""
        found = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        found.pop("token", None)
        return found

    def answer(self, payload: object, status: int = 200) -> None:
        """Finish with finished JSON (bytes) or with something that JSON can hold."""
        if status != 200:
            self.set_status(status)
        if status == 204:
            self.finish()
        else:
            self.finish(payload if isinstance(payload, bytes) else _encode(payload))

    @allow_unauthenticated
    def options(self, *_: str) -> None:
        """Answer a browser's preflight; it comes without credentials and learns nothing."""
        self.set_cors_headers()
        self.set_header("Access-Control-Allow-Methods", ", ".join((*self.methods(), "OPTIONS")))
        self.set_header(
            "Access-Control-Allow-Headers", "accept, authorization, content-type, x-xsrftoken"
        )
        self.set_status(204)

    def methods(self) -> list[str]:
        """The methods that this handler has, but for OPTIONS."""
        missing = web.RequestHandler._unimplemented_method
        return [m for m in _METHODS if getattr(type(self), m.lower()) is not missing]

    # -- after it ----------------------------------------------------------------------------

    def _handle_request_exception(self, e: BaseException) -> None:
        if not isinstance(e, WarmcellError):
            super()._handle_request_exception(e)
        elif not self._finished:
            self.answer_error(e)
            if not self._finished:
                self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer what is no error of ours, without telling its inside."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        self.answer_error(error if isinstance(error, web.HTTPError) else web.HTTPError(status_code))

    def answer_error(self, error: WarmcellError | web.HTTPError) -> None:
        """Write ``error`` as problem+json, with nothing of what was written before."""
        path = self.request.path
        if isinstance(error, web.HTTPError):
            if error.status_code == 405:
                allowed = problems.MethodNotAllowed(self.request.method or "", path, self.methods())
                found = problems.problem(allowed, instance=path)
            else:
                detail = error.get_message() if error.status_code < 500 else _INTERNAL
                found = problems.plain(error.status_code, detail, instance=path)
        else:
            found = problems.problem(error, instance=path)
        self.clear()
        if hasattr(self, "_jupyter_current_user") and "Origin" in self.request.headers:
            self.set_cors_headers()
        self.set_status(found.status)
        for name, value in found.headers.items():
            self.set_header(name, value)
        data = _encode(found.body)
        self.set_header("Content-Type", problems.CONTENT_TYPE)
        self.set_header("Content-Length", len(data))
        self.write(data)

    def get_login_url(self) -> str:
        # Reached only if a method were entered without an identity: answer, never redirect.
        raise Unauthenticated("The request carries no valid token or login.")

    def _log(self) -> None:
        # Jupyter's logger lets debug records through whatever its level, and its handlers drop
        # them: three records per request for nobody.
        if self.get_status() >= 300:
            super()._log()

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The body is larger than the limit of {self._limit} bytes.",
            hint="Send less, or raise Warmcell.body_limit in the server's configuration.",
        )


def _length(headers: HTTPHeaders) -> int:
    """The announced length of a body; 0 without one. A length that is none Tornado refuses."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else 0


def _check_content_type(kind: str) -> None:
    media, _, parameters = kind.lower().partition(";")
    media = media.strip()
    charset = parameters.partition("charset=")[2].strip(' "')
    known = media == _JSON or (media.startswith("application/") and media.endswith("+json"))
    if not known or charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMedia(
            f"The content type '{kind}' is not supported.",
            hint="Send JSON in UTF-8 and say so: -H 'Content-Type: application/json'.",
        )
