"""``GET {name}/runs/{id}/events``: what happens in a run, as Server-Sent Events (WHATWG HTML, 9.2).

Every event has an id, by which a client goes on after it lost the connection, and the last one is
always "done" or "error".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, cast

import msgspec
from tornado import iostream, web

from warmcell.errors import NotFound, UsageError
from warmcell.records import TERMINAL
from warmcell_server import following, visibility
from warmcell_server.calls import Waiting, heard
from warmcell_server.events import Happening, Subscription
from warmcell_server.handlers.base import Handler
from warmcell_server.intime import read
from warmcell_server.operations.runs import show_run
from warmcell_server.replay import Replay, rebuilt
from warmcell_server.results import failure

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["AnyEventsHandler", "EventsHandler", "StreamingHandler", "stream_run"]

CONTENT_TYPE = "text/event-stream; charset=utf-8"
KEEPALIVE_SECONDS = 15.0
RETRY_MS = 2000
FIRST_PADDING = 2048  # some clients and proxies show nothing before they have so much
PROXY_PADDING = 4096  # nor do some that are known to be there, at any time
IDLE_SECONDS = 0.1  # before what a proxy may hold back is pushed on
BEGIN_SECONDS = 0.25  # for a worker to say that it refuses the parameters
MOST_PADDING = 1 << 16
_PROXIES = ("Via", "Forwarded", "X-Forwarded-For")

_encode = msgspec.json.Encoder().encode


class StreamingHandler(Handler):
    """A handler whose answer may be a stream of events."""

    subscription: Subscription | None = None

    def on_connection_close(self) -> None:
        """The client went away: that ends its subscription and nothing else."""
        super().on_connection_close()
        if self.subscription is not None:
            self.subscription.close()

    async def follow(self, run_id: str) -> None:
        """Answer with the events of a run from the one on that the client asks for."""
        host, after = self.host, self._after()
        if following.begin(host, run_id):
            subscription = self.subscription = host.hub.subscribe(run_id, after)
            if subscription.exhausted:
                self._nothing_more()
            else:
                await _send(self, _taken(subscription))
            subscription.close()
            return
        run = await read(host.store.get_run(run_id))
        if run["status"] in TERMINAL:
            left = [event for event in rebuilt(run) if event.id > after]
            if left:
                await _send(self, _all(left))
            else:
                self._nothing_more()
        else:
            await _send(self, self._polled(run, after))

    async def _polled(self, run: dict[str, Any], after: int) -> AsyncIterator[list[Happening]]:
        """The events of a run that another process executes, from what the store gets to know."""
        replay = Replay()
        while True:
            found = list(replay.take(run))
            yield [event for event in found if event.id > after]
            if run["status"] in TERMINAL:
                return
            await following.changed(self.host.store)
            run = await asyncio.wrap_future(self.host.store.get_run(run["run_id"]))

    def _after(self) -> int:
        """The id of the last event that the client has."""
        text = self.get_query_argument("after", "") or self.request.headers.get("Last-Event-ID", "")
        if not text:
            return 0
        if not (text.isdecimal() and text.isascii() and len(text) <= 18):
            raise UsageError(
                f"'{text[:40]}' is no id of an event.", hint="Send the id of the last one you got."
            )
        return int(text)

    def _nothing_more(self) -> None:
        # 204 is what tells an EventSource to stop asking.
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()


class _EventsHandler(StreamingHandler):
    async def _check(self, run_id: str, deployment: str | None) -> None:
        """Raise NotFound for a run that is not this deployment's, or not for this caller."""
        hub = self.host.hub
        if hub.knows(run_id):
            found, user = hub.made_by(run_id)
        else:
            run = await show_run(self.host, run_id)
            found, user = run["deployment"], run.get("user")
            if (live := self.host.dispatcher.live(run_id)) is not None:
                user = live.user
        if deployment is not None and found != deployment:
            raise NotFound(f"Deployment '{deployment}' has no run '{run_id}'.")
        visibility.check(self, user, run_id)


class EventsHandler(_EventsHandler):
    """The events of a run of the deployment in the path."""

    scope = "any"
    public = True

    @web.authenticated
    async def get(self, name: str, run_id: str) -> None:
        self.host.deployments.get(name)
        await self._check(run_id, name)
        await self.follow(run_id)


