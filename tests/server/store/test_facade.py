"""What a host asks of its store."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.server.store.builders import WAIT, deployment, detail, entry, raw, run, snapshot
from warmcell.errors import NameTaken, NotFound, QueryError, StoreError
from warmcell.ids import now
from warmcell.records import (
    DeploymentEntry,
    DetailEntry,
    ErrorInfo,
    RunDetail,
    RunEntry,
    SnapshotEntry,
    StepRecord,
)
from warmcell_server.store import Store


def test_a_read_sees_what_was_appended_before(store: Store) -> None:
    """Read your writes: nothing has to be waited for between an append and a read."""
    record = run(parameters=raw({"x": [1, 2.5]}), outputs=raw({"y": "é"}), user="ann")
    store.append(entry(record, detail(2)))
    got = store.get_run(record.run_id).result(WAIT)
    assert got["parameters"] == {"x": [1, 2.5]}
    assert got["outputs"] == {"y": "é"}
    assert got["user"] == "ann"
    assert got["duration"] == pytest.approx(0.0015)
    assert got["created_at"].endswith("Z")
    assert [step["step"] for step in got["steps"]] == ["step0", "step1"]
    assert got["steps"][1]["index"] == 1
    assert got["steps"][0]["inputs"] == {"x": "$x"}
    assert got["artifacts"][0]["value"] == {"n": 1}
    assert got["logs"][0]["text"] == "hello\n"


def test_json_with_line_breaks_stays_one_record(store: Store) -> None:
    """A caller's pretty-printed JSON does not break the lines of the spool."""
    record = run(parameters=raw(None))
    record.parameters = type(raw(0))(b'{\r\n  "x": "a\\nb"\n}')
    store.append(entry(record))
    assert store.get_run(record.run_id).result(WAIT)["parameters"] == {"x": "a\nb"}


def test_an_unknown_run_is_not_found(store: Store) -> None:
    """A run that there is not raises NotFound, and so does one to page from."""
    with pytest.raises(NotFound, match="no run 'nope'"):
        store.get_run("nope").result(WAIT)
    with pytest.raises(NotFound):
        store.list_runs(before="nope").result(WAIT)


def test_a_later_record_replaces_an_earlier_one(store: Store) -> None:
    """A run goes from queued to its end, and what only the first record said is kept, in one
    batch and over several."""
    for wait in (False, True):
        record = run(status="queued", started_at=None, finished_at=None, parameters=raw({"x": 1}))
        store.append(entry(record))
        if wait:
            store.get_run(record.run_id).result(WAIT)
        end = run(run_id=record.run_id, outputs=raw({"y": 2}), created_at=record.created_at)
        store.append(entry(end))
        got = store.get_run(record.run_id).result(WAIT)
        assert got["status"] == "succeeded"
        assert got["parameters"] == {"x": 1}
        assert got["outputs"] == {"y": 2}
    assert len(store.list_runs().result(WAIT)) == 2


def test_a_run_that_ended_does_not_start_again(store: Store) -> None:
    """An end wins over a state that arrives late, and ``lost`` never wins over another end."""
    for wait in (False, True):
        record = run(status="failed", error=ErrorInfo("ValueError", "no", step="score"))
        store.append(entry(record))
        if wait:
            store.get_run(record.run_id).result(WAIT)
        store.append(entry(run(run_id=record.run_id, status="running", finished_at=None)))
        store.append(entry(run(run_id=record.run_id, status="lost", error=ErrorInfo("L", "l"))))
        got = store.get_run(record.run_id).result(WAIT)
        assert got["status"] == "failed"
        assert got["error"] == {"type": "ValueError", "message": "no", "step": "score"}


def test_details_add_up_and_a_step_replaces_itself(store: Store) -> None:
    """Several details make one run: logs add up, a later record of a step replaces it."""
    record = run(status="running", finished_at=None)
    store.append(entry(record))
    for status in ("running", "succeeded"):
        parts = RunDetail(
            steps=[StepRecord("a", 0, status)],  # type: ignore[arg-type]
            artifacts=detail(1).artifacts,
            logs=detail(1).logs,
        )
        store.append(DetailEntry(record.run_id, raw(parts)))
        store.get_run(record.run_id).result(WAIT)
    got = store.get_run(record.run_id).result(WAIT)
    assert [step["status"] for step in got["steps"]] == ["succeeded"]
    assert len(got["artifacts"]) == 1
    assert len(got["logs"]) == 2


def test_parts_that_come_before_their_run_are_replaced_too(store: Store) -> None:
    """A step is there once, even if its run's first record comes after it."""
    record = run()
    store.append(DetailEntry(record.run_id, raw(detail(1))))
    store.list_runs().result(WAIT)
    store.append(entry(record, detail(1)))
    assert len(store.get_run(record.run_id).result(WAIT)["steps"]) == 1


