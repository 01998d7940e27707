"""What is deleted, and what never is."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.server.store.builders import WAIT, detail, entry, raw, run, snapshot
from warmcell.ids import now
from warmcell.records import ArtifactRecord, AuditEntry, AuditRecord, RunDetail, SnapshotEntry
from warmcell_server.store import Store

DAY = 86_400_000_000
DIGESTS = [f"{number:032x}" for number in range(4)]


def blob(store: Store, digest: str, age: float = 7200.0) -> Path:
    """Write a blob of 1000 bytes, ``age`` seconds ago."""
    path = store.blobs / digest
    path.write_bytes(b"x" * 1000)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_old_runs_go_with_all_their_parts(store: Store) -> None:
    """By age: ended runs only; the others keep their steps, artifacts and logs."""
    old, young = run(created_at=now() - 10 * DAY), run()
    going = run(created_at=now() - 10 * DAY, status="running", finished_at=None)
    for record in (old, young, going):
        store.append(entry(record, detail(2)))
    gone = store.prune(max_age_days=5).result(WAIT)
    assert gone["runs"] == 1
    left = {item["run_id"] for item in store.list_runs().result(WAIT)}
    assert left == {young.run_id, going.run_id}
    for view in ("steps", "artifacts", "logs"):
        assert store.sql(f"SELECT count(*) FROM {view}").result(WAIT).rows == [[4]]


def test_the_oldest_go_first_when_there_is_too_much(store: Store) -> None:
    """By bytes: what is left fits, and the newest are what is left."""
    records = [run(created_at=now() - (10 - n) * DAY, outputs=raw("x" * 10_000)) for n in range(10)]
    for record in records:
        store.append(entry(record))
    store.prune(max_bytes=35_000).result(WAIT)
    left = [item["run_id"] for item in store.list_runs().result(WAIT)]
    assert left == [record.run_id for record in reversed(records[-3:])]


def test_blobs_that_nothing_refers_to_go(store: Store) -> None:
    """A blob stays while an artifact or a snapshot refers to it, and while it is young, since it
    is written ahead of its record."""
    paths = [blob(store, digest) for digest in DIGESTS[:3]]
    young = blob(store, DIGESTS[3], age=0.0)
    kept = RunDetail(artifacts=[ArtifactRecord("a", "o", "numpy", "t", 1000, DIGESTS[0])])
    store.append(entry(run(), kept))
    number = store.add_snapshot(snapshot("s")).result(WAIT)
    manifest = raw({"code": "x", "buffers": [[DIGESTS[1], 1000]]})
    store.append(SnapshotEntry(snapshot("s", number=number, manifest=manifest)))
    assert store.prune().result(WAIT) == {
        "runs": 0, "versions": 0, "blobs": 1, "bytes": 1000,
    }  # fmt: skip
    assert [path.exists() for path in (*paths, young)] == [True, True, False, True]
    store.prune(max_age_days=0).result(WAIT)
    assert not paths[0].exists()
    assert paths[1].exists()


def test_front_ends_of_snapshots_stay(store: Store) -> None:
    """The manifest of a front end and the files that it names, as long as a snapshot has it."""
    site, file, lost, other = [blob(store, digest) for digest in DIGESTS]
    site.write_text(f'{{"files":{{"index.html":["{DIGESTS[1]}",1000,"text/html"]}}}}')
    os.utime(site, (0, 0))
    lost.unlink()
    for name, digest in (("a", DIGESTS[0]), ("b", DIGESTS[2])):
        store.add_snapshot(snapshot(name, settings=raw({"site": digest}))).result(WAIT)
    store.prune().result(WAIT)
    assert [path.exists() for path in (site, file, other)] == [True, True, False]


def test_the_audit_goes_by_age(store: Store) -> None:
    """Not by bytes: who could do what is asked long after."""
    for age in (10 * DAY, 0):
        store.append(AuditEntry(AuditRecord(now() - age, "key.created", "ada")))
    count = "SELECT count(*) FROM audit"
    store.prune(max_bytes=0).result(WAIT)
    assert store.sql(count).result(WAIT).rows == [[2]]
    store.prune(max_age_days=5).result(WAIT)
    assert store.sql(count).result(WAIT).rows == [[1]]


def test_files_that_are_no_blobs_are_left_alone(store: Store) -> None:
    """Retention deletes nothing whose name is not a digest."""
    other = blob(store, "notes.txt")
    store.prune(max_age_days=0, max_bytes=0).result(WAIT)
    assert other.exists()


def test_usage_counts_what_there_is(store: Store) -> None:
    """Runs, snapshots, and bytes by kind that add up."""
    store.append(entry(run(created_at=1_000_000)))
    store.add_snapshot(snapshot("s")).result(WAIT)
    blob(store, DIGESTS[0])
    usage = store.usage().result(WAIT)
    assert (usage["runs"], usage["snapshots"], usage["oldest"]) == (1, 1, 1_000_000)
    assert usage["blobs"] == 1000
    assert usage["total"] == usage["database"] + usage["blobs"] + usage["spool"]


def test_a_dry_run_says_what_would_go_and_takes_nothing(store: Store) -> None:
    """The same numbers as the real one, blobs included."""
    records = [run(created_at=now() - age * DAY) for age in (10, 9, 0)]
    for record, digest in zip(records, DIGESTS, strict=False):
        blob(store, digest)
        artifact = ArtifactRecord("s", "o", "npy", "array", 1000, digest)
        store.append(entry(record, RunDetail(artifacts=[artifact])))
    told = store.prune(max_age_days=5, dry_run=True).result(WAIT)
    assert (told["runs"], told["blobs"], told["bytes"]) == (2, 2, 2000)
    assert len(store.list_runs().result(WAIT)) == 3
    assert len(list(store.blobs.iterdir())) == 3
    gone = store.prune(max_age_days=5).result(WAIT)
    assert gone == told
    assert [left["run_id"] for left in store.list_runs().result(WAIT)] == [records[2].run_id]


def test_the_newest_stay_by_count_and_of_one_pipeline(store: Store) -> None:
    """By number, of all runs or of those of one pipeline or deployment only; runs that go on are
    not counted."""
    for name in ("a", "b"):
        for age in (3, 2, 1):
            store.append(
                entry(run(pipeline=name, deployment=f"on-{name}", created_at=now() - age * DAY))
            )
    store.append(entry(run(pipeline="a", status="running", finished_at=None)))

    def left() -> dict[str, int]:
        rows = store.sql("SELECT pipeline, count(*) FROM runs GROUP BY 1").result(WAIT).rows
        return dict(sorted(rows))

    assert store.prune(max_runs=1, pipeline="a").result(WAIT)["runs"] == 2
    assert left() == {"a": 2, "b": 3}
    assert store.prune(max_bytes=0, deployment="on-b").result(WAIT)["runs"] == 3
    assert left() == {"a": 2}
    assert store.prune(max_runs=0).result(WAIT)["runs"] == 1
    assert left() == {"a": 1}


def test_usage_tells_how_the_store_grows(store: Store) -> None:
    """Runs and bytes of the last day and the last week, by when a run was asked for."""
    for age, size in ((0, 1000), (3, 2000), (30, 4000)):
        store.append(entry(run(created_at=now() - age * DAY, outputs=raw("x" * size))))
    used = store.usage().result(WAIT)
    assert (used["runs"], used["last_day"]["runs"], used["last_week"]["runs"]) == (3, 1, 2)
    assert 1000 <= used["last_day"]["bytes"] < 2000
    assert 3000 <= used["last_week"]["bytes"] < 4000
