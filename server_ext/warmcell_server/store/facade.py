"""The store as the host sees it: one interface, whether this process owns the file or joined."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from warmcell.errors import QueryError, StoreFull
from warmcell.ids import now
from warmcell.records import DeploymentRecord, Entry, SnapshotRecord

from . import operations as op
from .files import network_notice, prepare
from .membership import Membership
from .spool import Spool, check_host_id
from .sql import Table

__all__ = ["Store"]


class Store:
    """One DuckDB file, a spool in front of it and blobs beside it. Any thread may call.

    Reads and changes return a :class:`concurrent.futures.Future`. Reads see every record that was
    appended before, in whichever process (read your writes). Every call but :meth:`close` raises
    :class:`StoreError` once the store is closed.
    """

    def __init__(self, home: Path, host_id: str, label: str, url: str) -> None:
        """Use :meth:`open`."""
        layout = prepare(home)
        self.home = layout.home
        self.blobs = layout.blobs
        self.host_id = host_id
        self.label = label
        self.url = url
        notice = network_notice(self.home)
        self.notices: list[str] = [notice] if notice else []
        self._encoder = msgspec.json.Encoder()
        self._lock = threading.Lock()
        self._version = now()
        self._listeners: tuple[Callable[[], None], ...] = ()
        self.ended: Callable[[], None] | None = None
        """Called on any thread when another host of the store has ended, where this one owns it."""
        check_host_id(host_id)
        self._membership = Membership(layout, host_id, label, url, self._on_news, self._on_ended)
        self._membership.appear()
        try:
            self._spool = Spool(layout.spool, host_id)
        except BaseException:
            self._membership.close()
            raise

    @classmethod
    def open(cls, home: Path, *, host_id: str, label: str, url: str = "") -> Self:
        """Open the store in ``home``, or join the process that has it open.

        ``host_id`` is new for every process; ``label`` and ``url`` tell users which host this is.
        Raises :class:`StoreTooNew` for a newer schema, else :class:`StoreError`.
        """
        store = cls(home, host_id, label, url)
        try:
            store._membership.start()
        except BaseException:
            store._spool.close()
            raise
        atexit.register(store.close)
        return store

    # -- state -------------------------------------------------------------------------------

    @property
    def role(self) -> Literal["owner", "joined"]:
        """Whether this process owns the database file; changes when the owner goes away."""
        return "owner" if self._membership.owns else "joined"

    @property
    def version(self) -> int:
        """A number that grows with every record; it begins with the time, so that it also grows
        over a restart."""
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

    def append(
        self, entry: Entry, *, durable: bool = False, soon: bool = False
    ) -> Future[None] | None:
        """Hand a record to the operating system; with ``durable`` also return a future that is
        done when it is committed. ``soon``: somebody is likely to read it next, who shall not have
        to wait until it is a row.

        Once this returns, the record survives the death of the process. Raises
        :class:`StoreFull` without room; then nothing of it was recorded.
        """
        self.append_line(self._encoder.encode(entry), soon=soon)
        return self._membership.perform(op.Flush()) if durable else None

    def append_line(self, line: bytes, *, soon: bool = False) -> None:
        """Append a record that is encoded already: JSON of an ``Entry``, without a newline."""
        self._spool.append(line)
        self._membership.wake(soon=soon)
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

        Raises :class:`QueryError` for a filter that there is not; the future raises it for one
        that makes no sense, and :class:`NotFound` for an unknown ``before``.
        """
        try:
            operation = msgspec.convert(filters, op.ListRuns)
        except msgspec.ValidationError as error:
            known = ", ".join(op.ListRuns.__struct_fields__)
            raise QueryError(f"Wrong filter: {error}.", hint=f"Filters: {known}.") from error
        return self._membership.perform(operation)

    def get_run(self, run_id: str) -> Future[dict[str, Any]]:
        """Return a run with ``steps``, ``artifacts`` and ``logs``, or raise :class:`NotFound`."""
        return self._membership.perform(op.GetRun(run_id))

    def sql(self, query: str, *, limit: int = 10_000, timeout: float = 30.0) -> Future[Table]:
        """Run one SELECT over the documented views, for at most ``timeout`` seconds.

        The future raises :class:`QueryError` if it is refused, fails or takes too long.
        """
        return _as_table(self._membership.perform(op.Query(query, limit, timeout)))

    def list_snapshots(self, pipeline: str | None = None) -> Future[list[dict[str, Any]]]:
        """List snapshots, newest first."""
        return self._membership.perform(op.ListSnapshots(pipeline))

    def get_snapshot(self, pipeline: str, number: int) -> Future[dict[str, Any]]:
        """Return a snapshot, or raise :class:`NotFound`."""
        return self._membership.perform(op.GetSnapshot(pipeline, number))

    def deployments(self) -> Future[list[dict[str, Any]]]:
        """List all deployments, the removed too, with ``host_id``, ``holder_label``,
        ``holder_url``, ``alive``, ``total_runs`` and ``last_run_at``."""
        return self._membership.perform(op.ListDeployments())

    def idempotency_keys(
        self, since: int, deployment: str | None = None
    ) -> Future[list[tuple[str, str, str, int]]]:
        """Return what idempotency keys made since then (microseconds), of one deployment or of
        all, oldest first: digest of the key, fingerprint of the request, run id, time."""
        return self._membership.perform(op.IdempotencyKeys(since, deployment))

    def usage(self) -> Future[dict[str, Any]]:
        """Return the numbers of runs and snapshots and the bytes that the store takes."""
        return self._membership.perform(op.Usage())

    def read(self, name: str, /, **request: Any) -> Future[Any]:
        """Ask the record something; see :data:`.record.READS`."""
        return self._membership.perform(op.Read(name, request))

    # -- changing ----------------------------------------------------------------------------

    def change(self, name: str, /, **request: Any) -> Future[Any]:
        """Change the record, committed when the future is done; see :data:`.record.CHANGES`."""
        return self._change(op.Change(name, request))

    def add_snapshot(self, record: SnapshotRecord) -> Future[int]:
        """Commit a snapshot and return its number; the same digest keeps its number.

        ``record.number`` is not looked at.
        """
        return self._change(op.AddSnapshot(self._raw(record)))

    def claim(
        self, record: DeploymentRecord, *, overtake: bool = False
    ) -> Future[dict[str, Any] | None]:
        """Commit that the host of ``record`` serves ``record.name``, and return who had the name:
        ``notebook``, ``user``, ``pipeline`` and ``snapshot``; None where nobody had.

        The future raises :class:`NameTaken` if another live host serves it, and if it belongs to
        another notebook unless that is to be ``overtake``n.
        """
        return self._change(op.Claim(self._raw(record), self.label, self.url, overtake))

    def prune(
        self,
        *,
        max_age_days: float | None = None,
        max_bytes: int | None = None,
        max_runs: int | None = None,
        pipeline: str | None = None,
        deployment: str | None = None,
        dry_run: bool = False,
    ) -> Future[dict[str, Any]]:
        """Delete old runs and blobs that nothing refers to; return how much went, or with
        ``dry_run`` would go."""
        wanted = op.Prune(max_age_days, max_bytes, max_runs, pipeline, deployment, dry_run)
        return self._membership.perform(wanted) if dry_run else self._change(wanted)

    def export(self, to: str | None = None, *, blobs: bool = True) -> Future[dict[str, Any]]:
        """Write all of the store as Parquet to the folder ``to``, by default to one inside the
        store, all of one moment; see :func:`.exporting.export` for what is returned and raised."""
        return self._membership.perform(op.Export(to, blobs))

    def import_(self, source: str) -> Future[dict[str, Any]]:
        """Take in what is new in an export or in another store; safe to repeat. Return
        ``tables``, how many rows came to each, and ``blobs``, ``bytes`` and ``damaged``. The future
        raises :class:`QueryError` for what cannot be read, :class:`StoreTooNew` for a newer
        form."""
        return self._change(op.Import(source))

    def take_deliveries(self, *, until: int, limit: int, each: int) -> Future[list[dict[str, Any]]]:
        """Make the unfinished deliveries of dead hosts this host's, and return those of its own
        that are due until then (microseconds), at most ``limit`` and ``each`` per receiver; see
        :func:`.tables.take_deliveries`."""
        return self._membership.perform(op.TakeDeliveries(self.host_id, until, limit, each))

    def close(self) -> None:
        """Store what is spooled and let go of everything; harmless when repeated."""
        atexit.unregister(self.close)
        self._spool.close()
        self._membership.close()

    # -- inside ------------------------------------------------------------------------------

    def _change(self, operation: op.Operation) -> Future[Any]:
        future = self._membership.perform(operation)
        future.add_done_callback(lambda _: self._grow())
        return future

    def _raw(self, record: msgspec.Struct) -> msgspec.Raw:
        return msgspec.Raw(self._encoder.encode(record))

    def _grow(self) -> None:
        with self._lock:
            self._version += 1
        for listener in self._listeners:
            listener()

    def _on_ended(self) -> None:
        if self.ended is not None:
            self.ended()

    def _on_news(self, hosts: set[str]) -> None:
        if hosts - {self.host_id}:
            self._grow()


def _as_table(future: Future[Any]) -> Future[Table]:
    table: Future[Table] = Future()
    table.set_running_or_notify_cancel()

    def done(source: Future[Any]) -> None:
        error = source.exception()
        if error is None:
            table.set_result(Table(**source.result()))
        else:
            table.set_exception(error)

    future.add_done_callback(done)
    return table
