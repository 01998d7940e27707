"""``POST {name}/invoke``: the path that has to be short."""

from __future__ import annotations

from tornado import web

from warmcell_server.handlers.base import Handler
from warmcell_server.invocation import envelope, failure, success

__all__ = ["InvokeHandler"]


class InvokeHandler(Handler):
    """Runs a deployment and answers with its outputs. Neither they nor the parameters are decoded
    here."""

    def action(self) -> str:
        return "execute"

    @web.authenticated
    async def post(self, name: str) -> None:
        host = self.host
        call = envelope(self.body())
        result = await host.dispatcher.call(
            name,
            bytes(call.parameters),
            user=self.user,
            run_name=call.run_name,
            timeout=call.timeout,
        )
        if result.status != "succeeded":
            raise failure(result)
        self.finish(success(result))
