"""Runs as OpenLineage events, checked against the schemas of the specification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry

from tests.server.store.builders import WAIT, entry, raw, run
from tests.server.store.test_lineage import output, serve, step, training, using
from warmcell.errors import NotFound
from warmcell.records import ErrorInfo, RunDetail, StepRecord, TagRecord
from warmcell_server.store import Store

Event = dict[str, Any]
SPEC = Path(__file__).parents[2] / "support" / "openlineage"


@pytest.fixture(scope="module")
def registry() -> Registry[Any]:
    """The schemas of the specification, found by their addresses; nothing is fetched."""
    texts = [json.loads(path.read_text(encoding="utf-8")) for path in SPEC.glob("*.json")]
    return Registry().with_contents((text["$id"], text) for text in texts)


def check(events: list[Event], registry: Registry[Any]) -> None:
    """Each event is one by its schema, and so is each facet by the one that it names."""
    formats = FormatChecker(["uuid"])
    for event in events:
        found: list[tuple[str, Any]] = [(event["schemaURL"], event)]
        pending: list[Any] = [event]
        while pending:
            part = pending.pop()
            if isinstance(part, dict):
                if "_schemaURL" in part:
                    found.append((part["_schemaURL"], part))
                pending += part.values()
            elif isinstance(part, list):
                pending += part
        for address, part in found:
            validator = Draft202012Validator(
                {"$ref": address}, registry=registry, format_checker=formats
            )
            validator.validate(part)


def events_of(store: Store, run_id: str, **more: Any) -> list[Event]:
    found: list[Event] = store.read("openlineage", run_id=run_id, **more).result(WAIT)
    return found


def told(event: Event) -> tuple[str, str]:
    return event["eventType"], event["job"]["name"]


def names(datasets: list[Event]) -> list[str]:
    return [dataset["name"] for dataset in datasets]


class TestEvents:
    def test_of_a_run(self, store: Store, registry: Registry[Any]) -> None:
        """The run and each step begin and complete; steps know their parent, and datasets their
        version, schema and size."""
        record, table, model = training(store, parameters=raw({"path": "a.csv", "n": [1]}))
        table.facts = {"rows": 3, "columns": 2, "schema": {"a": "int64", "b": "str"}}
        tag = TagRecord("best", "run", record.run_id, 1)
        store.append(entry(record, RunDetail(versions=[table], tags=[tag])))
        events = events_of(store, record.run_id)
        check(events, registry)
        assert sorted(map(told, events)) == [
            ("COMPLETE", "training"), ("COMPLETE", "training.load"),
            ("COMPLETE", "training.train"), ("START", "training"), ("START", "training.load"),
            ("START", "training.train"),
        ]  # fmt: skip
        assert told(events[0]) == ("START", "training")
        ends = {event["job"]["name"]: event for event in events if event["eventType"] != "START"}
        whole, load, train = ends["training"], ends["training.load"], ends["training.train"]
        assert whole["run"]["runId"] == record.run_id
        assert train["run"]["facets"]["parent"]["run"]["runId"] == record.run_id
        assert names(whole["inputs"]) == []
        assert sorted(names(whole["outputs"])) == ["churn-model", "training::load::output"]
        assert names(load["outputs"]) == names(train["inputs"]) == ["training::load::output"]
        (dataset,) = load["outputs"]
        assert dataset["facets"]["schema"]["fields"] == [
            {"name": "a", "type": "int64"}, {"name": "b", "type": "str"},
        ]  # fmt: skip
        statistics = dataset["outputFacets"]["outputStatistics"]
        assert (statistics["rowCount"], statistics["size"]) == (3, 100)
        assert dataset["facets"]["version"]["datasetVersion"] == "1"
        facets = whole["run"]["facets"]
        assert facets["executionParameters"]["parameters"] == [
            {"key": "path", "value": "a.csv"}, {"key": "n", "value": "[1]"},
        ]  # fmt: skip
        assert [tag["key"] for tag in facets["tags"]["tags"]] == ["best"]
        assert events == events_of(store, record.run_id)
        assert model.artifact in names(train["outputs"])

    def test_of_a_served_call(self, store: Store, registry: Registry[Any]) -> None:
        """What the snapshot holds went into the run, and its source into the jobs."""
        _, _, model = training(store)
        number = serve(store, "live", model)
        record = run(pipeline="scoring", snapshot=number, deployment="live")
        store.append(entry(record, RunDetail(steps=[step("score", 0), step("score_2", 1)])))
        events = events_of(store, record.run_id, namespace="prod")
        check(events, registry)
        assert {event["job"]["namespace"] for event in events} == {"prod"}
        assert names(events[0]["inputs"]) == ["churn-model"]
        code = {
            event["job"]["name"]: event["job"]["facets"].get("sourceCode", {}).get("sourceCode")
            for event in events
        }
        source = "def score(model): ..."
        assert code == {"scoring": None, "scoring.score": source, "scoring.score_2": source}
        assert len({event["run"]["runId"] for event in events}) == 3

    def test_of_a_failure(self, store: Store, registry: Registry[Any]) -> None:
        """A failed run says why, a step that never began says nothing."""
        error = ErrorInfo("ValueError", "no", "load", "Traceback …")
        record = run(status="failed", error=error)
        failed = StepRecord("load", 0, "failed", record.started_at, record.finished_at, error=error)
        store.append(entry(record, RunDetail(steps=[failed, StepRecord("train", 1, "skipped")])))
        events = events_of(store, record.run_id)
        check(events, registry)
        assert [told(event) for event in events] == [
            ("START", "churn"), ("START", "churn.load"), ("FAIL", "churn.load"), ("FAIL", "churn"),
        ]  # fmt: skip
        message = events[-1]["run"]["facets"]["errorMessage"]
        assert message["message"] == "ValueError: no"
        assert message["stackTrace"] == "Traceback …"

    def test_of_a_run_that_goes_on(self, store: Store, registry: Registry[Any]) -> None:
        """It has begun, and nothing more is said; what it reused is an input."""
        _, table, model = training(store)
        _, scores = using(store, model)
        record = run(pipeline="training", status="running", finished_at=None)
        store.append(
            entry(
                record,
                RunDetail(
                    steps=[step("load", 0, cached="x")],
                    artifacts=[output("load", table)],
                ),
            )
        )
        events = events_of(store, record.run_id)
        check(events, registry)
        assert told(events[0]) == ("START", "training")
        assert ("COMPLETE", "training") not in [told(event) for event in events]
        assert names(events[-1]["inputs"]) == ["training::load::output"]
        assert scores.artifact not in str(events)

    def test_unknown(self, store: Store) -> None:
        """A run that there is not is said to be none."""
        assert isinstance(store.read("openlineage", run_id="x").exception(WAIT), NotFound)
