"""``POST {name}/invoke``: the path that has to be short."""

from __future__ import annotations

from tornado import web

from warmcell_server.handlers.base import Handler
from warmcell_server.invocation import invoke

__all__ = ["InvokeHandler"]


class InvokeHandler(Handler):
    """Runs a deployment and answers with its outputs. Neither they nor the parameters are decoded
    here."""

    def action(self) -> str:
        return "execute"

    @web.authenticated
    async def post(self, name: str) -> None:
        self.finish(await invoke(self.host, name, self.body(), user=self.user))