def test_runs_are_listed_newest_first_in_pages(store: Store) -> None:
    """Pages of ``before`` give every run once, also where times are equal."""
    records = [run(created_at=1_000_000 + index // 3) for index in range(10)]
    for record in records:
        store.append(entry(record))
    seen: list[str] = []
    cursor = None
    while page := store.list_runs(limit=4, before=cursor).result(WAIT):
        seen += [item["run_id"] for item in page]
        cursor = seen[-1]
    assert sorted(seen) == sorted(record.run_id for record in records)
    times = [record.created_at for run_id in seen for record in records if record.run_id == run_id]
    assert times == sorted(times, reverse=True)
    assert len(store.list_runs(limit=4, offset=8).result(WAIT)) == 2


def test_runs_are_filtered(store: Store) -> None:
    """Every filter keeps what it says."""
    start = now()
    store.append(entry(run(created_at=start - 3_600_000_000, pipeline="old")))
    store.append(entry(run(deployment="live", snapshot=2, trigger="call")))
    store.append(entry(run(status="failed", error=ErrorInfo("KeyError", "Berlin is missing"))))

    def count(**filters: object) -> int:
        return len(store.list_runs(**filters).result(WAIT))

    assert count(pipeline="old") == 1
    assert count(deployment="live", snapshot=2) == 1
    assert count(trigger="call,schedule") == 1
    assert count(status="failed") == 1
    assert count(since=start - 1) == 2
    assert count(until=start - 1) == 1
    assert count(since="2020-01-01T00:00:00Z") == 3
    assert count(text="berlin") == 1


@pytest.mark.parametrize(
    "filters", [{"colour": "red"}, {"snapshot": "two"}, {"limit": 0}, {"since": "yesterday"}]
)
def test_a_filter_that_makes_no_sense_is_refused(store: Store, filters: dict[str, object]) -> None:
    """Unknown filters, wrong types and odd values raise QueryError that names them."""
    with pytest.raises(QueryError, match=next(iter(filters))):
        store.list_runs(**filters).result(WAIT)


def test_snapshots_are_numbered_per_pipeline(store: Store) -> None:
    """The same digest keeps its number, another gets the next, each pipeline counts alone."""
    numbers = [
        store.add_snapshot(snapshot(digest, pipeline)).result(WAIT)
        for digest, pipeline in [("a", "p"), ("b", "p"), ("a", "p"), ("a", "q")]
    ]
    assert numbers == [1, 2, 1, 1]
    assert [item["number"] for item in store.list_snapshots("p").result(WAIT)] == [2, 1]
    assert len(store.list_snapshots().result(WAIT)) == 3
    with pytest.raises(NotFound, match="no snapshot 9"):
        store.get_snapshot("p", 9).result(WAIT)


def test_a_snapshot_entry_changes_what_is_stored_of_it(store: Store) -> None:
    """The worker says later where the stored form is; the number stays."""
    number = store.add_snapshot(snapshot("a")).result(WAIT)
    later = snapshot("a", number=number, stored="stored", manifest=raw({"code": "ff"}))
    store.append(SnapshotEntry(later))
    got = store.get_snapshot("churn", number).result(WAIT)
    assert got["stored"] == "stored"
    assert got["manifest"] == {"code": "ff"}


def test_deployments_say_who_serves_them_and_how_often(store: Store) -> None:
    """A claimed name has its holder, its runs are counted, and an entry changes its state."""
    store.claim(deployment("live", store.host_id)).result(WAIT)
    store.append(entry(run(deployment="live")))
    (got,) = store.deployments().result(WAIT)
    assert (got["name"], got["alive"], got["holder_label"]) == ("live", True, "a test")
    assert got["total_runs"] == 1
    store.append(DeploymentEntry(deployment("live", store.host_id, state="removed")))
    (got,) = store.deployments().result(WAIT)
    assert got["state"] == "removed"


def test_durable_waits_for_the_commit(store: Store) -> None:
    """``durable`` gives a future that ends when the record is in the database."""
    assert store.append(entry()) is None
    future = store.append(entry(), durable=True)
    assert future is not None
    assert future.result(WAIT) is None


def test_listeners_hear_of_every_record_until_they_end(store: Store) -> None:
    """``version`` grows with each append, and listeners are called after it has."""
    heard: list[int] = []
    end = store.subscribe(lambda: heard.append(store.version))
    before = store.version
    store.append(entry())
    store.append(entry())
    end()
    end()
    store.append(entry())
    assert heard == [before + 1, before + 2]


def test_many_threads_may_use_a_store(store: Store) -> None:
    """Appends and reads of several threads neither lose nor mix up anything."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(20):
                record = run(pipeline=f"p{number}", outputs=raw({"n": number}))
                store.append(entry(record, detail(1)))
                assert store.get_run(record.run_id).result(WAIT)["outputs"] == {"n": number}
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(store.list_runs(limit=200).result(WAIT)) == 80


def test_everything_is_there_after_a_restart(open_store: Callable[..., Store]) -> None:
    """Closing stores what is spooled, leaves no spool behind and may be repeated."""
    store = open_store()
    record = run()
    store.append(entry(record, detail(1)))
    store.add_snapshot(snapshot("a")).result(WAIT)
    store.close()
    store.close()
    assert list((store.home / "spool").iterdir()) == []
    again = open_store()
    assert len(again.get_run(record.run_id).result(WAIT)["steps"]) == 1
    assert again.add_snapshot(snapshot("a")).result(WAIT) == 1


def test_a_closed_store_says_so(store: Store) -> None:
    """Every use after ``close`` raises StoreError."""
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.append(RunEntry(run()))
    with pytest.raises(StoreError, match="closed"):
        store.list_runs()


def test_unfinished_runs_of_a_dead_host_are_lost(open_store: Callable[..., Store]) -> None:
    """A run that was still going when its host ended is lost, with the host as its cause."""
    store = open_store(label="the old server")
    record = run(status="running", finished_at=None)
    store.append(entry(record, RunDetail(steps=[StepRecord("a", 0, "running")])))
    store.close()
    got = open_store().get_run(record.run_id).result(WAIT)
    assert got["status"] == "lost"
    assert got["error"]["type"] == "RunLost"
    assert "the old server" in got["error"]["message"]
    assert got["steps"][0]["status"] == "lost"


def test_steps_that_ran_are_lost_with_their_run(store: Store) -> None:
    """Whoever lost the run, and also where a step is told of afterwards; not those that ended, and
    not those of a run that ended in another way."""
    going, ended = (run(status="running", finished_at=None) for _ in range(2))
    steps = [StepRecord("a", 0, "succeeded"), StepRecord("b", 1, "running")]
    for record in (going, ended):
        store.append(entry(record, RunDetail(steps=steps)))
    store.append(entry(run(run_id=ended.run_id, status="cancelled")))
    store.get_run(going.run_id).result(WAIT)
    for record in (going, ended):
        lost = run(run_id=record.run_id, status="lost", error=ErrorInfo("L", "l"))
        store.append(entry(lost))
    assert statuses(store, going.run_id) == ["succeeded", "lost"]
    late = RunDetail(steps=[StepRecord("c", 2, "running")])
    store.append(DetailEntry(going.run_id, raw(late)))
    assert statuses(store, going.run_id) == ["succeeded", "lost", "lost"]
    assert statuses(store, ended.run_id) == ["succeeded", "running"]


def statuses(store: Store, run_id: str) -> list[str]:
    """Those of the steps of a run."""
    return [one["status"] for one in store.get_run(run_id).result(WAIT)["steps"]]


def test_a_note_is_kept_with_its_snapshot(store: Store) -> None:
    """Deploying the same thing again keeps the number; a new note replaces the old one, and none
    leaves it."""
    for note, kept in (("first", "first"), (None, "first"), ("second", "second")):
        number = store.add_snapshot(snapshot("d1", note=note)).result(WAIT)
        assert number == 1
        assert store.get_snapshot("churn", 1).result(WAIT)["note"] == kept


def test_a_name_belongs_to_its_notebook(store: Store) -> None:
    """Another notebook is refused unless it says that it overtakes, also while nothing serves the
    name; a name that was given up is free, and what no notebook deployed belongs to nobody."""

    def claim(notebook: str | None, **options: bool) -> str | None:
        record = deployment("live", store.host_id, notebook=notebook)
        before = store.claim(record, **options).result(WAIT)
        return None if before is None else before["notebook"]

    assert claim("a.ipynb") is None
    assert claim("a.ipynb") == "a.ipynb"
    store.append(
        DeploymentEntry(deployment("live", store.host_id, notebook="a.ipynb", state="detached"))
    )
    with pytest.raises(NameTaken, match=r"belongs to a\.ipynb, and this is b\.ipynb") as caught:
        claim("b.ipynb")
    assert caught.value.holder == "a.ipynb"
    with pytest.raises(NameTaken, match="this is no notebook"):
        claim(None)
    assert claim("b.ipynb", overtake=True) == "a.ipynb"
    assert claim("b.ipynb::churn") == "b.ipynb", "its own, deployed by a command"
    assert claim("module.churn") == "b.ipynb::churn"
    assert claim("a.ipynb") == "module.churn"
    store.append(
        DeploymentEntry(deployment("live", store.host_id, notebook="a.ipynb", state="removed"))
    )
    assert claim("b.ipynb") is None
