"""Tags in the store: what runs said of them, what people change, filters, exclusiveness."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.store.builders import WAIT, deployment, entry, run, snapshot
from warmcell.errors import Conflict, NotFound, UsageError
from warmcell.ids import new_id, now
from warmcell.records import DeploymentEntry, RunDetail, TagRecord, VersionRecord
from warmcell_server.store import Store


def tagged(run_id: str, *tags: str, **said: Any) -> RunDetail:
    return RunDetail(
        tags=[TagRecord(tag, "run", run_id, now(), run_id=run_id, **said) for tag in tags]
    )


def version(artifact: str, *tags: str, **changes: Any) -> VersionRecord:
    values: dict[str, Any] = {"kind": "json", "type": "int", "status": "stored"} | changes
    return VersionRecord(new_id(), artifact, created_at=now(), tags=list(tags), **values)


def add(store: Store, *tags: str | dict[str, Any], **on: Any) -> list[str]:
    named = [{"name": tag} if isinstance(tag, str) else tag for tag in tags]
    found: list[str] = store.change("add_tags", tags=named, on=on).result(WAIT)["tags"]
    return found


def holders(store: Store, tag: str, kind: str = "run") -> list[str]:
    return [one["subject"] for one in store.read("tagged", tag=tag, kind=kind).result(WAIT)]


def test_what_a_run_said_is_kept_and_filters_the_list(store: Store) -> None:
    """Its tags are in its detail and in the list; several conditions all have to be met."""
    first, second = run(), run()
    store.append(entry(first, tagged(first.run_id, "one", "two", "three")))
    store.append(entry(second, tagged(second.run_id, "two")))
    assert store.get_run(first.run_id).result(WAIT)["tags"] == ["one", "three", "two"]

    def found(tag: str) -> set[str]:
        return {item["run_id"] for item in store.list_runs(tag=tag).result(WAIT)}

    assert found("two") == {first.run_id, second.run_id}
    assert found("contains:wo,startswith:t,equals:three") == {first.run_id}
    assert found("contains:wo,startswith:t,equals:four") == set()
    assert found("endswith:wo,notequals:one") == {second.run_id}
    listed = {item["run_id"]: item["tags"] for item in store.list_runs().result(WAIT)}
    assert listed == {first.run_id: ["one", "three", "two"], second.run_id: ["two"]}


def test_an_exclusive_tag_moves_within_its_scope(store: Store) -> None:
    """The newest run of a pipeline has it, also within one batch; other pipelines keep theirs."""
    runs = [run(), run(), run(pipeline="other")]
    for record in runs:
        store.append(entry(record, tagged(record.run_id, "newest", exclusive=True)))
    assert set(holders(store, "newest")) == {runs[1].run_id, runs[2].run_id}
    add(store, "newest", kind="run", run=runs[0].run_id)
    assert set(holders(store, "newest")) == {runs[0].run_id, runs[2].run_id}


def test_an_exclusive_tag_moves_between_versions_and_snapshots(store: Store) -> None:
    """Of an artifact version the scope is the artifact, of a snapshot and deployment the
    pipeline."""
    owner = run()
    versions = [version("features"), version("features"), version("labels")]
    store.append(entry(owner, RunDetail(versions=versions)))
    best = {"name": "best", "exclusive": True}
    add(store, best, kind="artifact_version", id=versions[0].id)
    add(store, best, kind="artifact_version", artifact="features", version="2")
    add(store, best, kind="artifact_version", artifact="labels")
    kept = set(holders(store, "best", "artifact_version"))
    assert kept == {versions[1].id, versions[2].id}
    for digest in "ab":
        store.add_snapshot(snapshot(digest)).result(WAIT)
    for number in (1, 2):
        add(store, best, kind="snapshot", pipeline="churn", number=number)
    assert holders(store, "best", "snapshot") == ["churn/2"]
    for name in ("east", "west"):
        store.append(DeploymentEntry(deployment(name, store.host_id)))
        add(store, best, kind="deployment", deployment=name)
    assert holders(store, "best", "deployment") == ["west"]


def test_a_run_takes_a_tag_away_that_it_had(store: Store) -> None:
    """The last word of a run counts."""
    record = run()
    parts = tagged(record.run_id, "draft", "kept")
    parts.tags.append(TagRecord("draft", "run", record.run_id, now(), remove=True))
    store.append(entry(record, parts))
    assert store.get_run(record.run_id).result(WAIT)["tags"] == ["kept"]
    removed = store.change(
        "remove_tags", tags=["kept", "unknown"], on={"kind": "run", "run": record.run_id}
    )
    assert removed.result(WAIT)["tags"] == []


def test_tags_of_a_version_come_with_its_record(store: Store) -> None:
    """What an artifact's configuration says is on each of its versions."""
    made = version("features", "raw", "daily")
    store.append(entry(run(), RunDetail(versions=[made])))
    on = {"kind": "artifact_version", "id": made.id}
    assert store.read("tags_of", on=on).result(WAIT)["tags"] == ["daily", "raw"]


