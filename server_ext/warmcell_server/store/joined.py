"""A joined host's end of the socket to the owner of the store."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from warmcell.errors import StoreError

from .frames import (
    Ask,
    Connection,
    Fault,
    Hello,
    Result,
    Spooled,
    Taken,
    as_error,
    for_peer,
    same_user,
)
from .operations import Operation

__all__ = ["Joined", "Pending"]

Pending: TypeAlias = list[tuple[Operation, Future[Any]]]

_CONNECT_TIMEOUT = 5.0  # seconds


class Joined:
    """A joined host's end: the same operations as the owner, done by the owner.

    ``taken`` is told which hosts' records became readable, ``gone`` which operations were under
    way when the owner went away; both are called on the connection's thread.
    """

    def __init__(
        self,
        path: Path,
        host_id: str,
        taken: Callable[[set[str]], None],
        gone: Callable[[Joined, Pending], None],
    ) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(_CONNECT_TIMEOUT)
            sock.connect(str(path))
            sock.settimeout(None)
            if not same_user(sock):
                raise StoreError(f"The socket {str(path)!r} belongs to another user.")
        except BaseException:
            sock.close()
            raise
        self._connection = Connection(sock)
        self._host_id = host_id
        self._taken = taken
        self._gone = gone
        self._lock = threading.Lock()
        self._pending: dict[int, tuple[Operation, Future[Any]]] = {}
        self._last = 0
        self._ended = False
        self._told = False  # the owner knows that there is something to take
        self._more = False  # something was appended since it was told
        self._thread = threading.Thread(target=self._receive, name="warmcell-joined", daemon=True)

    def start(self) -> None:
        """Introduce this host and begin to listen; ``gone`` may be called from here on."""
        self._thread.start()
        self._connection.send(Hello(self._host_id))

    def perform(self, operation: Operation) -> Future[Any]:
        """Have the owner do ``operation``."""
        future: Future[Any] = Future()
        with self._lock:
            self._last += 1
            ask = self._last
            ended = self._ended
            if not ended:
                self._pending[ask] = operation, future
        if ended:
            self._gone(self, [(operation, future)])
        else:
            self._connection.send(Ask(ask, operation))
        return future

    def wake(self, *, soon: bool = False) -> None:
        """Say that something was spooled. Cheap when the owner knows that there is something, who
        stores it in a while, be it wanted ``soon`` or not."""
        with self._lock:
            if self._told:
                self._more = True
                return
            self._told, self._more = True, False
        self._connection.send(Spooled())

    def close(self) -> None:
        """End the connection; harmless when repeated."""
        self._connection.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(_CONNECT_TIMEOUT)

    def _receive(self) -> None:
        while (data := self._connection.receive()) is not None:
            try:
                message = for_peer(data)
            except msgspec.DecodeError:
                break
            if isinstance(message, Taken):
                self._on_taken(set(message.hosts))
            else:
                self._on_answer(message)
        self._connection.close()
        self._connection.dispose()
        with self._lock:
            self._ended = True
            pending = list(self._pending.values())
            self._pending.clear()
        self._gone(self, pending)

    def _on_taken(self, hosts: set[str]) -> None:
        if self._host_id in hosts:
            with self._lock:
                self._told, more = False, self._more
            if more:
                self.wake()
        self._taken(hosts)

    def _on_answer(self, message: Result | Fault) -> None:
        with self._lock:
            _, future = self._pending.pop(message.ask, (None, None))
        if future is None or not future.set_running_or_notify_cancel():
            return
        if isinstance(message, Result):
            future.set_result(msgspec.json.decode(message.result))
        else:
            future.set_exception(as_error(message))
