"""From the spool into the tables, each line exactly once.

The position in each spool file is changed in the same transaction as the rows, so that a crash at
any point neither loses nor repeats a line. Runs on the writer thread only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from warmcell.ids import now

from .database import Database
from .files import Layout
from .record.cache import put_cache
from .record.tags import put_tags
from .record.versions import lose_versions_of, put_versions
from .rows import RUN_COLUMNS, Batch, Row, merge_runs
from .spool import SpoolFile, files
from .tables import lose_steps_of, put_deployment, put_snapshot

if TYPE_CHECKING:
    import duckdb

__all__ = ["Ingestor"]

_READ = 1 << 20
_STATUS = RUN_COLUMNS.index("status")
_AS_STEP = 3  # the status in the row of a step
_BREATH = 64  # lines or rows between two chances for the event loop to have the GIL


class Ingestor:
    """Knows how far every spool file is in the database.

    ``writes`` tells whether a host may still append; the file that it appends to is kept then.
    """

    def __init__(self, database: Database, layout: Layout, writes: Callable[[str], bool]) -> None:
        self._database = database
        self._layout = layout
        self._writes = writes
        self._parts_only: set[str] = set()  # runs of which parts came before the run itself
        self._positions: dict[str, int] | None = None  # None: the database has to be asked

    def ingest(self) -> set[str]:
        """Store every whole line that the spool holds now; return the hosts that had some.

        Raises :class:`duckdb.Error` if the database refuses whatever it is given, a full disk for
        one; nothing is lost then and the next call begins where this one stopped.
        """
        positions, self._positions = self._positions, None
        if positions is None:
            # After an error only the database knows what it has committed.
            rows = self._database.connection.execute(
                "SELECT file, position FROM data.spool_offsets"
            ).fetchall()
            positions = dict(rows)
        found = files(self._layout.spool)
        hosts = {file.host_id for file in found if self._ingest_file(file, positions)}
        self._tidy(found, positions)
        self._positions = positions
        return hosts

    def _ingest_file(self, file: SpoolFile, positions: dict[str, int]) -> bool:
        position = start = positions.get(file.name, 0)
        # What is appended meanwhile is left to the next round: else nobody who waits for this one
        # would ever be served while calls keep coming.
        end = os.stat(file.path).st_size
        while position < end and (data := file.read(position, min(_READ, end - position))):
            lines = data.split(b"\n")
            lines.pop()
            self._store(file, position, lines)
            position += len(data)
            positions[file.name] = position
        return position > start

    def _store(self, file: SpoolFile, position: int, lines: Sequence[bytes]) -> None:
        """Commit ``lines``; if the database refuses them, halve until the bad line stands alone."""
        end = position + sum(map(len, lines)) + len(lines)
        try:
            self._commit(file, end, lines)
        except _refusals() as error:
            if len(lines) == 1:
                self._commit(file, end, (), [(lines[0], str(error))])
                return
            middle = len(lines) // 2
            first = position + sum(map(len, lines[:middle])) + middle
            self._store(file, position, lines[:middle])
            self._store(file, first, lines[middle:])

    def _commit(
        self,
        file: SpoolFile,
        end: int,
        lines: Iterable[bytes],
        refused: Iterable[tuple[bytes, str]] = (),
    ) -> None:
        batch = Batch()
        errors = [_error_row(file, line, reason) for line, reason in refused]
        for count, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    batch.add(line, file.host_id)
                except (msgspec.DecodeError, RecursionError) as error:
                    errors.append(_error_row(file, line, str(error)))
            if count % _BREATH == 0:
                time.sleep(0)
        connection = self._database.connection
        connection.execute("BEGIN")
        try:
            orphans = self._apply(batch, file.host_id)
            _append(connection, "data.errors", errors)
            connection.execute(
                "INSERT OR REPLACE INTO data.spool_offsets VALUES (?, ?)", [file.name, end]
            )
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        self._parts_only = orphans

    def _apply(self, batch: Batch, host_id: str) -> set[str]:
        """Write the rows of ``batch``; return the runs of which only parts are known."""
        connection = self._database.connection
        known = self._known(batch.runs) if batch.runs else {}
        updates = [merge_runs(known[key], row) for key, row in batch.runs.items() if key in known]
        inserts = [row for key, row in batch.runs.items() if key not in known]
        _append(connection, "data.runs", inserts)
        if updates:
            with connection.appender("data.runs", action="upsert") as appender:
                appender.append_rows(updates)
        fresh = {row[0] for row in inserts} - self._parts_only
        self._forget("data.steps", ("step_index",), batch.steps, fresh)
        _append(connection, "data.steps", batch.steps.values())
        self._forget("data.artifacts", ("step", "name"), batch.artifacts, fresh)
        _append(connection, "data.artifacts", batch.artifacts.values())
        _append(connection, "data.logs", batch.logs)
        if batch.versions:
            put_versions(connection, batch.versions.values(), host_id)
        lost = [key for key, row in batch.runs.items() if row[_STATUS] == "lost"]
        if lost:
            lose_versions_of(connection, lost)
        self._lose_steps(batch, lost)
        _append(connection, "data.uses", batch.uses)
        if batch.metadata:
            with connection.appender("data.metadata", action="upsert") as appender:
                appender.append_rows(list(batch.metadata.values()))
        if batch.tags:
            put_tags(connection, batch.tags)
        if batch.cache:
            put_cache(connection, batch.cache.values())
        if batch.code:
            connection.execute(
                "INSERT OR IGNORE INTO data.code SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
                [list(batch.code), list(batch.code.values())],
            )
            _append(connection, "data.run_code", batch.run_code)
        _append(connection, "data.audit", batch.audit)
        if batch.deliveries:
            with connection.appender("data.deliveries", action="upsert") as appender:
                appender.append_rows(list(batch.deliveries.values()))
        for snapshot in batch.snapshots:
            put_snapshot(connection, snapshot)
        for deployment in batch.deployments:
            put_deployment(connection, deployment, host_id)
        parts = {key[0] for key in batch.steps} | {key[0] for key in batch.artifacts}
        return (self._parts_only | (parts - known.keys())) - batch.runs.keys()

    def _known(self, runs: Iterable[str]) -> dict[str, Row]:
        columns = ", ".join(f'"{column}"' for column in RUN_COLUMNS)
        rows = self._database.connection.execute(
            f"SELECT {columns} FROM data.runs WHERE run_id IN (SELECT unnest(?::VARCHAR[]))",
            [list(runs)],
        ).fetchall()
        return {row[0]: list(row) for row in rows}

    def _lose_steps(self, batch: Batch, lost: Sequence[str]) -> None:
        """Steps that ran when their run was lost are lost too, also those that are told of later:
        nobody will say how they ended."""
        late = {key[0] for key, row in batch.steps.items() if row[_AS_STEP] == "running"}
        wanted = [*late.union(lost)]
        if not wanted:
            return
        rows = self._database.connection.execute(  # one of two records need not have counted
            "SELECT run_id FROM data.runs WHERE status = 'lost' "
            "AND run_id IN (SELECT unnest(?::VARCHAR[]))",
            [wanted],
        ).fetchall()
        if rows:
            lose_steps_of(self._database.connection, [run_id for (run_id,) in rows])

    def _forget(
        self,
        table: str,
        columns: tuple[str, ...],
        parts: Iterable[tuple[str | int, ...]],
        fresh: set[str],
    ) -> None:
        """Delete the parts that are about to be replaced; a fresh run has none."""
        old = [key for key in parts if key[0] not in fresh]
        if not old:
            return
        names = ", ".join(("run_id", *columns))
        lists = ", ".join(["unnest(?)"] * (len(columns) + 1))
        self._database.connection.execute(
            f"DELETE FROM {table} WHERE ({names}) IN (SELECT {lists})",
            [list(values) for values in zip(*old, strict=True)],
        )

    def _tidy(self, found: Sequence[SpoolFile], positions: dict[str, int]) -> None:
        """Delete the files that are in the database as a whole and that nobody writes to."""
        last = {file.host_id: file for file in found}
        for file in found:
            finished = file is not last[file.host_id] or not self._writes(file.host_id)
            if not finished:
                continue
            position = positions.get(file.name, 0)
            torn = file.tail(position)
            if b"\n" in torn:
                continue  # it grew since; the next round takes it
            if torn:
                self._store(file, position, [torn])
            file.path.unlink(missing_ok=True)
        gone = positions.keys() - {file.name for file in files(self._layout.spool)}
        if gone:
            self._database.connection.execute(
                "DELETE FROM data.spool_offsets WHERE file IN (SELECT unnest(?))", [list(gone)]
            )
            for name in gone:
                del positions[name]


def _append(connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Row]) -> None:
    rows = list(rows)
    if rows:
        with connection.appender(table) as appender:
            for start in range(0, len(rows), _BREATH):
                appender.append_rows(rows[start : start + _BREATH])  # holds the GIL all the time
                time.sleep(0)


def _error_row(file: SpoolFile, line: bytes, reason: str) -> Row:
    return [now(), file.name, file.host_id, reason, line.decode("utf-8", "replace")]


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    import duckdb

    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        # Without an open transaction there is nothing to undo; a broken database says so again
        # at the next statement.
        return


def _refusals() -> tuple[type[Exception], ...]:
    """The errors that are about a row and not about the database or its disk."""
    import duckdb

    return (duckdb.DataError, duckdb.IntegrityError, OverflowError)
