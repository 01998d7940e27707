"""``api/v1/…``: the control plane over HTTP."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from tornado import web

from warmcell.errors import NotFound
from warmcell_server import access
from warmcell_server.handlers.base import Handler

__all__ = ["ControlHandler", "UnknownHandler"]

_TRUST = re.compile(r"api/v1/snapshots/[^/]+/[^/]+/trust")
_FOLDER = re.compile(r"api/v1/store/(export|import)")
_SECRET = re.compile(r"api/v1/deployments/[^/]+/webhook")


class ControlHandler(Handler):
    """Hands every request to the host's one table of operations."""

    def initialize(self) -> None:
        super().initialize()
        self._client_left = False
        self._waiting: asyncio.Task[tuple[int, Any]] | None = None

    def action(self) -> str:
        # Who may read the history may not therefore sign in a deployment's name.
        if _SECRET.fullmatch(self.path_args[0]):
            return "write"
        # A query goes by POST for its length; it only reads.
        return "read" if self.request.path.endswith("/api/v1/sql") else super().action()

    @property
    def _commands(self) -> bool:
        return self.path_args[0].startswith("api/v1/pipelines/")

    @property
    def tracks_activity(self) -> bool:
        # An open widget polls for changes for ever: that keeps no idle server alive.
        return not self.request.path.endswith("/changes")

    async def _handle(self, path: str) -> None:
        method = self.request.method or ""
        host = self.host
        # Any code may stand in a pipeline's module or notebook, and in a foreign snapshot; and who
        # names folders of the server's machine does there what only a kernel could.
        if self._commands or _TRUST.fullmatch(path) or _FOLDER.fullmatch(path):
            await access.check(self, self.current_user, "execute", "kernels")
        self._waiting = asyncio.ensure_future(
            host.api.handle(
                "GET" if method == "HEAD" else method,
                path,
                self.query(),
                self.body(),
                user=self.user,
                headers=self.request.headers,
            )
        )
        try:
            status, payload = await self._waiting
        except asyncio.CancelledError:
            if self._client_left:
                raise web.Finish from None
            raise
        self.answer(payload, status)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._client_left = True
        # What only reads goes on for nobody; who interrupts a command means the kernel behind it.
        idle = self.request.method in ("GET", "HEAD") or self._commands
        if self._waiting is not None and idle:
            self._waiting.cancel()

    get = head = post = put = patch = delete = web.authenticated(_handle)


class UnknownHandler(Handler):
    """Everything else below ``warmcell``: 404, to those who may ask."""

    def _unknown(self, *_: str) -> None:
        raise NotFound(f"There is no '{self.request.path}' here.")

    get = head = post = put = patch = delete = web.authenticated(_unknown)
