"""The cache of steps in the store: the newest entries of steps, those of keys and of a run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from warmcell.errors import QueryError
from warmcell.ids import new_id, now
from warmcell.records import (
    CacheRecord,
    RunDetail,
    RunEntry,
    RunRecord,
    StepRecord,
    VersionRecord,
)
from warmcell_server.store import Store


def run(store: Store, *entries: CacheRecord, steps: tuple[StepRecord, ...] = ()) -> str:
    """A run with entries of the cache, and a version of a value for each."""
    record = RunRecord(new_id(), "p", "succeeded", now(), finished_at=now())
    versions = []
    for entry in entries:
        entry.run_id = record.run_id
        versions += [
            VersionRecord(
                version, f"p::{entry.step}::output", "json", "int", "stored", now(),
                run_id=record.run_id, step=entry.step, digest=f"digest of {version}",
                value=msgspec.Raw(b"7"),
            )
            for version in entry.versions
        ]  # fmt: skip
    detail = RunDetail(versions=versions, cache=list(entries), steps=list(steps))
    store.append(RunEntry(record, msgspec.Raw(msgspec.json.encode(detail))))
    return record.run_id


def entry(key: str, step: str = "a", **more: Any) -> CacheRecord:
    given = {"versions": [new_id()], "parts": {"code": key}, "created_at": now(), **more}
    outputs = msgspec.Raw(b'[["a","output","json","int"]]')
    return CacheRecord(key, "", step, "p", outputs=outputs, **given)


def found(store: Store, **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = store.read("cached_steps", **request).result(10)
    return answer


def keys(answer: dict[str, Any]) -> list[str]:
    return [one["key"] for one in answer["entries"]]


def test_the_newest_entries_of_steps(store: Store) -> None:
    """Of each step so many, the newest first; it is said of which there are more."""
    for number in range(4):
        run(store, entry(f"a{number}"), entry(f"b{number}", "b"), entry(f"c{number}", "c"))
    answer = found(store, steps="a,b,nothing", each=3)
    assert [key for key in keys(answer) if key[0] == "a"] == ["a3", "a2", "a1"]
    assert [key for key in keys(answer) if key[0] != "a"] == ["b3", "b2", "b1"]
    assert sorted(answer["full"]) == ["a", "b"]
    assert found(store, steps="a", each=4)["full"] == []
    of_pipeline = found(store, steps="x", pipeline="p", each=1)
    assert sorted(keys(of_pipeline)) == ["a3", "b3", "c3"]
    assert sorted(of_pipeline["steps"]) == ["a", "b", "c", "x"]
    assert sorted(keys(found(store, keys="a0,c0,zz"))) == ["a0", "c0"]


def test_an_entry_has_all_that_a_load_needs(store: Store) -> None:
    """Its parts and outputs, and the rows of its versions."""
    made = entry("k", expires_at=now() + 60_000_000)
    of = run(store, made)
    answer = found(store, steps="a")
    (one,) = answer["entries"]
    assert one["run_id"] == of
    assert one["parts"] == {"code": "k"}
    assert one["outputs"] == [["a", "output", "json", "int"]]
    assert one["expires_at"] is not None
    version = answer["versions"][made.versions[0]]
    assert (version["status"], version["value"], version["inline"]) == ("stored", 7, True)
    assert version["digest"] == f"digest of {made.versions[0]}"


def test_a_later_entry_takes_the_place_of_an_earlier_one(store: Store) -> None:
    """There is one entry of each key."""
    run(store, entry("k"))
    later = run(store, entry("k"))
    assert [one["run_id"] for one in found(store, steps="a")["entries"]] == [later]


def test_entries_of_a_run_are_what_it_made_and_what_it_took(store: Store) -> None:
    """So that a run that was resumed once can be resumed again."""
    first = run(store, entry("a1"))
    second = run(
        store, entry("b1", "b"), steps=(StepRecord("a", 0, "succeeded", 1, 2, 0, cached=first),)
    )
    assert sorted(keys(found(store, run=second))) == ["a1", "b1"]
    assert keys(found(store, run=first)) == ["a1"]


def test_entries_go_with_their_versions_and_their_run(store: Store) -> None:
    """Nothing is offered that is not there any more; clearing leaves the artifacts."""
    gone, kept = entry("a1"), entry("b1", "b")
    run(store, gone, kept)
    store.change("delete_versions", ids=gone.versions).result(10)
    assert keys(found(store, steps="a,b")) == ["b1"]
    assert store.change("clear_cache", step="nothing").result(10) == {"entries": 0}
    assert store.change("clear_cache", pipeline="p").result(10) == {"entries": 1}
    assert keys(found(store, steps="a,b")) == []
    assert store.read("find_version", name=kept.versions[0]).result(10)["status"] == "stored"
    run(store, entry("a2"))
    store.prune(max_runs=0).result(10)
    assert keys(found(store, steps="a")) == []


def test_wrong_requests_are_refused(store: Store) -> None:
    """By name."""
    with pytest.raises(QueryError, match="step"):
        found(store, nothing="a")
    with pytest.raises(QueryError, match="each must be 1"):
        found(store, steps="a", each=0)
