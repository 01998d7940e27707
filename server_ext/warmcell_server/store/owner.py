"""The process that owns the database: one writer, a few readers, and who is alive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import duckdb
import msgspec

from warmcell.errors import NotFound, StoreError, StoreFull

from . import operations as op
from .database import Database, failure, migrations
from .exporting import export, staging
from .files import Layout
from .importing import fetched, opened, take_in
from .ingest import Ingestor
from .locks import is_held
from .reads import (
    get_run,
    get_snapshot,
    idempotency_keys,
    list_deployments,
    list_runs,
    list_snapshots,
)
from .record import CHANGES, READS
from .record.versions import lose_versions
from .retention import prune, usage
from .spooled import SpooledDeployment, SpooledSnapshot
from .sql import run_query
from .tables import add_snapshot, claim, lose_runs, take_deliveries
from .writer import Writer

__all__ = ["Owner"]

log = logging.getLogger("warmcell")

T = TypeVar("T")

READERS = 3
GUESTS = 2
PATIENCE = 30.0  # seconds that a read waits for what is spooled


class Owner:
    """Answers operations on the database file. The caller holds the owner's lock.

    ``ingested`` is called on the writer thread with the hosts whose records became readable.
    """

    def __init__(
        self,
        layout: Layout,
        host_id: str,
        ingested: Callable[[set[str]], None],
    ) -> None:
        self._layout = layout
        self._host_id = host_id
        self._labels: dict[str, str] = {}
        self._spooling = True
        self._database = Database(layout)
        ingestor = Ingestor(self._database, layout, self._may_write)
        self._writer = Writer(self._database, ingestor, ingested)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="warmcell-reader")
        # Users' queries wait for each other, and nobody for them.
        self._guests = ThreadPoolExecutor(GUESTS, thread_name_prefix="warmcell-sql")
        # What takes minutes has a thread of its own: the readers are for those who wait.
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="warmcell-export")
        self._closed = False
        self.sweep()

    def alive(self, host_id: str) -> bool:
        """Tell whether a host lives. Any thread may ask."""
        if host_id == self._host_id:
            return True
        return is_held(self._layout.hosts / f"{host_id}.lock")

    def wake(self, *, soon: bool = False) -> None:
        """Say that something was spooled, and whether it is likely to be read soon."""
        self._writer.wake(soon=soon)

    def sweep(self) -> Future[int]:
        """Mark the unfinished runs and artifacts of dead hosts as lost, and forget those
        hosts."""

        def job(connection: duckdb.DuckDBPyConnection) -> int:
            lost = lose_runs(connection, self.alive, self._bury())
            lose_versions(connection, self.alive)
            return lost

        swept = self._writer.submit(job)
        swept.add_done_callback(_log_failure)
        return swept

    def perform(self, operation: op.Operation) -> Future[Any]:
        """Do what ``operation`` says; the result is made of JSON's own types."""
        match operation:
            case op.ListRuns():
                return self._read(lambda cursor: list_runs(cursor, operation))
            case op.GetRun(run_id):
                return self._read(lambda cursor: get_run(cursor, run_id))
            case op.Query(query, limit, timeout):
                return self._read(
                    lambda cursor: msgspec.structs.asdict(  # its cells are JSON already
                        run_query(cursor, query, limit, timeout, self._layout.blobs)
                    ),
                    self._guests,
                )
            case op.ListSnapshots(pipeline):
                return self._read(lambda cursor: list_snapshots(cursor, pipeline))
            case op.GetSnapshot(pipeline, number):
                return self._read(lambda cursor: get_snapshot(cursor, pipeline, number))
            case op.ListDeployments():
                return self._read(self._deployments)
            case op.IdempotencyKeys(since, name):
                return self._read(lambda cursor: idempotency_keys(cursor, since, name))
            case op.Usage():
                return self._read(lambda cursor: usage(cursor, self._layout))
            case op.AddSnapshot(raw):
                snapshot = msgspec.json.decode(raw, type=SpooledSnapshot)
                return self._writer.submit(lambda con: add_snapshot(con, snapshot))
            case op.Claim(raw, label, url, overtake):
                deployment = msgspec.json.decode(raw, type=SpooledDeployment)
                return self._writer.submit(
                    lambda con: claim(con, deployment, label, url, self.alive, overtake=overtake)
                )
            case op.Prune(dry_run=True):
                return self._read(
                    lambda cursor: prune(self._layout, operation, lambda part: part(cursor))
                )
            case op.Prune():
                return self._aside(lambda: self._prune(operation))
            case op.Export(to, blobs):
                return self._aside(
                    lambda: self._run(
                        self._writer.ingest(),
                        lambda cursor: export(cursor, self._layout, to, blobs=blobs),
                    )
                )
            case op.Import(source):
                return self._aside(lambda: self._import(source))
            case op.TakeDeliveries():
                return self._writer.submit(lambda con: take_deliveries(con, operation, self.alive))
            case op.Read(what, request):
                return self._read(lambda cursor: READS[what](cursor, request))
            case op.Change(what, request):
                return self._writer.submit(lambda con: CHANGES[what](con, request))
            case op.Flush():
                return self._writer.ingest()

    def close(self, timeout: float) -> None:
        """Ingest what is spooled, end the threads and close the database, within ``timeout`` s.

        The spool of this host is closed by then, so that its file goes too.
        """
        if self._closed:
            return
        self._closed = True
        self._spooling = False
        ended = self._writer.close(timeout)
        self._database.interrupt()
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._guests.shutdown(wait=True, cancel_futures=True)
        self._slow.shutdown(wait=True, cancel_futures=True)
        if ended:
            # Else the writer still works on it; the process's end closes it, the spool has all.
            self._database.close()

    def _may_write(self, host_id: str) -> bool:
        """Tell whether a host may still append to its spool."""
        return self._spooling if host_id == self._host_id else self.alive(host_id)

    def _read(
        self,
        function: Callable[[duckdb.DuckDBPyConnection], T],
        readers: ThreadPoolExecutor | None = None,
    ) -> Future[T]:
        """Run ``function`` on a reader, after everything that is spooled by now."""
        fresh = self._writer.ingest()
        try:
            if readers is self._guests:
                return readers.submit(self._try, fresh, function, guest=True)
            return self._readers.submit(self._run, fresh, function)
        except RuntimeError as error:  # the executor is shut down
            raise StoreError("The store is closed.") from error

    def _aside(self, function: Callable[[], T]) -> Future[T]:
        try:
            return self._slow.submit(function)
        except RuntimeError as error:  # the executor is shut down
            raise StoreError("The store is closed.") from error

    def _import(self, source: str) -> dict[str, Any]:
        """Bring the files into the store's folder, then have the writer take their rows, in parts
        as for pruning."""
        blobs = self._layout.blobs
        with staging(self._layout) as stage:
            with opened(self._layout, source, len(migrations()), stage) as (folder, manifest):
                files = fetched(folder, manifest, stage, blobs)
            came = take_in(lambda part: self._writer.submit(part).result(), stage, manifest, blobs)
        return {"folder": source, "tables": came, **files}

    def _prune(self, wanted: op.Prune) -> dict[str, Any]:
        """Prune in many jobs of the writer, so that others get their turn between two of them. One
        at a time: its temporary tables are on the writer's connection."""
        return prune(self._layout, wanted, lambda part: self._writer.submit(part).result())

    def _run(self, fresh: Future[None], function: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        try:
            return self._try(fresh, function)
        except StoreError as error:
            if isinstance(error.__cause__, duckdb.OutOfMemoryException):
                self._database.reclaim()
            elif not self._database.broken or self._closed:
                raise
        # The writer opens it anew before it ingests.
        return self._try(self._writer.ingest(), function)

    def _try(
        self,
        fresh: Future[None],
        function: Callable[[duckdb.DuckDBPyConnection], T],
        *,
        guest: bool = False,
    ) -> T:
        behind: StoreFull | None = None
        try:
            fresh.result(PATIENCE)
        except StoreFull as error:
            behind = error  # what is in the database can still be read
        except TimeoutError as error:
            raise StoreError("The store did not take in its spool in time.") from error
        try:
            with self._database.cursor(guest=guest) as cursor:
                return function(cursor)
        except NotFound:
            if behind is not None:  # it may be in the spool: nobody can say that there is none
                raise behind from None
            raise
        except duckdb.Error as error:
            raise failure(error, "The store cannot be read") from error

    def _deployments(self, cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
        found = list_deployments(cursor)
        for deployment in found:
            deployment["alive"] = self.alive(deployment["host_id"])
        return found

    def _bury(self) -> dict[str, str]:
        """Remove the files of dead hosts; return the labels of all hosts that died so far."""
        for path in self._layout.hosts.glob("*.lock"):
            host_id = path.stem
            if self.alive(host_id):
                continue
            try:
                card = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
            except (OSError, msgspec.DecodeError):
                card = {}
            label = str(card.get("label") or host_id)
            self._labels[host_id] = f"{label}, process {card.get('pid', 'unknown')}"
            path.unlink(missing_ok=True)
        return self._labels


def _log_failure(swept: Future[int]) -> None:
    error = swept.exception()
    if error is not None:
        log.warning("Runs of hosts that ended could not be marked as lost: %s", error)
