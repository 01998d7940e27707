"""The handler under all others: admits, takes in the body within its limit, answers in JSON.

Who comes in is said by :meth:`Handler.action` for Jupyter's users, by ``scope`` for keys and by
``public`` for everybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

import msgspec
from tornado import web

from warmcell.errors import Unauthenticated, Unavailable, WarmcellError
from warmcell_server import access, problems
from warmcell_server.handlers.body import BodyHandler
from warmcell_server.handlers.guarded import GuardedHandler

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Handler"]

START_SECONDS = 20.0
CALL_START_SECONDS = 2.0  # for a call, whose deadline is not known before its body is there
_HOSTS_KEPT = 16

_INTERNAL = "The server failed; its log has the cause."
_encode = msgspec.json.Encoder().encode


class Handler(BodyHandler, GuardedHandler):
    """A request to Warmcell. Errors are problem+json."""

    waited = 0.0  # seconds from its arrival until it was let in
    _began = 0.0  # of the monotonic clock

    @property
    def host(self) -> Host:
        """The host. Raises :class:`Unavailable` until it has started, or when it could not."""
        found = self.settings.get("warmcell")
        if found is None:
            raise Unavailable(self.settings.get("warmcell_reason") or "Warmcell is starting.")
        return cast("Host", found)

    def action(self) -> str:
        """What the request does, in the authorizer's words: "read", "write" or "execute"."""
        return "read" if self.request.method in ("GET", "HEAD") else "write"

    @property
    def tracks_activity(self) -> bool:
        """Whether the request counts as a person's or a program's use of the server."""
        return True

    # -- before the method -------------------------------------------------------------------

    def prepare(self) -> Awaitable[None] | None:  # type: ignore[override]
        try:
            entering = access.enter(self, self.action())
            if entering is None:
                self.check_body()
        except (WarmcellError, web.HTTPError) as error:
            return self.refuse(error)
        if entering is not None or self.settings.get("warmcell") is None:
            return self._enter(entering)
        self.set_headers_of_deployment()
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
        self._began = time.monotonic()
        try:
            if entering is not None:
                await entering
                self.check_body()
        except (WarmcellError, web.HTTPError) as error:
            await self.refuse(error)
        await self.started()
        self.set_headers_of_deployment()
        self.waited = time.monotonic() - self._began

    async def started(self) -> None:
        """Wait for the host: the server listens before the host has opened its store."""
        starting: asyncio.Event | None = self.settings.get("warmcell_starting")
        if starting is not None:
            seconds = CALL_START_SECONDS if self.action() == "execute" else START_SECONDS
            left = max(0.0, self._began + seconds - time.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(starting.wait(), left)

    def check_body(self) -> None:
        self.check_offered()
        super().check_body()

    # -- in the method -----------------------------------------------------------------------

    def answer(self, payload: object, status: int = 200) -> None:
        """Finish with finished JSON (bytes) or with something that JSON can hold."""
        if status != 200:
            self.set_status(status)
        if status == 204:
            self.finish()
        else:
            self.finish(payload if isinstance(payload, bytes) else _encode(payload))

    def finish_with(self, body: bytes) -> None:
        """Finish with ``body``, unless the status is one without."""
        if self.get_status() in (204, 304):
            self.clear_header("Content-Type")
            self.finish()
        else:
            self.finish(body)

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
        self.set_headers_of_deployment()
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
