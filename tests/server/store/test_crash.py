"""``kill -9`` at the worst moments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.server.store.builders import WAIT, StoreProcess, detail, entry, run
from warmcell_server.store import Store


def test_acknowledged_runs_survive_kill_9(
    open_store: Callable[..., Store], start_process: Callable[..., StoreProcess]
) -> None:
    """200 runs are appended, the process is killed at once: all 200 are there, each once."""
    process = start_process()
    acknowledged = process.call("append", 200)
    process.kill()
    store = open_store()
    assert store.role == "owner"
    ids = [item["run_id"] for item in store.list_runs(limit=1000).result(WAIT)]
    assert len(ids) == 200
    assert sorted(ids) == sorted(acknowledged)


def test_kills_between_batches_neither_lose_nor_repeat(
    open_store: Callable[..., Store], start_process: Callable[..., StoreProcess]
) -> None:
    """Killed again and again, with half of the records in the database and half in the spool."""
    acknowledged: list[str] = []
    for _ in range(4):
        process = start_process()
        acknowledged += process.call("append", 30)
        process.call("ids")
        acknowledged += process.call("append", 30)
        process.kill()
    ids = [item["run_id"] for item in open_store().list_runs(limit=1000).result(WAIT)]
    assert sorted(ids) == sorted(acknowledged)


def test_a_torn_last_line_of_a_dead_host_is_tolerated(
    home: Path, open_store: Callable[..., Store], start_process: Callable[..., StoreProcess]
) -> None:
    """Half a line is no record: it was never acknowledged. The lines before it are kept, the
    half is listed as an error and the file goes."""
    process = start_process()
    acknowledged = process.call("append", 5)
    process.kill()
    (file,) = (home / "spool").iterdir()
    with file.open("ab") as stream:
        stream.write(b'{"entry":"run","run":{"run_id":"tor')
    store = open_store()
    ids = [item["run_id"] for item in store.list_runs().result(WAIT)]
    assert sorted(ids) == sorted(acknowledged)
    assert not file.exists()
    (error,) = store.sql("SELECT line FROM errors").result(WAIT).rows
    assert "tor" in error[0]


def test_a_line_that_is_still_being_written_is_left_alone(store: Store) -> None:
    """The owner reads a live host's file up to its last whole line."""
    whole = run()
    store.append(entry(whole, detail(1)))
    (file,) = (store.home / "spool").iterdir()
    with file.open("ab") as stream:
        stream.write(b'{"entry":"run",')
    assert [item["run_id"] for item in store.list_runs().result(WAIT)] == [whole.run_id]
    assert store.sql("SELECT * FROM errors").result(WAIT).rows == []
