"""What hosts that share a store say to each other over a Unix socket.

A frame is a four-byte big-endian length and that many bytes of JSON, one tagged struct.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from typing import TypeAlias

import msgspec

from warmcell import errors

from .operations import Operation

__all__ = [
    "Ask",
    "Connection",
    "Fault",
    "Hello",
    "Result",
    "Spooled",
    "Taken",
    "as_error",
    "as_fault",
    "encode",
    "for_owner",
    "for_peer",
    "same_user",
]

_LENGTH = struct.Struct(">I")
_SEND_TIMEOUT = struct.pack("ll", 10, 0)  # a peer that reads nothing for 10 s is given up
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
    """Records of these hosts became readable; ``*`` is whichever host."""

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

encode = msgspec.json.Encoder().encode
for_owner = msgspec.json.Decoder(ToOwner).decode
for_peer = msgspec.json.Decoder(ToPeer).decode


class Connection:
    """Frames over a socket. Any thread may send; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)

    def send(self, message: ToOwner | ToPeer) -> bool:
        """Send a frame; False if the other side is gone."""
        data = encode(message)
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


def same_user(sock: socket.socket) -> bool:
    """Tell whether the other end runs as this user; without a way to ask, the folder guards."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", data)
    return bool(uid == os.getuid())


def as_fault(ask: int, error: BaseException) -> Fault:
    """Return the frame that says ``error``."""
    if isinstance(error, errors.WarmcellError):
        holder = error.holder if isinstance(error, errors.NameTaken) else None
        return Fault(ask, type(error).__name__, error.message, error.hint, holder)
    return Fault(ask, "StoreError", f"{type(error).__name__}: {error}")


def as_error(fault: Fault) -> errors.WarmcellError:
    """Return the error that a frame says."""
    if fault.kind == "NameTaken":
        return errors.NameTaken(fault.message, holder=fault.holder or "unknown", hint=fault.hint)
    return _KINDS.get(fault.kind, errors.StoreError)(fault.message, hint=fault.hint)