def test_what_a_run_takes_for_exclusive_is_said_in_its_logs(store: Store) -> None:
    """The definition that was there counts; a change by a person is refused instead."""
    store.change("create_tag", name="shared").result(WAIT)
    runs = [run(), run()]
    for record in runs:
        store.append(entry(record, tagged(record.run_id, "shared", exclusive=True)))
    assert len(holders(store, "shared")) == 2
    (log,) = store.get_run(runs[0].run_id).result(WAIT)["logs"]
    assert "'shared' is not exclusive" in log["text"]
    with pytest.raises(Conflict, match="not exclusive"):
        add(store, {"name": "shared", "exclusive": True}, kind="run", run=runs[0].run_id)


def test_tags_are_made_changed_and_deleted(store: Store) -> None:
    """A new name keeps who has it; the same definition twice is one; another is refused."""
    made = store.change("create_tag", name="gold", color="yellow", user="ada").result(WAIT)
    assert (made["color"], made["exclusive"], made["user"]) == ("yellow", False, "ada")
    assert store.change("create_tag", name="gold", color="yellow").result(WAIT) == made
    with pytest.raises(Conflict, match="already"):
        store.change("create_tag", name="gold", color="red").result(WAIT)
    record = run()
    store.append(entry(record))
    assert add(store, "gold", kind="run", run=record.run_id) == ["gold"]
    changed = store.change("update_tag", name="gold", new_name="best", color="red").result(WAIT)
    assert (changed["name"], changed["color"], changed["uses"]) == ("best", "red", {"run": 1})
    assert [tag["name"] for tag in store.read("list_tags").result(WAIT)] == ["best"]
    gone = store.change("delete_tag", name="best").result(WAIT)
    assert gone == {"name": "best", "removed_from": 1}
    assert store.get_run(record.run_id).result(WAIT)["tags"] == []
    with pytest.raises(NotFound, match="no tag 'best'"):
        store.change("delete_tag", name="best").result(WAIT)


def test_a_tag_of_many_cannot_become_exclusive(store: Store) -> None:
    """Which of them were to keep it is not ours to say."""
    runs = [run(), run()]
    for record in runs:
        store.append(entry(record, tagged(record.run_id, "both")))
    with pytest.raises(Conflict, match="2 of the kind run"):
        store.change("update_tag", name="both", exclusive=True).result(WAIT)
    on = {"kind": "run", "run": runs[0].run_id}
    store.change("remove_tags", tags=["both"], on=on).result(WAIT)
    assert store.change("update_tag", name="both", exclusive=True).result(WAIT)["exclusive"]


@pytest.mark.parametrize(
    ("on", "error"),
    [
        ({"kind": "run", "run": "nothing"}, NotFound),
        ({"kind": "run"}, UsageError),
        ({"kind": "riddle"}, UsageError),
        ({"kind": "pipeline", "pipeline": "nothing"}, NotFound),
        ({"kind": "deployment", "deployment": "nothing"}, NotFound),
        ({"kind": "snapshot", "pipeline": "churn", "number": "x"}, UsageError),
        ({"kind": "artifact_version", "id": "nothing"}, NotFound),
        ({"kind": "artifact_version", "artifact": "a", "version": "9"}, NotFound),
        ({"kind": "artifact", "artifact": "a"}, NotFound),
        ({"kind": "model", "model": "m"}, NotFound),
        ({"kind": "model_version", "model": "m", "version": "1"}, NotFound),
    ],
)
def test_what_is_not_there_is_named(
    store: Store, on: dict[str, Any], error: type[Exception]
) -> None:
    """Nothing is tagged then, and no tag is made."""
    with pytest.raises(error):
        store.change("add_tags", tags=[{"name": "t"}], on=on).result(WAIT)
    assert store.read("list_tags").result(WAIT) == []


def test_exclusive_needs_a_scope(store: Store) -> None:
    """A pipeline excludes no other pipeline."""
    store.append(entry(run()))
    with pytest.raises(UsageError, match="exclusive"):
        add(store, {"name": "only", "exclusive": True}, kind="pipeline", pipeline="churn")
    assert add(store, "team", kind="pipeline", pipeline="churn") == ["team"]


def test_runs_are_found_by_name_and_by_the_start_of_their_id(store: Store) -> None:
    """The newest of a name; a start that several have is refused."""
    older, newer = run(run_name="nightly"), run(run_name="nightly")
    for record in (older, newer):
        store.append(entry(record))
    add(store, "named", kind="run", run="nightly")
    assert holders(store, "named") == [newer.run_id]
    add(store, "short", kind="run", run=older.run_id[:30])
    assert holders(store, "short") == [older.run_id]
    with pytest.raises(Conflict, match="Several runs"):
        add(store, "short", kind="run", run=older.run_id[:3])


def test_tags_of_pruned_runs_go_with_them(store: Store) -> None:
    """Nothing is left of what is gone; what stays keeps its own."""
    old, young = run(created_at=1), run()
    for record in (old, young):
        store.append(entry(record, tagged(record.run_id, "kept")))
    store.prune(max_age_days=1).result(WAIT)
    assert holders(store, "kept") == [young.run_id]
