"""The owner's end of the sockets to the hosts that joined it.

The socket is in a folder of this user alone, and the peer's user is checked. The end of a
connection is how each side learns that the other went away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from warmcell import errors

from .frames import (
    Ask,
    Connection,
    Hello,
    Result,
    Spooled,
    Taken,
    as_fault,
    encode,
    for_owner,
    same_user,
)
from .operations import Operation

__all__ = ["PeerServer", "serve_folder"]

_JOIN = 5.0  # seconds that the end of a thread is waited for
_LONGEST_PATH = 90  # the system's limit is about 107 bytes


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
        self._peers: dict[Connection, threading.Thread] = {}
        self._asked: dict[Connection, str] = {}  # who waits to hear that its records were taken
        self._closing = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._accept, name="warmcell-peers", daemon=True)
        self._thread.start()

    def announce(self, hosts: set[str]) -> None:
        """Tell all peers that records of ``hosts`` became readable, and those who said that they
        had some that these are too."""
        with self._lock:
            asked, self._asked = self._asked, {}
            peers = list(self._peers) if hosts else list(asked)
        for peer in peers:
            peer.send(Taken(sorted({*hosts, asked.get(peer, "")} - {""})))

    def pause(self) -> None:
        """Take no new peers and answer nothing any more; harmless when repeated."""
        self._closing = True
        with contextlib.suppress(OSError):  # where a listener cannot be shut down, closing does
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(_JOIN)

    def close(self) -> None:
        """End every connection, which makes the peers look for a new owner."""
        self.pause()
        with self._lock:
            peers = dict(self._peers)
        for peer, thread in peers.items():
            peer.close()
            thread.join(_JOIN)
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def _accept(self) -> None:
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if not same_user(sock):
                sock.close()
                continue
            peer = Connection(sock)
            thread = threading.Thread(
                target=self._serve, args=(peer,), name="warmcell-peer", daemon=True
            )
            with self._lock:
                self._peers[peer] = thread
            thread.start()

    def _serve(self, peer: Connection) -> None:
        host_id = ""
        while (data := peer.receive()) is not None:
            try:
                message = for_owner(data)
            except msgspec.DecodeError:
                break  # of another version: it is better off without us
            if isinstance(message, Hello):
                host_id = message.host_id
                # Something may have been taken between its joining and its being known here.
                peer.send(Taken(["*"]))
            elif isinstance(message, Spooled):
                with self._lock:
                    self._asked[peer] = host_id
                self._wake()
            else:
                self._answer(peer, message)
        with self._lock:
            self._peers.pop(peer, None)
            self._asked.pop(peer, None)
        peer.close()
        peer.dispose()
        if host_id and not self._closing:
            self._gone(host_id)

    def _answer(self, peer: Connection, message: Ask) -> None:
        def done(future: Future[Any]) -> None:
            if self._closing or future.cancelled():
                return  # the peer asks the next owner
            error = future.exception()
            if error is None:
                peer.send(Result(message.ask, msgspec.Raw(encode(future.result()))))
            else:
                peer.send(as_fault(message.ask, error))

        try:
            future = self._perform(message.operation)
        except errors.StoreError as error:
            if not self._closing:
                peer.send(as_fault(message.ask, error))
            return
        future.add_done_callback(done)


def serve_folder() -> Path:
    """Make a folder of this user alone whose path is short enough for a socket."""
    for base in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if base and len(os.fsencode(base)) < _LONGEST_PATH - 30 and os.access(base, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="warmcell-", dir=base))
    raise errors.StoreError(
        "There is no folder with a short path for the store's socket.",
        hint="Set TMPDIR to a folder whose path is shorter than 60 characters.",
    )
