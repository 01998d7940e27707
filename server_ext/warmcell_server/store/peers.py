"""Hosts that share a store talk to its owner over a Unix socket.

A frame is a four-byte big-endian length and that many bytes of JSON, one tagged struct. The socket
is in a folder of this user alone, and the peer's user is checked. The end of the connection is how
each side learns that the other went away.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from warmcell import errors

from .operations import Operation

__all__ = ["Joined", "PeerServer", "serve_folder"]

_LENGTH = struct.Struct(">I")
_SEND_TIMEOUT = struct.pack("ll", 10, 0)  # a peer that reads nothing for 10 s is given up
_CONNECT_TIMEOUT = 5.0
_LONGEST_PATH = 90  # the system's limit is about 107 bytes
_KINDS: dict[str, type[errors.WarmcellError]] = {
    kind.__name__: kind
    for kind in (errors.NotFound, errors.QueryError, errors.StoreFull, errors.StoreError)
}


class Hello(msgspec.Struct, tag="hello"):
    """First frame of a joining host."""

    host_id: str


class Spooled(msgspec.Struct, tag="spooled"):
    """The host appended to its spool."""


class Ask(msgspec.Struct, tag="ask"):
    """Do an operation."""

    ask: int
    operation: Operation


class Taken(msgspec.Struct, tag="taken"):
    """Records of these hosts became readable."""

    hosts: list[str]


class Result(msgspec.Struct, tag="result"):
    """The answer to an :class:`Ask`."""

    ask: int
    result: msgspec.Raw


class Fault(msgspec.Struct, tag="fault"):
    """The answer to an :class:`Ask` that failed."""

    ask: int
    kind: str
    message: str
    hint: str | None = None
    holder: str | None = None


ToOwner: TypeAlias = Hello | Spooled | Ask
ToPeer: TypeAlias = Taken | Result | Fault

_encoder = msgspec.json.Encoder()
_for_owner = msgspec.json.Decoder(ToOwner)
_for_peer = msgspec.json.Decoder(ToPeer)


class _Connection:
    """Frames over a socket. Any thread may send; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)

    def send(self, message: ToOwner | ToPeer) -> bool:
        """Send a frame; False if the other side is gone."""
        data = _encoder.encode(message)
        try:
            with self._lock:
                self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError:
            self.close()
            return False
        return True

    def receive(self) -> bytes | None:
        """Wait for a frame; None at the end of the connection."""
        header = self._exactly(_LENGTH.size)
        return None if header is None else self._exactly(_LENGTH.unpack(header)[0])

    def close(self) -> None:
        """End the connection; a waiting :meth:`receive` returns."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended already

    def dispose(self) -> None:
        """Free the socket; for the receiving thread, last."""
        self._socket.close()

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._socket.recv(min(size - len(parts), 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


class PeerServer:
    """The owner's end. ``perform`` does an operation, ``wake`` says that a spool grew, ``gone``
    is told the id of a host whose connection ended; all are called on a connection's thread."""

    def __init__(
        self,
        folder: Path,
        perform: Callable[[Operation], Future[Any]],
        wake: Callable[[], None],
        gone: Callable[[str], None],
    ) -> None:
        self.path = folder / "owner.sock"
        self._perform = perform
        self._wake = wake
        self._gone = gone
        self._lock = threading.Lock()
        self._peers: dict[_Connection, threading.Thread] = {}
        self._closing = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._accept, name="warmcell-peers", daemon=True)
        self._thread.start()

    def announce(self, hosts: set[str]) -> None:
        """Tell all peers that records of ``hosts`` became readable."""
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            peer.send(Taken(sorted(hosts)))

    def pause(self) -> None:
        """Take no new peers and answer nothing any more; harmless when repeated."""
        self._closing = True
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was never connected to; closing is enough there
        self._listener.close()
        self._thread.join(_CONNECT_TIMEOUT)

    def close(self) -> None:
        """End every connection, which makes the peers look for a new owner."""
        self.pause()
        with self._lock:
            peers = dict(self._peers)
        for peer, thread in peers.items():
            peer.close()
            thread.join(_CONNECT_TIMEOUT)
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if not _same_user(sock):
                sock.close()
                continue
            peer = _Connection(sock)
            thread = threading.Thread(
                target=self._serve, args=(peer,), name="warmcell-peer", daemon=True
            )
            with self._lock:
                self._peers[peer] = thread
            thread.start()

    def _serve(self, peer: _Connection) -> None:
        host_id = ""
        while (data := peer.receive()) is not None:
            try:
                message = _for_owner.decode(data)
            except msgspec.DecodeError:
                break  # of another version: it is better off without us
            if isinstance(message, Hello):
                host_id = message.host_id
            elif isinstance(message, Spooled):
                self._wake()
            else:
                self._answer(peer, message)
        with self._lock:
            self._peers.pop(peer, None)
        peer.close()
        peer.dispose()
        if host_id and not self._closing:
            self._gone(host_id)

    def _answer(self, peer: _Connection, message: Ask) -> None:
        def done(future: Future[Any]) -> None:
            if self._closing or future.cancelled():
                return  # the peer asks the next owner
            error = future.exception()
            if error is None:
                peer.send(Result(message.ask, msgspec.Raw(_encoder.encode(future.result()))))
            else:
                peer.send(_fault(message.ask, error))

        try:
            future = self._perform(message.operation)
        except errors.StoreError as error:
            peer.send(_fault(message.ask, error))
            return
        future.add_done_callback(done)


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
        gone: Callable[[list[tuple[Operation, Future[Any]]]], None],
    ) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(_CONNECT_TIMEOUT)
            sock.connect(str(path))
            sock.settimeout(None)
            if not _same_user(sock):
                raise errors.StoreError(f"The socket {str(path)!r} belongs to another user.")
        except BaseException:
            sock.close()
            raise
        self._connection = _Connection(sock)
        self._host_id = host_id
        self._taken = taken
        self._gone = gone
        self._lock = threading.Lock()
        self._pending: dict[int, tuple[Operation, Future[Any]]] = {}
        self._last = 0
        self._ended = False
        self._told = False  # the owner knows that there is something to take
        self._more = False  # something was appended since it was told
        self._connection.send(Hello(host_id))
        self._thread = threading.Thread(target=self._receive, name="warmcell-joined", daemon=True)
        self._thread.start()

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
            self._gone([(operation, future)])
        else:
            self._connection.send(Ask(ask, operation))
        return future

    def wake(self) -> None:
        """Say that something was spooled. Cheap when the owner knows that there is something."""
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
                message = _for_peer.decode(data)
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
        self._gone(pending)

    def _on_taken(self, hosts: set[str]) -> None:
        if self._host_id in hosts:
            self._told = False
            if self._more:
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
            future.set_exception(_error(message))


def serve_folder() -> Path:
    """Make a folder of this user alone whose path is short enough for a socket."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if base and len(os.fsencode(base)) < _LONGEST_PATH - 30 and os.access(base, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="warmcell-", dir=base))
    raise errors.StoreError(
        "There is no folder with a short path for the store's socket.",
        hint="Set TMPDIR to a folder whose path is shorter than 60 characters.",
    )


def _same_user(sock: socket.socket) -> bool:
    """Tell whether the other end runs as this user; without a way to ask, the folder guards."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", data)
    return bool(uid == os.getuid())


def _fault(ask: int, error: BaseException) -> Fault:
    if isinstance(error, errors.WarmcellError):
        holder = error.holder if isinstance(error, errors.NameTaken) else None
        return Fault(ask, type(error).__name__, error.message, error.hint, holder)
    return Fault(ask, "StoreError", f"{type(error).__name__}: {error}")


def _error(fault: Fault) -> errors.WarmcellError:
    if fault.kind == "NameTaken":
        return errors.NameTaken(fault.message, holder=fault.holder or "unknown", hint=fault.hint)
    return _KINDS.get(fault.kind, errors.StoreError)(fault.message, hint=fault.hint)
