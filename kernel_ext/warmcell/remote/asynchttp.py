"""HTTP for an event loop: one connection per call, closed at once when its caller gives up.

Made of Tornado's connections instead of its client, whose requests cannot be cancelled: an event
stream that nobody reads any more would stay open, and so would a call whose caller is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient

from warmcell.errors import LinkError, WarmcellError

__all__ = ["exchange", "lines"]

CONNECT_SECONDS = 20.0
LARGEST = 1 << 30
AHEAD = 64  # pieces of an answer that may wait for their reader


class _Answer(HTTPMessageDelegate):
    """Takes in an answer. Pieces of its body wait in a queue; None is its end."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.headers: dict[str, str] = {}
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(AHEAD)
        self.complete = False
        self.abandoned = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        assert isinstance(start_line, ResponseStartLine)
        self.headers = dict(headers)
        if start_line.code >= 200 and not self.status.done():
            self.status.set_result(start_line.code)

    async def data_received(self, chunk: bytes) -> None:
        if not self.abandoned:
            await self.pieces.put(chunk)

    def finish(self) -> None:
        self.complete = True

    def on_connection_close(self) -> None:
        pass  # the end of read_response tells

    def abandon(self) -> None:
        """Nobody reads on: let go of what waits, and of who waits to add to it."""
        self.abandoned = True
        while not self.pieces.empty():
            self.pieces.get_nowait()


@contextlib.asynccontextmanager
async def _open(
    method: str, url: str, data: bytes | None, headers: Mapping[str, str], seconds: float
) -> AsyncIterator[_Answer]:
    parts = urlsplit(url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    try:
        stream = await TCPClient().connect(
            parts.hostname or "",
            port,
            ssl_options=secure,
            max_buffer_size=LARGEST,
            timeout=CONNECT_SECONDS,
        )
    except (OSError, TimeoutError) as error:
        raise LinkError(f"No answer from {url}: {error}.") from error
    answer = _Answer()
    parameters = HTTP1ConnectionParameters(
        no_keep_alive=True, max_body_size=LARGEST, body_timeout=None
    )
    connection = HTTP1Connection(stream, True, parameters)
    sent = HTTPHeaders({"Host": parts.netloc.rpartition("@")[2], "Connection": "close", **headers})
    if data is not None or method in ("POST", "PUT", "PATCH"):
        sent["Content-Length"] = str(len(data or b""))
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    reading: asyncio.Task[None] | None = None
    try:
        await connection.write_headers(RequestStartLine(method, target, ""), sent, data or b"")
        connection.finish()
        reading = asyncio.ensure_future(_read(connection, answer))
        async with asyncio.timeout(seconds):
            await asyncio.shield(answer.status)
        yield answer
    except WarmcellError:
        raise
    except TimeoutError as error:
        raise LinkError(f"No answer from {url} within {seconds:g} s.") from error
    except (OSError, StreamClosedError) as error:
        raise LinkError(f"The connection to {url} broke: {error}.") from error
    finally:
        answer.abandon()
        stream.close()
        if reading is not None:
            await reading


async def _read(connection: HTTP1Connection, answer: _Answer) -> None:
    error: BaseException | None = None
    try:
        await connection.read_response(answer)
    except (OSError, StreamClosedError) as failure:
        error = failure
    if not answer.status.done() and not answer.abandoned:
        answer.status.set_exception(error or ConnectionError("it closed the connection"))
    await answer.pieces.put(None)


async def exchange(
    method: str, url: str, data: bytes | None, headers: Mapping[str, str], seconds: float
) -> bytes:
    """Send one request and return the body of its answer.

    Raises the error that the answer names; :class:`LinkError` if none came in time.
    """
    from warmcell.remote.transport import checked

    async with _open(method, url, data, headers, seconds) as answer:
        body = await _rest(url, answer, seconds)
        checked(url, answer.status.result(), answer.headers, body)
        return body


async def _rest(url: str, answer: _Answer, seconds: float) -> bytes:
    pieces = []
    async with asyncio.timeout(seconds):
        while (piece := await answer.pieces.get()) is not None:
            pieces.append(piece)
    if not answer.complete:
        raise LinkError(f"The connection to {url} broke within the answer.")
    return b"".join(pieces)


@contextlib.asynccontextmanager
async def lines(
    method: str, url: str, data: bytes | None, headers: Mapping[str, str], silence: float
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read an answer line by line for as long as the context lasts.

    Raises :class:`LinkError` when the connection breaks or says nothing for ``silence`` seconds.
    """
    from warmcell.remote.transport import checked

    async with _open(method, url, data, headers, silence) as answer:
        if answer.status.result() >= 300:
            body = await _rest(url, answer, silence)
            checked(url, answer.status.result(), answer.headers, body)
        yield _lines(url, answer, silence)


async def _lines(url: str, answer: _Answer, silence: float) -> AsyncIterator[bytes]:
    rest = b""
    while True:
        async with asyncio.timeout(silence):
            piece = await answer.pieces.get()
        if piece is None:
            break
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest
    if not answer.complete:
        raise LinkError(f"The connection to {url} broke.")
