"""An asyncio HTTP client for thousands of calls at once: one keep-alive connection each."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back, and after how many seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """One connection to a server. Raises OSError or EOFError where it ends before the answer."""

    def __init__(self, url: str, token: str) -> None:
        self._parts = urlsplit(url)
        self._token = token
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """Connect, unless connected: where many do at once, the system may let some wait."""
        if self._writer is None or self._writer.is_closing():
            host, port = self._parts.hostname, self._parts.port
            self._reader, self._writer = await asyncio.open_connection(host, port)

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request and wait for the whole answer."""
        began = time.perf_counter()
        status, received = await self._begin(method, path, body, headers or {})
        assert self._reader is not None
        data = b""
        if "content-length" in received:
            data = await self._reader.readexactly(int(received["content-length"]))
        elif status not in (204, 304):
            raise EOFError(f"{method} {path} answered without a length")
        return Answer(status, received, data, time.perf_counter() - began)

    async def events(self, path: str, body: Any = None) -> AsyncIterator[tuple[str, Any]]:
        """Read Server-Sent Events to their end: name and data of each."""
        method = "GET" if body is None else "POST"
        status, received = await self._begin(method, path, body, {"Accept": "text/event-stream"})
        if status != 200:
            raise EOFError(f"{path} answered {status}")
        kind, data = "", ""
        async for line in self._lines(received):
            if line.startswith("event:"):
                kind = line[6:].strip()
            elif line.startswith("data:"):
                data += line[5:].strip()
            elif not line and kind:
                yield kind, json.loads(data or "null")
                kind, data = "", ""

    async def _lines(self, headers: dict[str, str]) -> AsyncIterator[str]:
        assert self._reader is not None
        rest = b""
        chunked = headers.get("transfer-encoding") == "chunked"
        while True:
            if chunked:
                size = int(await self._reader.readline(), 16)
                piece = await self._reader.readexactly(size + 2)
                piece = piece[:-2]
            else:
                piece = await self._reader.read(1 << 16)
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode().rstrip("\r")

    async def _begin(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[int, dict[str, str]]:
        await self.connect()
        assert self._reader is not None
        assert self._writer is not None
        data = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {self._parts.path}{path} HTTP/1.1",
            f"Host: {self._parts.netloc}",
            f"Authorization: token {self._token}",
            "Content-Type: application/json",
            f"Content-Length: {len(data)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        received = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        return int(head[0].split()[1]), received

    def close(self) -> None:
        """End the connection; harmless when repeated."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
