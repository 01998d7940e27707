"""The body of a request: taken in within its limit, in memory or, where it is large, in a file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.base.handlers import JupyterHandler
from tornado import iostream, web
from tornado.httputil import HTTPHeaders

from warmcell.bodies import media
from warmcell.errors import BadRequest, TooLarge, UnsupportedMedia, WarmcellError
from warmcell_server.payload import Payload
from warmcell_server.uploads import Upload

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["BODY_LIMIT", "UPLOAD_LIMIT", "BodyHandler", "Payload"]

BODY_LIMIT = 64 * 1024 * 1024
UPLOAD_LIMIT = 2 * 1024 * 1024 * 1024
IN_MEMORY = 1024 * 1024  # bytes of a body of another type than JSON; larger ones go to a file
# A refused body is still taken in, up to here: a connection that is closed with unread data is
# reset, and the reset can overtake the answer.
DRAIN_BYTES = 256 * 1024 * 1024
DRAIN_SECONDS = 10.0
BODY_SECONDS = 300.0  # for a body to arrive that does not come along with its headers
UPLOAD_SECONDS = 3600.0
_AT_ONCE = 64 * 1024
_JSON = "application/json"


@web.stream_request_body
class BodyHandler(JupyterHandler):
    """Takes in bodies as they arrive.

    The body is streamed, so that nobody's body is read before :mod:`~warmcell_server.access` let
    its sender in and no more of it than the limit is kept.
    """

    takes_media = False
    """Whether other types than JSON are taken; :meth:`payload` has them then."""

    def initialize(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._held = 0
        self._refused = False
        self._limit: int = self.settings.get("warmcell_body_limit", BODY_LIMIT)
        self._media: str | None = None
        self._upload: Upload | None = None
        self._failure: WarmcellError | None = None
        self._payload: Payload | None = None

    if TYPE_CHECKING:

        def answer_error(self, error: WarmcellError | web.HTTPError) -> None: ...

        @property
        def host(self) -> Host: ...

    def check_body(self) -> None:
        """Refuse a body by its headers, before it arrives."""
        headers = self.request.headers
        length = _length(headers)
        if self.request.method in ("POST", "PUT", "PATCH"):
            kind = headers.get("Content-Type", _JSON)
            if kind != _JSON and not media.is_json(kind):
                self._expect_media(kind)
            if headers.get("Content-Encoding", "identity") != "identity":
                raise UnsupportedMedia("The body is compressed.", hint="Send it as it is.")
        if length > self._limit:
            raise self._too_large()
        if length > _AT_ONCE or "Transfer-Encoding" in headers:
            seconds = BODY_SECONDS if self._media is None else UPLOAD_SECONDS
            cast(Any, self.request.connection).set_body_timeout(seconds)

    def _expect_media(self, kind: str) -> None:
        if not self.takes_media or not media.is_known(kind):
            known = ", ".join(media.KNOWN)
            raise UnsupportedMedia(
                f"The content type '{kind}' is not supported.",
                hint=f"Known here: {known}."
                if self.takes_media
                else "Send JSON in UTF-8 and say so: -H 'Content-Type: application/json'.",
            )
        self._media = kind
        self._limit = self.settings.get("warmcell_upload_limit", UPLOAD_LIMIT)
        # Beyond this Tornado closes the connection without an answer.
        cast(Any, self.request.connection).set_max_body_size(self._limit + DRAIN_BYTES)

    async def refuse(self, error: WarmcellError | web.HTTPError) -> None:
        """Answer at once, then take in and drop the body, as far as that is bearable."""
        headers = self.request.headers
        length = _length(headers)
        if "Expect" in headers:
            raise error
        if length == 0 and "Transfer-Encoding" not in headers:
            # An answer from before Tornado is through with the request ends the connection.
            cast(Any, self)._prepared_future.set_result(None)
            with contextlib.suppress(iostream.StreamClosedError):
                await self.request._body_future
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

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._size += len(chunk)
        if self._size <= self._limit and not self._refused and self._failure is None:
            self._chunks.append(chunk)
            if self._media is not None:
                self._held += len(chunk)
                if self._held > IN_MEMORY:
                    return self._spill()
            return None
        self._chunks.clear()
        if self._refused and self._size > DRAIN_BYTES:
            cast(Any, self.request.connection).close()
        return None

    async def _spill(self) -> None:
        """Write what came so far to the file. The next piece is not read before this is done."""
        chunks, self._chunks, self._held = self._chunks, [], 0
        try:
            if self._upload is None:
                hashed = "Idempotency-Key" in self.request.headers
                self._upload = self.host.uploads.create(hashed=hashed)
            await self._upload.write(chunks)
        except WarmcellError as error:
            self._failure = error  # told once the rest has arrived
            self._drop()

    # -- in the method -----------------------------------------------------------------------

    def body(self) -> bytes:
        """The body, complete and UTF-8.

        Raises:
            TooLarge: it came without a length and went over the limit.
            BadRequest: it is not UTF-8.
        """
        data = self._whole()
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                raise BadRequest(f"The body is not UTF-8: {error}.") from error
        return data

    async def payload(self) -> Payload:
        """The body of whatever type, with the query. To be called once.

        Raises what :meth:`body` raises, and :class:`StoreFull` where a large one found no room.
        """
        query = self.query() if self.request.query else None
        if self._media is None:
            data = self.body()
            array = data[:1] == b"[" or (data[:1].isspace() and data.lstrip()[:1] == b"[")
            return Payload(data, _JSON if array else None, query=query)
        upload = self._upload
        if self._size > self._limit:
            raise self._too_large()
        if self._failure is not None:
            raise self._failure
        if upload is None:
            return Payload(self._whole(), self._media, query=query)
        if self._chunks:
            await self._spill()
            if self._failure is not None:
                raise self._failure
        upload.close()
        self._payload = Payload(
            b"", self._media, str(upload.path), query, upload.digest, upload=upload
        )
        return self._payload

    def query(self) -> dict[str, str]:
        """The query, the last value of each name; without the token."""
        found = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        found.pop("token", None)
        return found

    def _whole(self) -> bytes:
        if self._size > self._limit:
            raise self._too_large()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    # -- after it ----------------------------------------------------------------------------

    def on_finish(self) -> None:
        super().on_finish()
        if self._upload is not None:
            self._drop()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._upload is not None:
            self._drop()

    def _drop(self) -> None:
        """Remove the file, unless a run has it."""
        if self._upload is not None and not (self._payload is not None and self._payload.kept):
            self._upload.remove()

    def _too_large(self) -> TooLarge:
        setting = "body_limit" if self._media is None else "upload_limit"
        return TooLarge(
            f"The body is larger than the limit of {self._limit} bytes.",
            hint=f"Send less, or raise Warmcell.{setting} in the server's configuration.",
        )


def _length(headers: HTTPHeaders) -> int:
    """The announced length of a body; 0 without one. A length that is none Tornado refuses."""
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else 0
