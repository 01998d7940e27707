"""The events of a run as its caller reads them: one by one, through broken connections."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

from warmcell.errors import LinkError, Unavailable, WarmcellError, error_from_problem
from warmcell.remote.calling import Request
from warmcell.remote.transport import Transport

__all__ = ["AsyncEvents", "Events", "RunEvent"]

TRIES = 8  # to find the stream again, in a row
LONGEST_PAUSE = 5.0
TERMINAL = ("done", "error")
ACCEPT = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}


@dataclasses.dataclass(frozen=True)
class RunEvent:
    """Something that happened in a run.

    ``kind`` is "run" (its state), "step", "progress", "log", "output" (what a generator step
    yielded, as ``data["value"]``), and at the end "done" or "error". ``id`` grows within a run.
    """

    kind: str
    data: dict[str, Any]
    id: int | None = None


class _Parser:
    """Server-Sent Events, line by line."""

    def __init__(self) -> None:
        self.lines = 0
        self._kind = ""
        self._data: list[str] = []
        self._id: int | None = None

    def feed(self, line: bytes) -> RunEvent | None:
        """Take one line; returns the event that it completes."""
        self.lines += 1
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            return self._complete()
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and value.isdecimal():
            self._id = int(value)
        return None

    def _complete(self) -> RunEvent | None:
        kind, data = self._kind or "message", "\n".join(self._data)
        self._kind, self._data = "", []
        if not data:
            return None
        try:
            decoded = json.loads(data)
        except ValueError:
            decoded = data
        return RunEvent(
            kind, decoded if isinstance(decoded, dict) else {"value": decoded}, self._id
        )


class _Stream:
    """What the two forms share: where in the stream its reader is."""

    def __init__(
        self,
        transport: Transport,
        first: Request,
        path: Callable[[str], str],
        *,
        run_id: str | None = None,
        after: int | None = None,
        raises: bool = True,
    ) -> None:
        self.run_id = run_id
        self.outputs: dict[str, Any] | None = None
        self._transport = transport
        self._request = first
        self._path = path
        self._raises = raises
        self._last = after
        self._failures = 0
        self._pause = 0.0
        self._ended = False

    def _take(self, event: RunEvent) -> None:
        """Note where the reader is. Raises the error of a run that did not succeed."""
        self._failures = 0
        if event.id is not None:
            self._last = event.id
        self.run_id = self.run_id or event.data.get("run_id")
        self._ended = event.kind in TERMINAL
        if event.kind == "done":
            self.outputs = event.data.get("outputs")
        elif event.kind == "error" and self._raises:
            raise error_from_problem(int(event.data.get("status") or 500), event.data)

    def _again(self, error: WarmcellError) -> None:
        """The connection broke: the run goes on in the server, so go on reading where it was.
        Raises ``error`` when that has no prospect."""
        self._failures += 1
        if self._ended or self.run_id is None or self._failures > TRIES:
            raise error
        self._pause = min(0.05 * 2**self._failures, LONGEST_PAUSE)
        headers = dict(ACCEPT)
        if self._last is not None:
            headers["Last-Event-ID"] = str(self._last)
        self._request = Request("GET", self._path(self.run_id), headers=headers)


class Events(_Stream, Iterator[RunEvent]):
    """Iterates over the events of a run, to its end, and raises the error of a run that failed.

    ``run_id`` is known from the first event on, ``outputs`` after the last. A broken connection
    is made again, and nothing is missed. Close it (or use it in ``with``) to stop early.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._events = self._follow()

    def __iter__(self) -> Events:
        return self

    def __next__(self) -> RunEvent:
        return next(self._events)

    def close(self) -> None:
        """Stop reading; the run goes on."""
        self._events.close()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(self) -> Generator[RunEvent, None, None]:
        while True:
            request, parser = self._request, _Parser()
            try:
                with self._transport.lines(
                    request.method, request.path, request.body, headers=request.headers
                ) as lines:
                    for line in lines:
                        if (event := parser.feed(line)) is not None:
                            self._take(event)
                            yield event
                            if event.kind in TERMINAL:
                                return
                if not parser.lines and self._last is not None:
                    return  # the run has ended, and all was read
                self._again(LinkError("The event stream ended before the run did."))
            except (LinkError, Unavailable) as error:
                self._again(error)
            time.sleep(self._pause)


class AsyncEvents(_Stream, AsyncIterator[RunEvent]):
    """:class:`Events` for an event loop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._events = self._follow()

    def __aiter__(self) -> AsyncEvents:
        return self

    async def __anext__(self) -> RunEvent:
        return await anext(self._events)

    async def aclose(self) -> None:
        """Stop reading; the run goes on."""
        await self._events.aclose()

    async def __aenter__(self) -> AsyncEvents:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _follow(self) -> AsyncGenerator[RunEvent, None]:
        while True:
            request, parser = self._request, _Parser()
            try:
                async with self._transport.alines(
                    request.method, request.path, request.body, headers=request.headers
                ) as lines:
                    async for line in lines:
                        if (event := parser.feed(line)) is not None:
                            self._take(event)
                            yield event
                            if event.kind in TERMINAL:
                                return
                if not parser.lines and self._last is not None:
                    return  # the run has ended, and all was read
                self._again(LinkError("The event stream ended before the run did."))
            except (LinkError, Unavailable) as error:
                self._again(error)
            await asyncio.sleep(self._pause)
