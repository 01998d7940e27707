"""A receiver of webhooks on 127.0.0.1: keeps what was posted, answers as it was told."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import msgspec

WAIT = 90.0  # seconds; a bound for what must happen, never a measure


@dataclass(frozen=True)
class Posted:
    """One request. Header names are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


Reply: TypeAlias = tuple[int, dict[str, str]] | Callable[[BaseHTTPRequestHandler], None]


class Receiver:
    """Answers the requests in turn with ``replies``, the last of them again and again.

    A reply is a status with headers, or a function that answers by itself.
    """

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._replies = list(replies) or [(204, {})]
        self._lock = threading.Lock()
        self._posted: queue.Queue[Posted] = queue.Queue()
        self.count = 0
        self.release = threading.Event()
        """Set at the end; a reply that hangs should wait for it."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._answer(self)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # clients that go away are part of the tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def next(self) -> Posted:
        """Wait for the next request that was not taken yet."""
        return self._posted.get(timeout=WAIT)

    @property
    def empty(self) -> bool:
        return self._posted.empty()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            reply = self._replies[min(self.count, len(self._replies) - 1)]
            self.count += 1
        self._posted.put(Posted(handler.path, headers, body))
        if callable(reply):
            reply(handler)
            handler.close_connection = True
            return
        status, extra = reply
        handler.send_response(status)
        for name, value in {"Content-Length": "0", **extra}.items():
            handler.send_header(name, value)
        handler.end_headers()


@contextlib.contextmanager
def receiver(*replies: Reply) -> Iterator[Receiver]:
    """A receiver that lives as long as the block."""
    made = Receiver(replies)
    try:
        yield made
    finally:
        made.close()
