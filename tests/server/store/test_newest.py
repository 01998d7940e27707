"""Pages of a store that is larger than what is looked at first, against what SQL says at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.benchmarks.bigstore import make
from warmcell_server.store import Store

RUNS = 12_000
TAGGED = "run_id {no} IN (SELECT subject FROM tags WHERE kind = 'run' AND tag {test})"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Thousands of runs, of which every tenth has a tag: more than one look finds."""
    home = tmp_path_factory.mktemp("newest") / "store"
    make(home, RUNS, ingested=300)
    store = Store.open(home, host_id="newest", label="test")
    yield store
    store.close()


def ids(store: Store, **filters: Any) -> list[str]:
    return [run["run_id"] for run in store.list_runs(**filters).result(30)]


def said(store: Store, where: str, limit: int, offset: int = 0) -> list[str]:
    """The ids of the runs for which SQL holds, the newest first."""
    query = (
        f"SELECT run_id FROM runs WHERE {where} ORDER BY created_at DESC, run_id DESC "
        f"LIMIT {limit} OFFSET {offset}"
    )
    return [row[0] for row in store.sql(query).result(30).rows]


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        ({}, "true"),
        ({"status": "failed"}, "status = 'failed'"),
        ({"status": "failed,succeeded"}, "true"),
        (
            {"status": "failed,lost", "trigger": "call,cell", "pipeline": "pipeline-3"},
            "status = 'failed' AND pipeline = 'pipeline-3'",
        ),
        ({"status": "lost"}, "status = 'lost'"),
        ({"deployment": "deployment-4"}, "deployment = 'deployment-4'"),
        ({"tag": "nightly"}, TAGGED.format(no="", test="= 'nightly'")),
        (
            {"tag": "nightly", "status": "failed"},
            "status = 'failed' AND " + TAGGED.format(no="", test="= 'nightly'"),
        ),
        ({"tag": "few"}, TAGGED.format(no="", test="= 'few'")),
        ({"tag": "few", "status": "succeeded,failed"}, TAGGED.format(no="", test="= 'few'")),
        ({"tag": "contains:igh"}, TAGGED.format(no="", test="LIKE '%igh%'")),
        ({"tag": "notequals:nightly"}, TAGGED.format(no="NOT", test="= 'nightly'")),
        (
            {"tag": "startswith:n,notequals:few", "trigger": "cell"},
            "trigger = 'cell' AND "
            + TAGGED.format(no="", test="LIKE 'n%'")
            + " AND "
            + TAGGED.format(no="NOT", test="= 'few'"),
        ),
        ({"tag": "nightly,few"}, TAGGED.format(no="", test="= 'nightly'")
         + " AND " + TAGGED.format(no="", test="= 'few'")),
        ({"tag": "nobody"}, "false"),
        ({"text": "no balance", "status": "failed"}, "status = 'failed'"),
    ],
)  # fmt: skip
def test_pages_hold_what_fits_and_nothing_else(
    store: Store, filters: dict[str, Any], where: str
) -> None:
    """Page by page, by the last run and by a number, the runs that SQL finds come in its order."""
    wanted = said(store, where, 900)
    found: list[str] = []
    while len(found) < 900:
        page = ids(store, limit=300, **filters, **({"before": found[-1]} if found else {}))
        found += page
        if len(page) < 300:
            break
    assert found == wanted
    assert ids(store, limit=20, offset=70, **filters) == said(store, where, 20, 70)
    assert ids(store, limit=20, offset=1500, **filters) == said(store, where, 20, 1500)


def test_a_common_tag_is_followed_to_the_oldest(store: Store) -> None:
    """Nothing that has a tag is left out, however long the way to the last of it."""
    where = TAGGED.format(no="", test="= 'odd'")
    assert ids(store, limit=5000, tag="odd") == said(store, where, 5000)


def test_artifacts_are_counted_and_shown_by_their_newest(store: Store) -> None:
    """A list of artifacts says of each how many versions there are and which is the newest."""
    listed = store.read("list_artifacts", limit=1000).result(30)
    counted = store.sql(
        "SELECT artifact, count(*), sum(size)::BIGINT, max_by(version_id, number) FROM artifacts "
        "WHERE version_id IS NOT NULL AND status = 'stored' GROUP BY artifact"
    ).result(30)
    assert sorted([one["artifact"], one["versions"], one["size"], one["id"]] for one in listed) == (
        sorted(counted.rows)
    )
    times = [one["created_at"] for one in listed]
    assert times == sorted(times, reverse=True)


def test_artifacts_are_found_by_a_tag_of_a_version(store: Store) -> None:
    """A tag of one of its versions is enough for an artifact; several must all be there."""
    listed = store.read("list_artifacts", limit=1000).result(30)
    released = {one["artifact"] for one in listed if "::features::" in one["artifact"]}
    found = store.read("list_artifacts", limit=1000, tag="release").result(30)
    assert {one["artifact"] for one in found} == released
    others = store.read("list_artifacts", limit=1000, tag="notequals:release").result(30)
    assert {one["artifact"] for one in others} == {one["artifact"] for one in listed} - released
    assert store.read("list_artifacts", tag="release,nobody").result(30) == []


def test_versions_are_paged_by_tag(store: Store) -> None:
    """Pages of versions that have a tag meet without a gap."""
    first = store.read("list_versions", limit=200, tag="release").result(30)
    assert len(first) == 200
    second = store.read("list_versions", limit=200, tag="release", before=first[-1]["id"])
    found = [one["id"] for one in [*first, *second.result(30)]]
    rows = store.sql(
        "SELECT subject FROM tags WHERE kind = 'artifact_version' ORDER BY subject DESC"
    ).result(30)
    assert found == [subject for (subject,) in rows.rows][: len(found)]


def test_the_parts_of_a_run_are_its_own(store: Store) -> None:
    """A run from the middle has its three steps, what they gave with its versions, one line."""
    batch = store.list_runs(limit=1, trigger="cell", offset=1000).result(30)[0]
    run = store.get_run(batch["run_id"]).result(30)
    assert [step["step"] for step in run["steps"]] == ["features", "score", "respond"]
    assert [one["status"] for one in run["artifacts"]] == ["stored"] * 3
    assert len({one["version_id"] for one in run["artifacts"]}) == 3
    assert len(run["logs"]) == 1
    assert sorted(one["key"] for one in run["metadata"]) == ["accuracy", "rows"]


def test_what_uses_a_version_keeps_it(store: Store) -> None:
    """A run that takes a version of another one is named as what keeps it."""
    version = store.read("list_versions", limit=100, tag="release").result(30)[-1]
    found = store.read("find_version", name=version["id"]).result(30)
    assert [keeper["kind"] for keeper in found["kept_by"]] == ["run"]
    later = found["kept_by"][0]["name"]
    assert later > version["run_id"]
    assert store.get_run(later).result(30)["pipeline"]
