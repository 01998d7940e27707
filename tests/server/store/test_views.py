"""The public views: each column is documented, and what they say is what the reads say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb

from tests.server.store.builders import WAIT, deployment, entry, raw, run
from tests.server.store.test_lineage import graph, output, serve, step, training, using
from tests.server.store.test_versions import version
from warmcell.ids import new_id
from warmcell.records import DeploymentEntry, RunDetail
from warmcell_server.store import Store
from warmcell_server.store.guard import VIEWS

Rows = list[list[Any]]


def rows(store: Store, query: str) -> Rows:
    return store.sql(query).result(WAIT).rows


class TestComments:
    def test_none_is_missing(self, store: Store) -> None:
        """Every public view and every column of it says what it means, in the view of views."""
        found = rows(store, "SELECT * FROM views")
        assert {name for name, *_ in found} == set(VIEWS)
        assert [row[:2] for row in found if not row[3]] == []
        assert ["runs", "status", "VARCHAR"] in [row[:3] for row in found]
        assert len([row for row in found if row[1] is None]) == len(VIEWS)

    def test_they_stay(self, open_store: Callable[..., Store]) -> None:
        """They are there after the store was opened again, and after views were changed by another
        version of Warmcell."""
        store = open_store()
        before = rows(store, "SELECT * FROM views")
        database = store.home / "store.duckdb"
        store.close()
        again = open_store()
        assert rows(again, "SELECT * FROM views") == before
        again.close()
        with duckdb.connect(str(database)) as connection:
            connection.execute("CREATE OR REPLACE VIEW main.runs AS SELECT run_id FROM data.runs")
            connection.execute("COMMENT ON TABLE data.schema_version IS 'another'")
        assert rows(open_store(), "SELECT * FROM views") == before


class TestLineage:
    def test_as_the_walk(self, store: Store) -> None:
        """The view has every edge that a walk finds, and no other."""
        record, table, model = training(store)
        _, scores = using(store, model)
        number = serve(store, "live", model)
        serve(store, "other")
        shared = deployment(
            "other", store.host_id, pipeline="scoring", snapshot=2,
            traffic=raw({"weights": {"2": 0.9, str(number): 0.1, "7": 0}}),
        )  # fmt: skip
        store.append(DeploymentEntry(shared))
        again = run(pipeline="training")
        report = version("report", run_id=again.run_id, step="report", pipeline="training")
        steps = [step("load", 0, cached=record.run_id), step("report", 1, {"x": "load.output[0]"})]
        outputs = [output("load", table), output("report", report)]
        store.append(entry(again, RunDetail(steps=steps, artifacts=outputs, versions=[report])))
        called = run(pipeline="scoring", snapshot=number, deployment="live")
        answer = version("answers", run_id=called.run_id, step="score", pipeline="scoring")
        parts = RunDetail(
            steps=[step("score", 0)], versions=[answer], artifacts=[output("score", answer)]
        )
        store.append(entry(called, parts))
        made = store.change("make_model_version", id=new_id(), model="churn").result(WAIT)
        for kind, subject in (
            ("run", record.run_id), ("artifact_version", scores.id), ("deployment", "live"),
        ):  # fmt: skip
            store.change("link_model", id=made["id"], kind=kind, subject=subject).result(WAIT)
        walked = {
            (edge["source"], edge["target"], edge["relation"], edge["name"])
            for one in (table, model)
            for edge in graph(store, id=one.id)["edges"]
        }
        found = rows(
            store,
            "SELECT source_kind || ':' || source, target_kind || ':' || target, relation, name "
            "FROM lineage",
        )
        # the other snapshot has nothing to do with them
        rest = ["snapshot:scoring/2", "deployment:other", "served", None]
        found.remove(rest)
        assert sorted(map(str, found)) == sorted(str(list(edge)) for edge in walked)
        times = rows(store, "SELECT count(*), count(time) FROM lineage")
        assert times[0][0] == times[0][1]

    def test_recursion(self, store: Store) -> None:
        """SQL alone can follow it."""
        _, table, model = training(store)
        using(store, model)
        found = rows(
            store,
            f"""
            WITH RECURSIVE down(id) AS (
                SELECT '{table.id}' UNION
                SELECT target FROM lineage JOIN down ON source = down.id
            ) SELECT DISTINCT artifact FROM artifacts JOIN down ON version_id = id ORDER BY 1
            """,
        )
        assert found == [["churn-model"], ["scores"], ["training::load::output"]]


class TestArtifacts:
    def test_facts(self, store: Store) -> None:
        """Shapes and columns of frames and arrays are columns of the view."""
        facts = (
            {"rows": 3, "columns": 2, "schema": {"a": "int64", "b": "str"}},
            {"shape": [4, 5], "dtype": "float64"},
            {"items": 3},
        )
        found = [version(f"v{number}", facts=one) for number, one in enumerate(facts)]
        store.append(entry(run(), RunDetail(versions=found)))
        assert rows(store, "SELECT shape, column_names FROM artifacts ORDER BY artifact") == [
            [[3, 2], ["a", "b"]], [[4, 5], None], [None, None],
        ]  # fmt: skip


class TestModels:
    def test_versions(self, store: Store) -> None:
        """A row for each version with stages and tags, one for a model without versions, and the
        moves of stages."""
        store.change("put_model", name="empty", about={"license": "MIT"}).result(WAIT)
        ids = [new_id(), new_id()]
        for identifier, tags in zip(ids, (["a"], []), strict=True):
            store.change(
                "make_model_version", id=identifier, model="churn", tags=tags,
                about={"description": "x"},
            ).result(WAIT)  # fmt: skip
        assert rows(store, "SELECT model, number, license, tags FROM models ORDER BY ALL") == [
            ["churn", 1, None, ["a"]], ["churn", 2, None, None], ["empty", None, "MIT", None],
        ]  # fmt: skip
        assert rows(store, "SELECT version_id, description FROM models WHERE number = 2") == [
            [ids[1], "x"]
        ]
