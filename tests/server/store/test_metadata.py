"""Metadata in the store: of runs and steps from their records, of anything by people."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.store.builders import WAIT, detail, entry, raw, run
from warmcell.errors import NotFound, UsageError
from warmcell.ids import new_id, now
from warmcell.records import MetadataRecord, RunDetail, RunRecord, VersionRecord
from warmcell_server.store import Store


def logged(record: RunRecord, step: str | None, **values: Any) -> RunDetail:
    """What a run logged, with its two steps."""
    parts = detail(2)
    kind, subject = ("step", f"{record.run_id}/{step}") if step else ("run", record.run_id)
    parts.metadata = [
        MetadataRecord(
            kind, subject, key, raw(value), type(value).__name__, now(), record.run_id, step
        )
        for key, value in values.items()
    ]
    return parts


def log(store: Store, values: dict[str, Any], *on: dict[str, Any]) -> Any:
    metadata = {
        key: {"value": value, "type": type(value).__name__} for key, value in values.items()
    }
    return store.change("log_metadata", metadata=metadata, on=list(on)).result(WAIT)


def test_a_run_shows_what_it_and_its_steps_logged(store: Store) -> None:
    """With type and time; a later value of a key replaces the one before."""
    record = run()
    store.append(entry(record, logged(record, None, note="first", nested={"a": [1, None]})))
    store.append(entry(record, logged(record, "step0", accuracy=0.5)))
    log(store, {"note": "second"}, {"kind": "run", "run": record.run_id})
    log(store, {"late": 1}, {"kind": "step", "run": record.run_id, "step": "step1"})
    found = store.get_run(record.run_id).result(WAIT)["metadata"]
    assert {(one["step"], one["key"]): (one["value"], one["type"]) for one in found} == {
        (None, "nested"): ({"a": [1, None]}, "dict"),
        (None, "note"): ("second", "str"),
        ("step0", "accuracy"): (0.5, "float"),
        ("step1", "late"): (1, "int"),
    }


def test_many_are_told_at_once_or_none(store: Store) -> None:
    """One that is not there leaves all as they were."""
    record = run()
    made = VersionRecord(new_id(), "features", "json", "int", "stored", now())
    parts = detail(1)
    parts.versions = [made]
    store.append(entry(record, parts))
    on = [
        {"kind": "run", "run": record.run_id},
        {"kind": "artifact_version", "artifact": "features", "version": "1"},
    ]
    log(store, {"python": "3.11"}, *on)
    for one in on:
        found = store.read("metadata_of", on=one).result(WAIT)["metadata"]
        assert found["python"]["value"] == "3.11"
    with pytest.raises(NotFound, match="no run 'nothing'"):
        log(store, {"python": "3.12"}, *on, {"kind": "run", "run": "nothing"})
    found = store.read("metadata_of", on=on[0]).result(WAIT)["metadata"]
    assert found["python"]["value"] == "3.11"


@pytest.mark.parametrize(
    ("on", "error"),
    [
        ({"kind": "pipeline", "pipeline": "churn"}, UsageError),
        ({"kind": "step", "run": "nightly", "step": "step9"}, NotFound),
        ({"kind": "step", "id": "no-slash"}, UsageError),
        ({"kind": "model_version", "model": "m"}, NotFound),
    ],
)
def test_what_cannot_be_logged_about_is_named(
    store: Store, on: dict[str, Any], error: type[Exception]
) -> None:
    """The kind, or what is not there."""
    store.append(entry(run(run_name="nightly"), detail(1)))
    with pytest.raises(error):
        log(store, {"a": 1}, on)


def test_runs_are_compared_side_by_side(store: Store) -> None:
    """Nested values by their path, those of steps by the step's name; what one lacks is None."""
    runs = [run(run_name="a"), run(run_name="b")]
    for record, accuracy in zip(runs, (0.5, 0.75), strict=True):
        values = {"scores": {"accuracy": accuracy, "classes": 2}}
        store.append(entry(record, logged(record, "step0", **values)))
    log(store, {"note": "only b"}, {"kind": "run", "run": "b"})
    on = [{"kind": "run", "run": name} for name in "ab"]
    found = store.read("compare_metadata", on=on).result(WAIT)
    assert found["subjects"] == [record.run_id for record in runs]
    assert found["rows"] == [
        {"key": "note", "values": [None, "only b"], "same": False},
        {"key": "step0.scores.accuracy", "values": [0.5, 0.75], "same": False},
        {"key": "step0.scores.classes", "values": [2, 2], "same": True},
    ]
    with pytest.raises(UsageError, match="2 to 20"):
        store.read("compare_metadata", on=on[:1]).result(WAIT)


def test_tags_and_metadata_are_tables_of_sql(store: Store) -> None:
    """Joined with the runs that have them."""
    record = run()
    store.append(entry(record, logged(record, "step0", accuracy=0.5)))
    on = {"kind": "run", "run": record.run_id}
    store.change("add_tags", tags=[{"name": "best", "exclusive": True}], on=on).result(WAIT)
    found = store.sql(
        "SELECT t.tag, t.exclusive, m.step, m.value::DOUBLE, m.type FROM runs r "
        "JOIN tags t ON t.kind = 'run' AND t.subject = r.run_id "
        "JOIN metadata m ON m.run_id = r.run_id AND m.key = 'accuracy'"
    ).result(WAIT)
    assert found.rows == [["best", True, "step0", 0.5, "float"]]


def test_metadata_of_pruned_runs_goes_with_them(store: Store) -> None:
    """Of the run and of its steps."""
    old = run(created_at=1)
    store.append(entry(old, logged(old, "step0", a=1)))
    log(store, {"b": 2}, {"kind": "run", "run": old.run_id})
    store.prune(max_age_days=1).result(WAIT)
    store.append(entry(run(run_id=old.run_id)))
    assert store.get_run(old.run_id).result(WAIT)["metadata"] == []
