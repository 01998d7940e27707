"""``POST {name}/invoke``: the path that has to be short."""

from __future__ import annotations

from tornado import web

from warmcell.bodies.media import JSON
from warmcell_server import tracing
from warmcell_server.asked import Asked, asked_by
from warmcell_server.handlers.events import StreamingHandler, stream_run
from warmcell_server.invocation import Invocation, Reply
from warmcell_server.payload import Payload
from warmcell_server.timing import server_timing

__all__ = ["InvokeHandler", "SubmitHandler"]


class InvokeHandler(StreamingHandler):
    """Runs a deployment and answers with its outputs. Neither they nor the parameters are decoded
    here."""

    scope = "invoke"
    public = True
    takes_media = True
    offered_as = "invoke"
    _invocation: Invocation | None = None
    _span: tracing.Request | None = None

    def action(self) -> str:
        return "execute"

    @web.authenticated
    async def post(self, name: str) -> None:
        await self.invoke(name)

    async def invoke(self, name: str, *, detached: bool = False) -> None:
        """Run the deployment ``name`` as the request says."""
        headers = self.request.headers
        asked = asked_by(headers)
        self._span = tracing.begin(name, "POST", self.request.path, headers)
        if self._span is not None:
            asked = asked.traced(self._span.traceparent)
        invocation = Invocation(
            self.host, name, user=self.user, asked=asked, headers=headers, waited=self.waited
        )
        self._invocation = invocation
        payload = await self.payload()
        if asked.stream and not detached:
            await self._stream(invocation, payload)
        else:
            self._answer(await invocation.answer(payload, detached=detached), asked)

    def _answer(self, reply: Reply, asked: Asked) -> None:
        if reply.status != 200:
            self.set_status(reply.status)
        if reply.content_type is not JSON:
            self.set_header("Content-Type", reply.content_type)
        for header, value in reply.headers.items():
            self.set_header(header, value)
        if (result := reply.result) is not None and result.steps:
            self.set_header("Server-Timing", server_timing(result.queued, result.steps))
        self.finish_with(reply.body)

    async def _stream(self, invocation: Invocation, payload: Payload) -> None:
        begun = await invocation.start(payload)
        if isinstance(begun, str):
            self.set_header("X-Run-Id", begun)
            self.set_header("Idempotency-Replayed", "true")
            await self.follow(begun)
        else:
            await stream_run(self, self.host, begun)

    def on_finish(self) -> None:
        super().on_finish()
        if self._span is not None:
            run_id = None if self._invocation is None else self._invocation.run_id
            self._span.end(self.get_status(), run_id)

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._invocation is not None:
            self._invocation.abandon()


class SubmitHandler(InvokeHandler):
    """``POST {name}/submit``: an invocation that does not wait, by ZenML's name."""

    offered_as = "submit"

    @web.authenticated
    async def post(self, name: str) -> None:
        await self.invoke(name, detached=True)
