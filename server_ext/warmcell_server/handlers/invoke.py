"""``POST {name}/invoke``: the path that has to be short."""

from __future__ import annotations

from tornado import web

from warmcell_server.handlers.base import Handler
from warmcell_server.invocation import JSON, Invocation, asked_by

__all__ = ["InvokeHandler", "SubmitHandler"]


class InvokeHandler(Handler):
    """Runs a deployment and answers with its outputs. Neither they nor the parameters are decoded
    here."""

    def action(self) -> str:
        return "execute"

    _invocation: Invocation | None = None

    @web.authenticated
    async def post(self, name: str) -> None:
        await self._invoke(name)

    async def _invoke(self, name: str, *, detached: bool = False) -> None:
        asked = asked_by(self.request.headers)
        self._invocation = Invocation(self.host, name, user=self.user, asked=asked)
        reply = await self._invocation.answer(self.body(), detached=detached)
        if reply.status != 200:
            self.set_status(reply.status)
        if reply.content_type is not JSON:
            self.set_header("Content-Type", reply.content_type)
        for header, value in reply.headers.items():
            self.set_header(header, value)
        self.finish(reply.body)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._invocation is not None:
            self._invocation.abandon()


class SubmitHandler(InvokeHandler):
    """``POST {name}/submit``: an invocation that does not wait, by ZenML's name."""

    @web.authenticated
    async def post(self, name: str) -> None:
        await self._invoke(name, detached=True)
