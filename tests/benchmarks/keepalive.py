"""One blocking keep-alive connection that asks the same again and again."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.load import length, message


class Connection:
    """A raw socket to ``url``; nothing else is as cheap, and what asks must not be what is
    measured."""

    def __init__(self, url: str, body: Any, headers: list[str]) -> None:
        parts = urlsplit(url)
        self._data = message(url, json.dumps(body), headers)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self) -> bytes:
        """Send the request and return the whole answer, head and body."""
        self._socket.sendall(self._data)
        received = self._socket.recv(65536)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        wanted = end + 4 + length(received[:end])
        while len(received) < wanted:
            received += self._more()
        return received

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError("the server closed the connection")
        return data
