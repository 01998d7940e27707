"""The DuckDB file: opening it, its settings, its schema, and opening it anew when it broke."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING

import duckdb

from warmcell import __version__
from warmcell.errors import StoreError, StoreFull, StoreTooNew
from warmcell.ids import now

from .files import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Database", "connect", "failure", "migrations"]

_TRIES, _TRY = 40, 0.05  # to stop a guest; seconds of each
PATIENCE = 10.0  # seconds that readers have to let go of a broken database

MEMORY = ("256MB", "2GB", "8GB")  # the next where the file cannot be opened with the one before

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "max_temp_directory_size": "4GB",  # of what a query puts on the disk meanwhile
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


class Database:
    """The open file. The writer thread alone uses ``connection`` and ``mend``; any thread may
    read through a :meth:`cursor` of its own.

    After some errors, a disk that is full during a checkpoint for one, DuckDB refuses everything
    until the file is opened anew: then it is ``broken``, and what was committed is in it.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._changed = threading.Condition()
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._guests: set[duckdb.DuckDBPyConnection] = set()
        self._connection: duckdb.DuckDBPyConnection | None = connect(layout)
        self._trouble: StoreError | None = None
        self.broken = False

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection for changes."""
        if self._connection is None:
            raise self._trouble or StoreError("The store is closed.")
        return self._connection

    @contextmanager
    def cursor(self, *, guest: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection for reading; an error in it that breaks the file is noticed. That of a
        ``guest`` gives way, see :meth:`reclaim`."""
        with self._changed:
            cursor = self.connection.cursor()
            self._cursors.add(cursor)
            if guest:
                self._guests.add(cursor)
        try:
            yield cursor
        except duckdb.Error as error:
            self.notice(error)
            raise
        finally:
            with self._changed:  # nobody interrupts one that is closed
                cursor.close()
                self._cursors.discard(cursor)
                self._guests.discard(cursor)
                self._changed.notify_all()

    def notice(self, error: duckdb.Error) -> None:
        """Remember that the file has to be opened anew, if ``error`` says so."""
        if isinstance(error, duckdb.FatalException) or "has been invalidated" in str(error):
            self.broken = True

    def mend(self) -> None:
        """Open the file anew. Raises :class:`StoreError` if that fails; it stays broken then."""
        with self._changed:
            self._let_go()
            try:
                self._connection = connect(self._layout)
            except StoreError as error:
                self._trouble = error
                raise
            self._trouble = None
            self.broken = False

    def interrupt(self) -> None:
        """End the queries under way."""
        with self._changed:
            for cursor in self._cursors:
                cursor.interrupt()

    def reclaim(self) -> None:
        """Stop what guests execute now, as somebody else lacks the memory that it takes."""
        with self._changed:
            waited = set(self._guests)
            for _ in range(_TRIES):
                waited &= self._guests
                if not waited:
                    break
                for cursor in waited:  # again and again: one between two statements is lost
                    cursor.interrupt()
                self._changed.wait(_TRY)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        with self._changed:
            self._trouble = None
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        for cursor in self._cursors:
            cursor.interrupt()
        self._changed.wait_for(lambda: not self._cursors, PATIENCE)
        if connection is not None:
            connection.close()


def connect(layout: Layout) -> duckdb.DuckDBPyConnection:
    """Open the database, bring its schema up to date and shut its doors.

    The caller holds the owner's lock. Raises :class:`StoreTooNew` for a schema that this Warmcell
    does not know (the file is left as it is) and :class:`StoreError` for a file that is not ours.
    """
    for memory in MEMORY[:-1]:
        try:
            return _connect(layout, memory)
        except StoreError as error:
            # Runs with outputs of many megabytes take more to be brought from the log to the file.
            if not _lacks_memory(error):
                raise
    return _connect(layout, MEMORY[-1])


def _connect(layout: Layout, memory: str) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(
            str(layout.database), config={**_SETTINGS, "memory_limit": memory}
        )
    except duckdb.Error as error:
        raise failure(error, f"The store {str(layout.database)!r} cannot be opened") from error
    try:
        _migrate(connection, migrations())
        # The order matters: the list first, then no file outside it, then no way to change that.
        # Of the blobs, users see those that are frames, by their name: made.py.
        folders = [str(folder).replace("'", "''") for folder in (layout.export, layout.blobs)]
        listed = "', '".join(folders)
        connection.execute(f"SET allowed_directories = ['{listed}']")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        raise failure(error, f"The store {str(layout.database)!r} cannot be opened") from error
    except BaseException:
        connection.close()
        raise
    layout.database.chmod(0o600)
    return connection


def migrations() -> list[str]:
    """Return the SQL that leads from each schema version to the next, the first from nothing."""
    folder = resources.files(__package__)
    later = sorted(
        (file for file in folder.joinpath("migrations").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    texts = [folder.joinpath("schema.sql").read_text(encoding="utf-8")]
    for number, file in enumerate(later, start=2):
        if not file.name.startswith(f"{number:04}_"):
            raise StoreError(f"The migration {file.name!r} should be number {number:04}.")
        texts.append(file.read_text(encoding="utf-8"))
    return texts


def failure(error: duckdb.Error, what: str) -> StoreError:
    """Return the error that says in our words what DuckDB said; ``what`` failed."""
    text = str(error)
    if _is_full(text):
        return StoreFull(
            f"{what}: the disk is full.", hint="Free some space; nothing acknowledged is lost."
        )
    return StoreError(f"{what}: {text}")


def _is_full(text: str) -> bool:
    return any(sign in text for sign in ("No space left", "quota exceeded", "File too large"))


def _lacks_memory(error: StoreError) -> bool:
    return any(sign in str(error) for sign in ("Out of Memory", "failed to pin", "MiB used)"))


def _migrate(connection: duckdb.DuckDBPyConnection, steps: Sequence[str]) -> None:
    known = len(steps)
    found = _version(connection)
    if found > known:
        raise StoreTooNew(
            f"The store has schema version {found}; this Warmcell {__version__} knows {known}.",
            found=found,
            known=known,
            hint="Upgrade Warmcell, or set WARMCELL_HOME to another folder.",
        )
    connection.execute("BEGIN")
    for number in range(found + 1, known + 1):
        connection.execute(steps[number - 1])
        connection.execute(
            "INSERT INTO data.schema_version VALUES (?, ?, ?)", [number, now(), __version__]
        )
    _put_views(connection, changed=found < known)
    connection.execute("COMMIT")


def _put_views(connection: duckdb.DuckDBPyConnection, *, changed: bool) -> None:
    """Make the public views anew, unless they and their tables are as they were."""
    folder = resources.files(__package__)
    texts = [folder.joinpath(n).read_text(encoding="utf-8") for n in ("views.sql", "comments.sql")]
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    rows = connection.execute(
        "SELECT comment FROM duckdb_tables() "
        "WHERE schema_name = 'data' AND table_name = 'schema_version'"
    ).fetchall()
    if changed or rows != [(digest,)]:
        for text in texts:
            connection.execute(text)
        connection.execute(f"COMMENT ON TABLE data.schema_version IS '{digest}'")


def _version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the schema version in the file, 0 for a new one."""
    tables = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'data'"
    ).fetchall()
    if not tables:
        return 0
    if ("schema_version",) not in tables:
        raise StoreError("The file store.duckdb was not made by Warmcell.")
    row = connection.execute("SELECT max(version) FROM data.schema_version").fetchall()
    return int(row[0][0] or 0)
