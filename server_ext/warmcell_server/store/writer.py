"""The one thread that changes the database."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from warmcell.errors import StoreError

from .database import Database, failure
from .ingest import Ingestor

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Writer"]

T = TypeVar("T")

INTERVAL = 2.0  # seconds from the first spooled line to its batch, unless somebody reads before
SOON = 0.2  # seconds until what somebody will ask for next is ready for it
RETRY = 1.0  # seconds until a full disk is tried again


class Writer:
    """Changes the database. ``wake``, ``submit`` and ``close`` may be called by any thread.

    ``ingested`` is called on the writer thread after each look at the spool, with the hosts whose
    records are now readable.
    """

    def __init__(
        self,
        database: Database,
        ingestor: Ingestor,
        ingested: Callable[[set[str]], None],
    ) -> None:
        self._database = database
        self._ingestor = ingestor
        self._ingested = ingested
        self._changed = threading.Condition()
        self._dirty = False
        self._hurried = False
        self._closing = False
        self._jobs: deque[tuple[Future[Any], Callable[[DuckDBPyConnection], Any] | None]] = deque()
        self._thread = threading.Thread(target=self._run, name="warmcell-store", daemon=True)
        self._thread.start()

    def wake(self, *, soon: bool = False) -> None:
        """Say that something was spooled, and whether it is likely to be read soon. Cheap when that
        is already known."""
        if not self._dirty or (soon and not self._hurried):
            with self._changed:
                self._dirty = True
                self._hurried |= soon
                self._changed.notify()

    def ingest(self) -> Future[None]:
        """Store everything that is spooled by now; the future fails if the disk is full."""
        return self._add(None)

    def submit(self, job: Callable[[DuckDBPyConnection], T]) -> Future[T]:
        """Run ``job`` in a transaction of its own, after everything that is spooled by now."""
        return self._add(job)

    def close(self, timeout: float) -> bool:
        """Ingest once more, do what was submitted, and end; False if that took too long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _add(self, job: Callable[[DuckDBPyConnection], Any] | None) -> Future[Any]:
        future: Future[Any] = Future()
        with self._changed:
            if self._closing:
                future.set_exception(StoreError("The store is closed."))
                return future
            self._jobs.append((future, job))
            self._changed.notify()
        return future

    def _run(self) -> None:
        retry_at = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._jobs or self._closing)
                pause = max(INTERVAL, retry_at - time.monotonic())
                self._changed.wait_for(
                    lambda: self._jobs or self._closing or self._hurried, timeout=pause
                )
                if self._hurried:
                    self._changed.wait_for(lambda: self._jobs or self._closing, timeout=SOON)
                self._dirty = self._hurried = False
                jobs, self._jobs = self._jobs, deque()
                closing = self._closing
            trouble = self._ingest()
            if trouble is not None and not closing:
                retry_at = time.monotonic() + RETRY
                self._dirty = True
            for future, job in jobs:
                self._do(future, job, trouble)
            if closing:
                break

    def _ingest(self, *, again: bool = False) -> StoreError | None:
        try:
            if self._database.broken:
                self._database.mend()
            hosts = self._ingestor.ingest()
        except StoreError as error:
            return error
        except duckdb.Error as error:
            self._database.notice(error)
            if isinstance(error, duckdb.OutOfMemoryException) and not again:
                self._database.reclaim()
                return self._ingest(again=True)
            return failure(error, "The store cannot be written")
        except OSError as error:
            return StoreError(f"The spool cannot be read: {error}.")
        self._ingested(hosts)
        return None

    def _do(
        self,
        future: Future[Any],
        job: Callable[[DuckDBPyConnection], Any] | None,
        trouble: StoreError | None,
    ) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if trouble is not None:
            future.set_exception(trouble)
            return
        if job is None:
            future.set_result(None)
            return
        try:
            connection = self._database.connection
            connection.execute("BEGIN")
            result = job(connection)
            connection.execute("COMMIT")
        except duckdb.Error as error:
            self._database.notice(error)
            self._roll_back()
            future.set_exception(failure(error, "The store cannot be written"))
        except BaseException as error:
            # An outermost edge: the thread lives on, the caller gets the error.
            self._roll_back()
            future.set_exception(error)
        else:
            future.set_result(result)

    def _roll_back(self) -> None:
        try:
            self._database.connection.execute("ROLLBACK")
        except (duckdb.Error, StoreError):
            return  # no transaction is open
