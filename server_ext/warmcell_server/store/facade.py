"""The store as the host sees it: one interface, whether this process owns the file or joined."""

from __future__ import annotations

import atexit
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from warmcell.errors import StoreError, StoreFull
from warmcell.ids import now
from warmcell.records import DeploymentRecord, Entry, SnapshotRecord

from . import operations as op
from .files import network_notice, prepare
from .locks import FileLock
from .owner import Owner
from .peers import Joined, PeerServer, serve_folder
from .spool import Spool
from .sql import Table

__all__ = ["Store"]

SETTLE = 15.0  # seconds to become the owner or to find one
CLOSE = 15.0  # seconds for what is spooled to get into the database at the end


class _Card(msgspec.Struct):
    """Who the owner is: the content of owner.json."""

    host_id: str
    pid: int
    label: str
    url: str
    socket: str


class Store:
    """One DuckDB file, a spool in front of it and blobs beside it. Any thread may call.

    Reads and changes return a :class:`concurrent.futures.Future`. Reads see every record that was
    appended before, in whichever process (read your writes). ``version`` grows with every record;
    its start is the time, so that it also grows over a restart.
    """

    def __init__(self, home: Path, host_id: str, label: str, url: str) -> None:
        """Use :meth:`open`."""
        self._layout = prepare(home)
        self.home = self._layout.home
        self.blobs = self._layout.blobs
        self.host_id = host_id
        self.label = label
        self.url = url
        notice = network_notice(self.home)
        self.notices: list[str] = [notice] if notice else []
        self._encoder = msgspec.json.Encoder()
        self._lock = threading.RLock()
        self._version = now()
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._closed = False
        self._backend: Owner | Joined | None = None
        self._server: PeerServer | None = None
        self._owner_lock = FileLock(self._layout.owner_lock)
        self._host_lock = FileLock(self._layout.hosts / f"{host_id}.lock")
        self._waiting: list[tuple[op.Operation, Future[Any]]] = []
        self._settling = False
        self._spool = Spool(self._layout.spool, host_id)

    @classmethod
    def open(cls, home: Path, *, host_id: str, label: str, url: str = "") -> Self:
        """Open the store in ``home``, or join the process that has it open.

        ``host_id`` is new for every process; ``label`` and ``url`` tell users which host this is.
        Raises :class:`StoreTooNew` for a newer schema, else :class:`StoreError`.
        """
        store = cls(home, host_id, label, url)
        try:
            card = {"host_id": host_id, "pid": os.getpid(), "label": label, "url": url}
            if not store._host_lock.take(msgspec.json.encode(card), patience=1.0):
                raise StoreError(f"Another process uses the host id {host_id!r}.")
            store._settle(takeover=False)
        except BaseException:
            store._spool.close()
            store._host_lock.release()
            raise
        atexit.register(store.close)
        return store

    # -- state -------------------------------------------------------------------------------

    @property
    def role(self) -> Literal["owner", "joined"]:
        """Whether this process owns the database file; changes when the owner goes away."""
        return "owner" if isinstance(self._backend, Owner) else "joined"

    @property
    def version(self) -> int:
        """A number that grows with every record."""
        return self._version

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have ``listener()`` called, on any thread, when ``version`` has grown; it must be quick
        and must not raise. Return the function that ends this."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def end() -> None:
            with self._lock:
                kept = list(self._listeners)
                if listener in kept:
                    kept.remove(listener)
                self._listeners = tuple(kept)

        return end

    # -- recording ---------------------------------------------------------------------------

    def append(self, entry: Entry, *, durable: bool = False) -> Future[None] | None:
        """Hand a record to the operating system; with ``durable`` also return a future that is
        done when it is committed.

        Once this returns, the record survives the death of the process. Raises
        :class:`StoreFull` without room; then nothing of it was recorded.
        """
        self.append_line(self._encoder.encode(entry))
        return self._perform(op.Flush()) if durable else None

    def append_line(self, line: bytes) -> None:
        """Append a record that is encoded already: JSON of an ``Entry``, without a newline."""
        self._spool.append(line)
        backend = self._backend
        if backend is not None:
            backend.wake()
        self._grow()

    def admit(self) -> None:
        """Raise :class:`StoreFull` while the store is known to be full."""
        if self._spool.full and not self._spool.probe():
            raise StoreFull(
                f"The disk of the store is full: {self.home}.",
                hint="Free some space; calls are taken again as soon as a record can be written.",
            )

    # -- reading -----------------------------------------------------------------------------

    def list_runs(self, **filters: Any) -> Future[list[dict[str, Any]]]:
        """List runs, newest first; see :class:`operations.ListRuns` for the filters.

        The future raises :class:`QueryError` for a filter that makes no sense and
        :class:`NotFound` for an unknown ``before``.
        """
        return self._perform(op.ListRuns(**filters))

    def get_run(self, run_id: str) -> Future[dict[str, Any]]:
        """Return a run with ``steps``, ``artifacts`` and ``logs``, or raise :class:`NotFound`."""
        return self._perform(op.GetRun(run_id))

    def sql(self, query: str, *, limit: int = 10_000, timeout: float = 30.0) -> Future[Table]:
        """Run one SELECT over the documented views, at most ``timeout`` seconds.

        The future raises :class:`QueryError` if it is refused, fails or takes too long.
        """
        raw = self._perform(op.Query(query, limit, timeout))
        return _mapped(raw, lambda value: Table(**value))

    def list_snapshots(self, pipeline: str | None = None) -> Future[list[dict[str, Any]]]:
        """List snapshots, newest first."""
        return self._perform(op.ListSnapshots(pipeline))

    def get_snapshot(self, pipeline: str, number: int) -> Future[dict[str, Any]]:
        """Return a snapshot, or raise :class:`NotFound`."""
        return self._perform(op.GetSnapshot(pipeline, number))

    def deployments(self) -> Future[list[dict[str, Any]]]:
        """List all deployments, the removed too, with ``host_id``, ``holder_label``,
        ``holder_url``, ``alive``, ``total_runs`` and ``last_run_at``."""
        return self._perform(op.ListDeployments())

    def usage(self) -> Future[dict[str, Any]]:
        """Return the numbers of runs and snapshots and the bytes that the store takes."""
        return self._perform(op.Usage())

    # -- changing ----------------------------------------------------------------------------

    def add_snapshot(self, record: SnapshotRecord) -> Future[int]:
        """Commit a snapshot and return its number; the same digest keeps its number.

        ``record.number`` is not looked at.
        """
        return self._grown(self._perform(op.AddSnapshot(self._raw(record))))

    def claim(self, record: DeploymentRecord) -> Future[None]:
        """Commit that this host serves ``record.name``.

        The future raises :class:`NameTaken` if another live host does.
        """
        return self._grown(self._perform(op.Claim(self._raw(record), self.label, self.url)))

    def prune(
        self, *, max_age_days: float | None = None, max_bytes: int | None = None
    ) -> Future[dict[str, Any]]:
        """Delete old runs and blobs that nothing refers to; return how much went."""
        return self._grown(self._perform(op.Prune(max_age_days, max_bytes)))

    def close(self) -> None:
        """Store what is spooled and let go of everything; harmless when repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            backend, server = self._backend, self._server
        atexit.unregister(self.close)
        self._spool.close()
        if isinstance(backend, Owner):
            self._close_owner(backend, server)
        else:
            if backend is not None:
                _settled(backend.perform(op.Flush()), CLOSE)
            # First the lock, then the connection: its end makes the owner look at the lock.
            self._host_lock.release()
            if backend is not None:
                backend.close()
        self._fail_waiting(StoreError("The store is closed."))

    # -- inside ------------------------------------------------------------------------------

    def _close_owner(self, owner: Owner, server: PeerServer | None) -> None:
        if server is not None:
            server.pause()
        owner.close(CLOSE)
        self._layout.owner_card.unlink(missing_ok=True)
        self._host_lock.release()
        self._owner_lock.release()
        if server is not None:
            server.close()  # last: it sends the peers to the lock

    def _perform(self, operation: op.Operation) -> Future[Any]:
        with self._lock:
            if self._closed:
                raise StoreError("The store is closed.")
            backend = self._backend
            if backend is None:
                future: Future[Any] = Future()
                self._waiting.append((operation, future))
                self._start_settling()
                return future
        return backend.perform(operation)

    def _raw(self, record: msgspec.Struct) -> msgspec.Raw:
        return msgspec.Raw(self._encoder.encode(record))

    def _grow(self) -> None:
        with self._lock:
            self._version += 1
        for listener in self._listeners:
            listener()

    def _grown(self, future: Future[Any]) -> Future[Any]:
        future.add_done_callback(lambda _: self._grow())
        return future

    def _on_ingested(self, hosts: set[str]) -> None:
        """The owner took in records: others' are news here, and all are news to the peers."""
        server = self._server
        if server is not None:
            server.announce(hosts)
        if hosts - {self.host_id}:
            self._grow()

    def _on_taken(self, hosts: set[str]) -> None:
        if hosts - {self.host_id}:
            self._grow()

    def _on_peer_gone(self, host_id: str) -> None:
        """A peer's connection ended: once its lock is free, its runs are lost."""
        owner = self._backend
        deadline = time.monotonic() + 5.0
        while isinstance(owner, Owner) and owner.alive(host_id) and time.monotonic() < deadline:
            time.sleep(0.01)
        if isinstance(owner, Owner) and not self._closed:
            owner.sweep()

    def _on_owner_gone(self, pending: list[tuple[op.Operation, Future[Any]]]) -> None:
        with self._lock:
            self._waiting += pending
            if self._closed:
                self._fail_waiting(StoreError("The store is closed."))
                return
            self._backend = None
            self._start_settling()

    def _start_settling(self) -> None:
        with self._lock:
            if self._settling:
                return
            self._settling = True
        threading.Thread(target=self._resettle, name="warmcell-takeover", daemon=True).start()

    def _resettle(self) -> None:
        try:
            self._settle(takeover=True)
        except StoreError as error:
            with self._lock:
                self._settling = False
                self._fail_waiting(error)
            return
        with self._lock:
            self._settling = False
            backend, waiting, self._waiting = self._backend, self._waiting, []
        for operation, future in waiting:
            if backend is None:
                future.set_exception(StoreError("The store has no owner."))
            else:
                _forward(backend.perform(operation), future)

    def _fail_waiting(self, error: StoreError) -> None:
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _settle(self, takeover: bool) -> None:
        """Become the owner, or join it; raises :class:`StoreError` if neither works in time."""
        deadline = time.monotonic() + SETTLE
        pause = 0.01
        while not self._closed:
            if self._owner_lock.take():
                self._become_owner(takeover)
                return
            if self._join():
                return
            if time.monotonic() > deadline:
                raise StoreError(
                    f"The store {str(self.home)!r} is held by a process that does not answer.",
                    hint="Stop that process, or set WARMCELL_HOME to another folder.",
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.25)

    def _become_owner(self, takeover: bool) -> None:
        try:
            self._remove_old_socket()
            owner = Owner(self._layout, self.host_id, self._on_ingested, takeover=takeover)
            try:
                server = PeerServer(serve_folder(), owner.perform, owner.wake, self._on_peer_gone)
            except BaseException:
                owner.close(CLOSE)
                raise
        except BaseException:
            self._owner_lock.release()
            raise
        card = _Card(self.host_id, os.getpid(), self.label, self.url, str(server.path))
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
            joined = Joined(Path(card.socket), self.host_id, self._on_taken, self._on_owner_gone)
        except (OSError, msgspec.DecodeError):
            return False  # the owner is starting, or has just gone
        with self._lock:
            self._backend = joined
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


def _write(path: Path, data: bytes) -> None:
    """Replace a file at once, readable by this user alone."""
    beside = path.with_suffix(".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as stream:
        stream.write(data)
    beside.replace(path)


def _mapped(future: Future[Any], function: Callable[[Any], Any]) -> Future[Any]:
    """Return a future of ``function(result)``."""
    mapped: Future[Any] = Future()
    mapped.set_running_or_notify_cancel()

    def done(source: Future[Any]) -> None:
        error = source.exception()
        if error is None:
            mapped.set_result(function(source.result()))
        else:
            mapped.set_exception(error)

    future.add_done_callback(done)
    return mapped


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


def _settled(future: Future[Any], timeout: float) -> None:
    """Wait for a future, whatever its end."""
    try:
        future.exception(timeout)
    except TimeoutError:
        return
