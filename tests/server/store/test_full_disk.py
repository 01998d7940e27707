"""A disk without room. The limit on the size of files stands for it: the system refuses the write
in the same way, for the spool as for DuckDB, and it needs no rights."""

from __future__ import annotations

from collections.abc import Callable

from tests.server.store.builders import StoreProcess, entry
from warmcell_server.store import Store

ROOM = 400_000


def test_a_full_disk_refuses_until_a_record_can_be_written(
    start_process: Callable[..., StoreProcess],
) -> None:
    """No room: the append raises, admission refuses, reads go on. Room again: admission lets in,
    and every run that was acknowledged is there, each once, and no other."""
    process = start_process()
    process.call("limit", ROOM)
    *acknowledged, refusal = process.call("append_until_refused", 20_000)
    assert refusal == "StoreFull"
    assert acknowledged
    assert process.call("admit") == "StoreFull"
    assert set(process.call("ids")) <= set(acknowledged)
    assert process.call("admit") == "StoreFull"
    process.call("limit", -1)
    assert process.call("admit") == "admitted"
    acknowledged += process.call("append", 3)
    assert sorted(process.call("ids_in_the_end", len(acknowledged))) == sorted(acknowledged)


def test_what_was_acknowledged_before_a_full_disk_survives_a_kill(
    start_process: Callable[..., StoreProcess], open_store: Callable[..., Store]
) -> None:
    """A full disk and ``kill -9`` together still keep every promise."""
    process = start_process()
    process.call("limit", ROOM)
    *acknowledged, _ = process.call("append_until_refused", 20_000)
    process.kill()
    ids = [item["run_id"] for item in open_store().list_runs(limit=1000).result(20)]
    assert sorted(ids) == sorted(acknowledged)


def test_a_refused_line_leaves_nothing_of_itself(
    start_process: Callable[..., StoreProcess], open_store: Callable[..., Store]
) -> None:
    """A line of which only a part found room is taken back: no error row tells of it."""
    process = start_process()
    process.call("limit", ROOM)
    process.call("append_until_refused", 20_000)
    process.call("limit", -1)
    process.call("append", 1)
    process.close()
    assert open_store().sql("SELECT * FROM errors").result(20).rows == []


def test_an_open_store_admits(store: Store) -> None:
    """Where nothing was refused, admission asks nobody."""
    store.append(entry())
    store.admit()


def test_a_database_that_broke_on_a_full_disk_is_opened_anew(
    start_process: Callable[..., StoreProcess],
) -> None:
    """A checkpoint without room makes DuckDB refuse everything, also once there is room. The
    spool takes records meanwhile, of which nobody says that they are not there, and afterwards all
    of them are, each once."""
    process = start_process()
    process.call("limit", 17_000_000)
    acknowledged = process.call("append", 220, "succeeded", 200_000)
    assert "full" in process.call("flush")
    assert process.call("find", acknowledged[-1]) == "StoreFull"
    process.call("limit", -1)
    assert sorted(process.call("ids_in_the_end", len(acknowledged))) == sorted(acknowledged)
