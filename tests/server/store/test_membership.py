"""Several processes on one store: one owns it, the others join, and one of them takes over."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.server.store.builders import (
    WAIT,
    StoreProcess,
    deployment,
    detail,
    entry,
    raw,
    run,
    snapshot,
)
from warmcell.errors import NameTaken, NotFound, QueryError
from warmcell.records import DeploymentEntry
from warmcell_server.store import Store


def test_a_second_store_joins_the_first(open_store: Callable[..., Store]) -> None:
    """Both see everything, whoever appended it, and all operations work for both."""
    first, second = open_store(), open_store()
    assert (first.role, second.role) == ("owner", "joined")
    records = [run(outputs=raw({"big": 2**70})), run()]
    for store, record in zip((first, second), records, strict=True):
        store.append(entry(record, detail(1)))
    for store in (first, second):
        for record in records:
            assert store.get_run(record.run_id).result(WAIT)["run_id"] == record.run_id
    assert second.get_run(records[0].run_id).result(WAIT)["outputs"] == {"big": 2**70}
    table = second.sql("SELECT count(*) AS n, max(created_at) FROM runs").result(WAIT)
    assert table.columns[0] == "n"
    assert table.rows[0][0] == 2
    assert second.add_snapshot(snapshot("a")).result(WAIT) == 1
    assert first.add_snapshot(snapshot("a")).result(WAIT) == 1
    future = second.append(entry(), durable=True)
    assert future is not None
    assert future.result(WAIT) is None
    assert second.usage().result(WAIT)["runs"] == 3


def test_errors_of_the_owner_reach_a_joined_store(open_store: Callable[..., Store]) -> None:
    """They have the types and the words that they have in the owner."""
    first, second = open_store(label="first", url="http://localhost:1/"), open_store()
    with pytest.raises(NotFound, match="no run 'x'"):
        second.get_run("x").result(WAIT)
    with pytest.raises(QueryError, match="Only SELECT"):
        second.sql("DROP TABLE runs").result(WAIT)
    first.claim(deployment("live", first.host_id)).result(WAIT)
    with pytest.raises(NameTaken, match="first at http://localhost:1/") as caught:
        second.claim(deployment("live", second.host_id)).result(WAIT)
    assert caught.value.holder == "first at http://localhost:1/"


def test_a_name_moves_once_its_holder_lets_go(open_store: Callable[..., Store]) -> None:
    """Undeployed or dead, the holder loses the name; what it said late changes nothing."""
    first, second = open_store(), open_store()
    second.claim(deployment("a", second.host_id)).result(WAIT)
    second.claim(deployment("b", second.host_id)).result(WAIT)
    second.append(DeploymentEntry(deployment("a", second.host_id, state="removed")))
    first.claim(deployment("a", first.host_id)).result(WAIT)
    second.append(DeploymentEntry(deployment("a", second.host_id, state="detached")))
    held = {item["name"]: item for item in first.deployments().result(WAIT)}
    assert held["a"]["host_id"] == first.host_id
    assert held["a"]["state"] == "serving"
    second.close()
    first.claim(deployment("b", first.host_id)).result(WAIT)


def test_records_of_others_are_news(open_store: Callable[..., Store]) -> None:
    """A listener hears of records that another process appended, in both directions."""
    first, second = open_store(), open_store()
    for writer, reader in ((first, second), (second, first)):
        heard = threading.Event()
        end = reader.subscribe(heard.set)
        before = reader.version
        writer.append(entry())
        assert heard.wait(WAIT)
        assert reader.version > before
        end()


def test_a_joined_store_takes_over_when_the_owner_closes(
    open_store: Callable[..., Store],
) -> None:
    """Nothing is lost, a read simply goes on, and a third store joins the new owner."""
    first, second = open_store(), open_store()
    records = [run(), run(status="running", finished_at=None)]
    first.append(entry(records[0]))
    second.append(entry(records[1]))
    first.close()
    assert len(second.list_runs().result(WAIT)) == 2
    assert second.role == "owner"
    third = open_store()
    assert third.role == "joined"
    assert third.get_run(records[1].run_id).result(WAIT)["status"] == "running"


def test_a_joining_host_is_known_to_live_before_it_has_a_spool(
    open_store: Callable[..., Store],
) -> None:
    """Else an owner that looks at that moment deletes the new spool as that of a dead host, and
    what is appended to it is gone."""
    first = open_store()
    for _ in range(10):
        reads = [first.list_runs(limit=1) for _ in range(5)]
        second = open_store()
        record = run()
        second.append(entry(record))
        assert first.get_run(record.run_id).result(WAIT)
        assert all(read.result(WAIT) is not None for read in reads)
        second.close()


def test_operations_under_way_survive_the_owner(open_store: Callable[..., Store]) -> None:
    """What was asked of an owner that closes meanwhile is answered by the next one."""
    first, second = open_store(), open_store()
    record = run()
    second.append(entry(record))
    closing = threading.Thread(target=first.close)
    closing.start()
    futures = [second.get_run(record.run_id) for _ in range(50)]
    assert all(future.result(WAIT)["run_id"] == record.run_id for future in futures)
    closing.join()


def test_processes_share_a_store_and_survive_each_other(
    open_store: Callable[..., Store], start_process: Callable[..., StoreProcess]
) -> None:
    """The owner is killed: one of the others takes over, every acknowledged run is there once,
    and the runs that the dead one had under way are lost with its name as the cause."""
    owner = start_process(label="the first server")
    assert owner.hello == {"role": "owner"}
    other = start_process()
    store = open_store()
    assert store.role == "joined"
    done = owner.call("append", 50)
    going = owner.call("append", 1, "running")
    done += other.call("append", 50)
    owner.kill()
    assert sorted(other.call("ids")) == sorted(done + going)
    assert sorted(item["run_id"] for item in store.list_runs(limit=500).result(WAIT)) == sorted(
        done + going
    )
    assert {store.role, other.call("role")} == {"owner", "joined"}
    lost = store.get_run(going[0]).result(WAIT)
    assert lost["status"] == "lost"
    assert "the first server" in lost["error"]["message"]


def test_a_killed_joined_process_loses_its_runs_and_its_names(
    store: Store, start_process: Callable[..., StoreProcess]
) -> None:
    """The owner notices by itself: spooled records come in, unfinished runs are lost."""
    other = start_process(label="a kernel")
    done, going = other.call("append", 20), other.call("append", 1, "running")
    assert other.call("claim", "live") == "claimed"
    with pytest.raises(NameTaken):
        store.claim(deployment("live", store.host_id)).result(WAIT)
    heard = threading.Event()
    store.subscribe(heard.set)
    other.kill()
    store.claim(deployment("live", store.host_id)).result(WAIT)
    while store.get_run(going[0]).result(WAIT)["status"] != "lost":
        assert heard.wait(WAIT)
    assert len(store.list_runs().result(WAIT)) == len(done) + 1
    assert not any((store.home / "hosts").glob("*.old"))
