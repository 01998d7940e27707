"""Who owns the store: this process, or one that it joins, and what happens when that one goes.

Ownership is a lock on ``owner.lock``, taken before DuckDB opens the file and held until it is
closed. The system frees the locks of a process that dies; the end of the connection to the owner
starts the search for a new one, so that nothing polls.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from warmcell.errors import StoreError

from . import operations as op
from .files import Layout
from .joined import Joined, Pending
from .locks import FileLock
from .owner import Owner
from .peers import PeerServer, serve_folder

__all__ = ["Membership"]

SETTLE = 30.0  # seconds to become the owner or to find one
CLOSE = 15.0  # seconds for what is spooled to get into the database at the end
DEATH = 5.0  # seconds from the end of a host's connection to the end of its lock


class _Card(msgspec.Struct):
    """A host that says who it is. ``socket`` is the owner's."""

    host_id: str
    pid: int
    label: str
    url: str
    socket: str = ""


class Membership:
    """This host's part in a store. Any thread may call.

    ``news`` is called, on any thread, with the hosts whose records became readable; ``ended``, on
    any thread of the store's owner, when another host of the store has ended.
    """

    def __init__(
        self,
        layout: Layout,
        host_id: str,
        label: str,
        url: str,
        news: Callable[[set[str]], None],
        ended: Callable[[], None],
    ) -> None:
        self._layout = layout
        self._card = _Card(host_id, os.getpid(), label, url)
        self._news = news
        self._ended = ended
        self._lock = threading.RLock()
        self._owner_lock = FileLock(layout.owner_lock)
        self._host_lock = FileLock(layout.hosts / f"{host_id}.lock")
        self._backend: Owner | Joined | None = None
        self._server: PeerServer | None = None
        self._waiting: Pending = []
        self._settling = False
        self._closed = False

    @property
    def owns(self) -> bool:
        """Whether the database file is open in this process."""
        return isinstance(self._backend, Owner)

    def appear(self) -> None:
        """Show that this host lives. This comes before its spool: a spool of a host that is not
        known to live is taken in and deleted."""
        host_id = self._card.host_id
        if not self._host_lock.take(msgspec.json.encode(self._card), patience=1.0):
            raise StoreError(f"Another process uses the host id {host_id!r}.")

    def start(self) -> None:
        """Own the store or join its owner. Raises :class:`StoreTooNew` and other
        :class:`StoreError`; this host is gone then."""
        try:
            self._settle()
        except BaseException:
            self._host_lock.release()
            raise

    def perform(self, operation: op.Operation) -> Future[Any]:
        """Have the owner, whoever it is, do ``operation``."""
        with self._lock:
            if self._closed:
                raise StoreError("The store is closed.")
            backend = self._backend
            if backend is None:
                future: Future[Any] = Future()
                self._waiting.append((operation, future))
                self._search()
                return future
        return backend.perform(operation)

    def wake(self, *, soon: bool = False) -> None:
        """Say that this host's spool grew, and whether that is likely to be read soon."""
        backend = self._backend
        if backend is not None:
            backend.wake(soon=soon)

    def close(self) -> None:
        """Store what is spooled and let go of everything; harmless when repeated.

        This host's spool is closed by then.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            backend, server = self._backend, self._server
            self._fail(StoreError("The store is closed."))
        if isinstance(backend, Owner):
            self._close_owner(backend, server)
            return
        if backend is not None:
            _wait(backend.perform(op.Flush()))
        # First the lock, then the connection: its end makes the owner look at the lock.
        self._host_lock.release()
        if backend is not None:
            backend.close()

    # -- becoming the owner, or joining it ---------------------------------------------------

    def _settle(self) -> None:
        """Become the owner or join it; raises :class:`StoreError` if neither works in time."""
        deadline = time.monotonic() + SETTLE
        pause = 0.01
        while not self._closed:
            if self._owner_lock.take():
                self._own()
                return
            if self._join():
                return
            if time.monotonic() > deadline:
                raise StoreError(
                    f"The store {str(self._layout.home)!r} is held by a process that does not "
                    "answer.",
                    hint="Stop that process, or set WARMCELL_HOME to another folder.",
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.25)

    def _own(self) -> None:
        try:
            self._remove_old_socket()
            owner = Owner(self._layout, self._card.host_id, self._on_ingested)
            try:
                server = PeerServer(serve_folder(), owner.perform, owner.wake, self._on_peer_gone)
            except BaseException:
                owner.close(CLOSE)
                raise
        except BaseException:
            self._owner_lock.release()
            raise
        card = msgspec.structs.replace(self._card, socket=str(server.path))
        _write(self._layout.owner_card, msgspec.json.encode(card))
        with self._lock:
            self._backend, self._server = owner, server
            closed = self._closed
        owner.wake()
        if closed:
            self._close_owner(owner, server)

    def _join(self) -> bool:
        try:
            card = msgspec.json.decode(self._layout.owner_card.read_bytes(), type=_Card)
            joined = Joined(Path(card.socket), self._card.host_id, self._news, self._on_owner_gone)
        except (OSError, msgspec.DecodeError):
            return False  # the owner is starting, or has just gone
        with self._lock:
            self._backend = joined
        joined.start()
        joined.wake()
        return True

    def _remove_old_socket(self) -> None:
        """Remove the socket of an owner that died without doing so."""
        try:
            card = msgspec.json.decode(self._layout.owner_card.read_bytes(), type=_Card)
        except (OSError, msgspec.DecodeError):
            return
        folder = Path(card.socket).parent
        if folder.name.startswith("warmcell-") and Path(card.socket).is_socket():
            shutil.rmtree(folder, ignore_errors=True)

    def _close_owner(self, owner: Owner, server: PeerServer | None) -> None:
        if server is not None:
            server.pause()
        owner.close(CLOSE)
        self._layout.owner_card.unlink(missing_ok=True)
        self._host_lock.release()
        self._owner_lock.release()
        if server is not None:
            server.close()  # last: it sends the peers to the lock

    # -- what others do ----------------------------------------------------------------------

    def _on_ingested(self, hosts: set[str]) -> None:
        server = self._server
        if server is not None:
            server.announce(hosts)
        if hosts:
            self._news(hosts)

    def _on_peer_gone(self, host_id: str) -> None:
        """A peer's connection ended: once its lock is free, its unfinished runs are lost."""
        owner = self._backend
        if not isinstance(owner, Owner):
            return
        deadline = time.monotonic() + DEATH
        while owner.alive(host_id) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not self._closed:
            owner.sweep()
            self._ended()

    def _on_owner_gone(self, joined: Joined, pending: Pending) -> None:
        with self._lock:
            self._waiting += pending
            if self._closed:
                self._fail(StoreError("The store is closed."))
                return
            if self._backend is joined:
                self._backend = None
            self._search()

    def _search(self) -> None:
        """Look for a new owner, on a thread; what waits is done then."""
        with self._lock:
            if self._settling:
                return
            self._settling = True
        threading.Thread(target=self._resettle, name="warmcell-takeover", daemon=True).start()

    def _resettle(self) -> None:
        while True:
            error: StoreError | None = None
            if self._backend is None:
                try:
                    self._settle()
                except StoreError as failure:
                    error = failure
            with self._lock:
                backend = self._backend
                if error is None and backend is None and not self._closed:
                    continue  # the owner that was found has gone too
                self._settling = False
                if backend is None:
                    self._fail(error or StoreError("The store is closed."))
                    return
                waiting, self._waiting = self._waiting, []
            for operation, future in waiting:
                _forward(backend.perform(operation), future)
            if isinstance(backend, Owner):
                self._ended()  # the owner before
            return

    def _fail(self, error: StoreError) -> None:
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)


def _write(path: Path, data: bytes) -> None:
    """Replace a file at once, readable by this user alone."""
    beside = path.with_suffix(".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as stream:
        stream.write(data)
    beside.replace(path)


def _forward(source: Future[Any], target: Future[Any]) -> None:
    """Let ``target`` end as ``source`` does."""
    if not target.set_running_or_notify_cancel():
        return

    def done(ended: Future[Any]) -> None:
        error = ended.exception()
        if error is None:
            target.set_result(ended.result())
        else:
            target.set_exception(error)

    source.add_done_callback(done)


def _wait(future: Future[Any]) -> None:
    """Wait for the end of a future, whatever it is."""
    try:
        future.exception(CLOSE)
    except TimeoutError:
        return