class AnyEventsHandler(_EventsHandler):
    """The events of any run: ``GET api/v1/runs/{id}/events``."""

    @web.authenticated
    async def get(self, run_id: str) -> None:
        await self._check(run_id, None)
        await self.follow(run_id)


async def stream_run(handler: StreamingHandler, host: Host, call: Waiting) -> None:
    """Answer a call with the events of its run. A run whose parameters do not fit has none: then
    its error is raised."""
    subscription = handler.subscription = host.hub.subscribe(call.run_id)
    call.future.add_done_callback(heard)
    if call.pending is not None and not subscription.begun:
        await subscription.news(BEGIN_SECONDS)
    if call.future.done() and call.future.exception() is None:
        result = call.future.result()
        if result.status == "invalid":
            subscription.close()
            raise failure(result)
    handler.set_header("X-Run-Id", call.run_id)
    await _send(handler, _taken(subscription))
    subscription.close()


async def _taken(subscription: Subscription) -> AsyncIterator[list[Happening]]:
    while (events := await subscription.take(KEEPALIVE_SECONDS)) is not None:
        yield events


async def _all(events: list[Happening]) -> AsyncIterator[list[Happening]]:
    yield events


# -- writing ---------------------------------------------------------------------------------


async def _send(handler: Handler, batches: AsyncIterator[list[Happening]]) -> None:
    """Write ``batches`` as they come; an empty one is a sign of life."""
    headers = handler.request.headers
    handler.set_header("Content-Type", CONTENT_TYPE)
    handler.set_header("Cache-Control", "no-store, no-transform")
    handler.set_header("X-Accel-Buffering", "no")  # nginx's word for passing it on at once
    # Compressed, padding would be nothing, and a compressor holds back what it is given.
    cast(Any, handler)._transforms = []
    padding = _padding(handler)
    proxied = padding > 0 or any(name in headers for name in _PROXIES)
    writer = _Writer(handler, padding or (PROXY_PADDING if proxied else 0))
    try:
        await writer.write(b"retry: %d\n\n" % RETRY_MS, pad=max(padding, FIRST_PADDING))
        async for events in batches:
            data = b"".join(_format(event) for event in _shown(handler, events))
            await writer.write(data or b": still here\n\n")
        handler.finish()
    except iostream.StreamClosedError:
        raise web.Finish from None
    finally:
        writer.close()


class _Writer:
    """Writes to a client, and pushes on what a proxy in between may hold back."""

    def __init__(self, handler: Handler, padding: int) -> None:
        self._handler = handler
        self._padding = padding
        self._push: asyncio.TimerHandle | None = None

    async def write(self, data: bytes, pad: int = 0) -> None:
        self.close()
        if pad:
            data = _comment(pad) + data
        self._handler.write(data)
        await self._handler.flush()
        if self._padding:
            loop = asyncio.get_running_loop()
            self._push = loop.call_later(IDLE_SECONDS, self._pad)

    def _pad(self) -> None:
        self._push = None
        with contextlib.suppress(iostream.StreamClosedError):
            self._handler.write(_comment(self._padding))
            flushed = asyncio.ensure_future(self._handler.flush())
            flushed.add_done_callback(heard)

    def close(self) -> None:
        if self._push is not None:
            self._push.cancel()
            self._push = None


def _comment(size: int) -> bytes:
    return b":" + b" " * size + b"\n\n"


def _format(event: Happening) -> bytes:
    data = event.data
    if b"\n" in data or b"\r" in data:  # between tokens: inside of texts they are escaped
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.id, event.kind.encode(), data)


def _shown(handler: Handler, events: list[Happening]) -> Iterator[Happening]:
    """What the caller may see of events: see :mod:`warmcell_server.visibility`."""
    for event in events:
        if handler.sees_all:
            yield event
        elif event.kind == "step":
            body = msgspec.json.decode(event.data)
            body.pop("upstream", None)
            yield event._replace(data=_encode(body))
        elif event.kind != "log":
            yield event


def _padding(handler: Handler) -> int:
    text = handler.get_query_argument("padding", "")
    if not text:
        return 0
    if not (text.isdecimal() and text.isascii() and len(text) <= 6 and int(text) <= MOST_PADDING):
        raise UsageError(
            f"'padding' is a number of bytes up to {MOST_PADDING}, not '{text[:40]}'.",
            hint="Say how much a proxy in between buffers.",
        )
    return int(text)
