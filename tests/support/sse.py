"""Reading Server-Sent Events as they come, and a proxy that holds them back."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.support.jupyter import JupyterServer

PATIENCE = 30.0


class Event(NamedTuple):
    """One event; its data decoded."""

    id: int
    kind: str
    data: Any


class EventStream:
    """An open answer. Iterating waits for events and ends with the answer."""

    def __init__(
        self,
        server: JupyterServer,
        path: str,
        parameters: Any = None,
        *,
        headers: dict[str, str] | None = None,
        url: str | None = None,
        authenticated: bool = True,
        **envelope: Any,
    ) -> None:
        parts = urlsplit(url or server.url)
        sent = {"Accept": "text/event-stream", **(headers or {})}
        if authenticated:
            sent.setdefault("Authorization", f"token {server.token}")
        body = None
        if parameters is not None:
            body = json.dumps({"parameters": parameters, **envelope})
            sent["Content-Type"] = "application/json"
        host, port = parts.hostname or "", parts.port
        self._connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        method = "GET" if body is None else "POST"
        self._connection.request(method, f"{parts.path}{path}", body, sent)
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.headers = {name.lower(): value for name, value in self._answer.getheaders()}
        self.comments = 0

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        while line := self._answer.readline():
            text = line.decode().rstrip("\r\n")
            if text.startswith(":"):
                self.comments += 1
            elif text:
                name, _, value = text.partition(": ")
                assert name not in fields, line
                fields[name] = value
            elif "event" in fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                fields = {}
            else:
                fields = {}  # of the stream itself

    def until(self, kind: str) -> list[Event]:
        """The events up to and with the first of that kind."""
        found = []
        for event in self:
            found.append(event)
            if event.kind == kind:
                return found
        raise AssertionError(f"no {kind}: {found}")

    def rest(self) -> list[Event]:
        """All that still come, and the end."""
        found = list(self)
        self.close()
        return found

    def text(self) -> str:
        """The whole answer, where it is no stream."""
        found = self._answer.read().decode()
        self.close()
        return found

    def close(self) -> None:
        """Hang up."""
        self._answer.close()
        self._connection.close()


class BufferingProxy:
    """Passes on what a server answers in blocks of ``size`` bytes only, and the rest at its end.
    With ``says`` it adds the header by which proxies make themselves known."""

    def __init__(self, server: JupyterServer, size: int = 4096, *, says: bool = True) -> None:
        self._target = ("127.0.0.1", server.port)
        self._size = size
        self._says = says
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{server.base_url}"
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = [self._listener]
        self._spawn(self._accept)

    def __enter__(self) -> BufferingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _spawn(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                self._spawn(self._pass, client)

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += client.recv(1 << 16)
            head, _, body = request.partition(b"\r\n\r\n")
            lines = [
                line
                for line in head.split(b"\r\n")
                if not line.lower().startswith((b"connection:", b"host:"))
            ]
            lines += [b"Host: 127.0.0.1:%d" % self._target[1], b"Connection: close"]
            if self._says:
                lines.append(b"Via: 1.1 buffering")
            upstream = socket.create_connection(self._target)
            self._open.append(upstream)
            upstream.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            self._spawn(self._upload, client, upstream)
            held = b""
            while data := upstream.recv(1 << 16):
                held += data
                while len(held) >= self._size:
                    client.sendall(held[: self._size])
                    held = held[self._size :]
            client.sendall(held)
            client.shutdown(socket.SHUT_WR)

    def _upload(self, client: socket.socket, upstream: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_RDWR)  # the client hung up
