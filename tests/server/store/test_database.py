"""Opening the file: its schema, its migrations, its permissions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.server.store.builders import WAIT, entry
from warmcell.errors import StoreError, StoreTooNew
from warmcell_server.store import Store, database
from warmcell_server.store.database import migrations


def test_a_newer_schema_is_refused_and_left_alone(
    home: Path, open_store: Callable[..., Store]
) -> None:
    """The error says both versions and the way out; the file and the spool stay as they are, and
    the store can be opened again once Warmcell is new enough."""
    store = open_store()
    store.append(entry())
    store.close()
    with duckdb.connect(str(home / "store.duckdb")) as connection:
        connection.execute("INSERT INTO data.schema_version VALUES (999, 0, '9.9')")
    for _ in range(2):
        with pytest.raises(StoreTooNew, match="999") as caught:
            open_store()
        assert (caught.value.found, caught.value.known) == (999, len(migrations()))
        assert "Upgrade" in str(caught.value)
    with duckdb.connect(str(home / "store.duckdb")) as connection:
        connection.execute("DELETE FROM data.schema_version WHERE version = 999")
    assert len(open_store().list_runs().result(WAIT)) == 1
    assert len(list((home / "spool").iterdir())) == 1


def test_a_file_that_is_no_database_is_refused(
    home: Path, open_store: Callable[..., Store]
) -> None:
    """It is said which file, and it is not overwritten."""
    home.mkdir()
    (home / "store.duckdb").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(StoreError, match=r"store\.duckdb"):
        open_store()
    assert (home / "store.duckdb").read_bytes().startswith(b"not a database")


def test_a_database_of_another_program_is_refused(
    home: Path, open_store: Callable[..., Store]
) -> None:
    """A schema called ``data`` that is not ours is not written to."""
    home.mkdir()
    with duckdb.connect(str(home / "store.duckdb")) as connection:
        connection.execute("CREATE SCHEMA data; CREATE TABLE data.theirs (x INTEGER)")
    with pytest.raises(StoreError, match="not made by Warmcell"):
        open_store()


def test_a_store_is_for_its_user_alone(store: Store, home: Path) -> None:
    """Folders 0700, files 0600, and nothing of it goes into a git repository."""
    store.append(entry(), durable=True)
    store.list_runs().result(WAIT)
    assert (home / ".gitignore").read_text() == "*\n"
    for path in (home, *home.rglob("*")):
        if path.name.startswith((".git", "store.duckdb.")):
            continue
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where the folder should be: the error names it and WARMCELL_HOME."""
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(StoreError, match="WARMCELL_HOME"):
        Store.open(place / "store", host_id="h", label="l")


def test_a_host_id_must_be_a_file_name(home: Path) -> None:
    """A host id becomes part of file names, so that its letters are checked."""
    with pytest.raises(StoreError, match="host id"):
        Store.open(home, host_id="../x", label="l")


def test_a_file_that_needs_more_memory_is_opened_with_more(
    open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else runs with large outputs would keep every later server from starting."""
    store = open_store()
    store.append(entry())
    store.close()
    monkeypatch.setattr(database, "MEMORY", ("100KB",))
    with pytest.raises(StoreError, match=r"Memory|pin"):
        open_store()
    monkeypatch.setattr(database, "MEMORY", ("100KB", "256MB"))
    assert len(open_store().list_runs().result(WAIT)) == 1
