"""A proxy in front of a server whose connections break when a test says so."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any


class Cutting:
    """A proxy that passes bytes on, until it is told to cut its connections."""

    def __init__(self, target: str) -> None:
        self._port = int(target.rsplit(":", 1)[1].strip("/"))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        self.cuts = 0
        self._made: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Cutting:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._cut()
        for thread in self._threads:
            thread.join(10)
        for one in self._made:
            one.close()

    def cut(self) -> bool:
        """Cut what is open; the first time only. Returns whether it had been done before, or is
        done now."""
        if not self.cuts:
            self.cuts += 1
            self._cut()
        return True

    def _cut(self) -> None:
        for one in self._made:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._made += [near, far]
            self._start(self._pass, near, far)
            self._start(self._pass, far, near)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
