"""Lineage in the store: what a version came from, what was made of it, and how far that is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from tests.server.store.builders import WAIT, deployment, entry, raw, run, snapshot
from tests.server.store.test_versions import version
from warmcell.errors import Conflict, NotFound, QueryError, UsageError
from warmcell.ids import new_id, now
from warmcell.records import (
    ArtifactRecord,
    CodeRecord,
    DeploymentEntry,
    RunDetail,
    RunRecord,
    StepRecord,
    TagRecord,
    UseRecord,
    VersionRecord,
)
from warmcell_server.store import Store

Graph = dict[str, Any]


def step(name: str, index: int, inputs: dict[str, str] | None = None, **more: Any) -> StepRecord:
    return StepRecord(name, index, "succeeded", now(), now(), 1, (), inputs or {}, **more)


def output(step_name: str, one: VersionRecord, name: str = "output") -> ArtifactRecord:
    return ArtifactRecord(step_name, name, one.kind, one.type, version=one.id)


def training(store: Store, **changes: Any) -> tuple[RunRecord, VersionRecord, VersionRecord]:
    """A run of two steps: ``load`` gives a table, ``train`` takes it and gives a model."""
    record = run(pipeline="training", **changes)
    of_run = {"run_id": record.run_id, "pipeline": "training", "name": "output"}
    table = version("training::load::output", step="load", **of_run)
    model = version("churn-model", step="train", role="model", **of_run)
    store.append(
        entry(
            record,
            RunDetail(
                steps=[step("load", 0, {"path": "$path"}), step("train", 1, {"x": "load.output"})],
                artifacts=[output("load", table), output("train", model)],
                versions=[table, model],
            ),
        )
    )
    return record, table, model


def using(store: Store, one: VersionRecord, **changes: Any) -> tuple[RunRecord, VersionRecord]:
    """A run that takes a version from elsewhere and gives another one."""
    record = run(pipeline="scoring", **changes)
    scores = version(
        "scores", run_id=record.run_id, step="score", pipeline="scoring", name="output"
    )
    store.append(
        entry(
            record,
            RunDetail(
                steps=[step("score", 0, {"model": "$model"})],
                artifacts=[output("score", scores)],
                versions=[scores],
                uses=[UseRecord(record.run_id, "model", one.id, now(), "score")],
            ),
        )
    )
    return record, scores


def serve(store: Store, name: str, *held: VersionRecord, **changes: Any) -> int:
    """Deploy a snapshot that holds versions; return its number."""
    names = [{"name": "model", "by": "reference", "version": one.id} for one in held]
    number = store.add_snapshot(
        snapshot(
            new_id(), "scoring", held=raw(names), source=bytes(raw(SOURCE)).decode(), **changes
        )
    ).result(WAIT)
    store.append(
        DeploymentEntry(deployment(name, store.host_id, pipeline="scoring", snapshot=number))
    )
    return number


SOURCE = [{"name": "score", "kind": "step", "source": "def score(model): ...", "cell": "In[2]"}]


def graph(store: Store, kind: str = "artifact_version", **request: Any) -> Graph:
    found: Graph = store.read("lineage", kind=kind, **request).result(WAIT)
    return found


def edges(found: Graph) -> set[tuple[str, str, str]]:
    """The edges by the labels of their ends."""
    labels = {node["id"]: node["label"] for node in found["nodes"]}
    return {
        (labels[edge["source"]], edge["relation"], labels[edge["target"]])
        for edge in found["edges"]
    }


def labels(found: Graph) -> set[str]:
    return {node["label"] for node in found["nodes"]}


def rows_of(store: Store, query: str) -> list[list[Any]]:
    return store.sql(query).result(WAIT).rows


class TestWalk:
    def test_both_ways(self, store: Store) -> None:
        """A version is followed up to what its step took, and down through other runs, the snapshot
        that holds it, and the deployment that serves it."""
        record, _, model = training(store)
        used, scores = using(store, model)
        serve(store, "live", model)
        found = graph(store, id=model.id)
        assert edges(found) == {
            ("load", "output", "output@1"),
            ("output@1", "input", "train"),
            ("train", "output", "churn-model@1"),
            ("churn-model@1", "input", "score"),
            ("score", "output", "scores@1"),
            ("churn-model@1", "held", "scoring@1"),
            ("scoring@1", "served", "live"),
        }
        assert found["roots"] == [f"artifact_version:{model.id}"]
        assert not found["truncated"]
        assert found["runs"].keys() == {record.run_id, used.run_id}
        assert found["runs"][record.run_id]["pipeline"] == "training"
        (inward,) = [edge for edge in found["edges"] if edge["target"].endswith("/score")]
        assert inward["name"] == "model"
        nodes = {node["label"]: node for node in found["nodes"]}
        assert nodes["scores@1"]["key"] == scores.id
        assert nodes["live"]["detail"] == "deployment · 0 calls"
        assert nodes["train"]["detail"].startswith("training")

    def test_one_way(self, store: Store) -> None:
        """Each direction can be asked for alone, from any kind of node."""
        record, _, model = training(store)
        using(store, model)
        serve(store, "live", model)
        up = graph(store, id=model.id, direction="up")
        assert labels(up) == {"load", "output@1", "train", "churn-model@1"}
        down = graph(store, id=model.id, direction="down")
        assert labels(down) == {"churn-model@1", "score", "scores@1", "scoring@1", "live"}
        assert labels(graph(store, "deployment", deployment="live", direction="up")) == {
            "live", "scoring@1", "churn-model@1", "train", "output@1", "load",
        }  # fmt: skip
        of_run = graph(store, "run", run=record.run_id, direction="up")
        assert of_run["roots"] == [f"step:{record.run_id}/load", f"step:{record.run_id}/train"]
        assert "churn-model@1" not in labels(of_run)
        of_step = graph(store, "step", run=record.run_id, step="load", direction="down")
        assert labels(of_step) == labels(up) | labels(down)
        assert labels(graph(store, "artifact", artifact="churn-model", direction="up")) == labels(
            up
        )

    def test_by_key(self, store: Store) -> None:
        """Each node can be asked for by its kind and key, which is how a drawing goes on."""
        record, _, model = training(store)
        serve(store, "live", model)
        store.change("make_model_version", id=new_id(), model="churn").result(WAIT)
        for node in graph(store, id=model.id)["nodes"]:
            again = graph(store, node["kind"], id=node["key"], depth=1)
            assert again["roots"] == [node["id"]]
        assert len(graph(store, "run", id=record.run_id)["roots"]) == 2

    def test_side_branches_stay_out(self, store: Store) -> None:
        """What merely shares an ancestor with a version is neither its past nor its future."""
        _, table, model = training(store)
        using(store, table)
        assert "score" not in labels(graph(store, id=model.id))

    def test_served_calls(self, store: Store) -> None:
        """The kept result of a served call came from the snapshot that was executed, and from what
        that holds; and from there it is found. Calls of which nothing is kept stay out."""
        _, _, model = training(store)
        number = serve(store, "live", model)
        for kept in (True, False):
            record = run(pipeline="scoring", snapshot=number, deployment="live", trigger="call")
            answer = version(
                "answers", run_id=record.run_id, step="score", pipeline="scoring", name="output"
            )
            parts = RunDetail(steps=[step("score", 0), step("format", 1)])
            if kept:
                parts.versions, parts.artifacts = [answer], [output("score", answer)]
                made = answer
            store.append(entry(record, parts))
        up = graph(store, id=made.id, direction="up")
        assert ("scoring@1", "executed", "score") in edges(up)
        assert {"train", "load", "churn-model@1"} <= labels(up)
        down = graph(store, id=model.id, direction="down")
        assert sorted(node["label"] for node in down["nodes"]) == [
            "answers@1", "churn-model@1", "live", "score", "scoring@1",
        ]  # fmt: skip

    def test_cached_results(self, store: Store) -> None:
        """A step that took an earlier result leads on to what was made of it there."""
        record, table, _ = training(store)
        later = run(pipeline="training")
        report = version("report", run_id=later.run_id, step="report", pipeline="training")
        store.append(
            entry(
                later,
                RunDetail(
                    steps=[
                        step("load", 0, cached=record.run_id),
                        step("report", 1, {"x": "load.output[0]"}),
                    ],
                    artifacts=[output("load", table), output("report", report)],
                    versions=[report],
                ),
            )
        )
        up = graph(store, id=report.id, direction="up")
        assert edges(up) == {
            ("load", "output", "output@1"),
            ("output@1", "input", "report"),
            ("report", "output", "report@1"),
        }
        down = graph(store, id=table.id, direction="down")
        assert ("output@1", "cached", "load") in edges(down)
        assert "report@1" in labels(down)

    def test_body_of_a_pipeline(self, store: Store) -> None:
        """What the body took goes to the steps that it gives values of its own, and what it saved
        belongs to the run."""
        _, _, model = training(store)
        record = run(pipeline="body")
        saved = version("saved", run_id=record.run_id, pipeline="body")
        store.append(
            entry(
                record,
                RunDetail(
                    steps=[step("given", 0, {"a": "="}), step("not", 1, {"a": "given.output"})],
                    versions=[saved],
                    uses=[UseRecord(record.run_id, "churn-model", model.id, now())],
                ),
            )
        )
        assert ("churn-model@1", "input", "given") in edges(graph(store, id=model.id))
        assert edges(graph(store, id=saved.id)) == {("body", "output", "saved@1")}

    def test_models(self, store: Store) -> None:
        """A version belongs to the model version that its run was for, and through that to the
        deployment that follows the model."""
        record, _, model = training(store)
        made = store.change("make_model_version", id=new_id(), model="churn").result(WAIT)
        for kind, subject in (("run", record.run_id), ("deployment", "following")):
            link = {"id": made["id"], "kind": kind, "subject": subject}
            if kind == "deployment":
                serve(store, "following")
            store.change("link_model", **link).result(WAIT)
        found = graph(store, id=model.id, direction="down")
        assert {("churn-model@1", "linked", "churn 1"), ("churn 1", "served", "following")} <= (
            edges(found)
        )
        up = graph(store, "model", model="churn", direction="up")
        assert {"load", "train", "output@1"} <= labels(up)

    def test_what_on_init_loaded(self, store: Store) -> None:
        """A version that ``on_init`` of a deployment loaded is held by its snapshot, and kept while
        it is served; what it loads later counts instead."""
        _, table, model = training(store)
        number = serve(store, "live")
        of = {"deployment": "live", "pipeline": "scoring", "snapshot": number}
        for versions in ([table.id], [model.id], [model.id, "unknown"]):
            store.change("put_loads", **of, versions=versions).result(WAIT)
        assert {"scoring@1", "live"} <= labels(graph(store, id=model.id, direction="down"))
        store.change("put_loads", **of, versions=[model.id]).result(WAIT)
        found = rows_of(store, "SELECT target FROM lineage WHERE relation = 'held'")
        assert found == [[f"scoring/{number}"]]
        error = store.change("delete_versions", ids=[model.id]).exception(WAIT)
        assert isinstance(error, Conflict)
        assert "live" in str(error)
        gone = deployment("live", store.host_id, pipeline="scoring", state="removed")
        store.append(DeploymentEntry(gone))
        store.change("delete_versions", ids=[model.id]).result(WAIT)

    def test_traffic(self, store: Store) -> None:
        """A deployment that shares its calls serves each snapshot that gets some."""
        _, _, model = training(store)
        serve(store, "live", model)
        serve(store, "live")
        shared = deployment(
            "live", store.host_id, pipeline="scoring", snapshot=2,
            traffic=raw({"weights": {"2": 0.9, "1": 0.1, "7": 0}}),
        )  # fmt: skip
        store.append(DeploymentEntry(shared))
        up = graph(store, "deployment", deployment="live", direction="up")
        assert {"scoring@1", "scoring@2", "churn-model@1"} <= labels(up)
        assert "scoring@7" not in labels(up)
        gone = deployment("live", store.host_id, pipeline="scoring", state="removed")
        store.append(DeploymentEntry(gone))
        assert "live" not in labels(graph(store, id=model.id, direction="down"))


class TestBounds:
    def test_depth_and_limit(self, store: Store) -> None:
        """A walk ends where it was told to, and says at which nodes there is more."""
        _, table, model = training(store)
        using(store, model)
        near = graph(store, id=model.id, depth=1)
        assert labels(near) == {"train", "churn-model@1", "score"}
        assert {n["label"] for n in near["nodes"] if n["more"]} == {"train", "score"}
        assert near["truncated"]
        few = graph(store, id=table.id, limit=3)
        assert len(few["nodes"]) == 3
        assert few["truncated"]
        ends = {end for edge in few["edges"] for end in (edge["source"], edge["target"])}
        assert ends <= {node["id"] for node in few["nodes"]}
        whole = graph(store, id=table.id, depth=5, direction="down")
        assert not whole["truncated"]

    def test_cycle(self, store: Store) -> None:
        """Runs that took each other's results, as only a broken clock makes them, end the walk."""
        first, one = using(store, version())
        second, two = using(store, one)
        back = UseRecord(first.run_id, "model", two.id, now(), "score")
        store.append(entry(first, RunDetail(uses=[back])))
        found = graph(store, id=one.id)
        assert {node["run_id"] for node in found["nodes"] if node["kind"] == "step"} == {
            first.run_id, second.run_id,
        }  # fmt: skip

    def test_long_chain(self, store: Store) -> None:
        """A chain is followed as far as it goes."""
        _, _, one = training(store)
        for _ in range(20):
            _, one = using(store, one)
        found = graph(store, id=one.id, direction="up", depth=100)
        assert len([n for n in found["nodes"] if n["label"] == "score"]) == 20
        assert "load" in labels(found)

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            ({"kind": "artifact_version", "id": "nothing"}, NotFound),
            ({"kind": "run", "run": "nothing"}, NotFound),
            ({"kind": "pipeline", "pipeline": "churn"}, UsageError),
            ({"kind": "nothing"}, UsageError),
            ({"kind": "run", "run": "x", "depth": 0}, QueryError),
            ({"kind": "run", "run": "x", "limit": 100_000}, QueryError),
            ({"kind": "run", "run": "x", "direction": "sideways"}, QueryError),
        ],
    )
    def test_refusals(self, store: Store, request_: dict[str, Any], error: type[Exception]) -> None:
        """What there is not, or makes no sense, is said."""
        assert isinstance(store.read("lineage", **request_).exception(WAIT), error)

    def test_what_is_gone(self, store: Store) -> None:
        """Of a run that was deleted its versions still tell that it made them."""
        record, _, model = training(store)
        kept = TagRecord("keep", "artifact_version", model.id, now())
        store.append(entry(record, RunDetail(tags=[kept])))
        store.prune(max_runs=0).result(WAIT)
        found = graph(store, id=model.id, direction="up")
        (maker,) = [node for node in found["nodes"] if node["kind"] == "step"]
        assert (maker["label"], maker["gone"]) == ("train", True)
        assert record.run_id not in found["runs"]


class TestOrigin:
    def test_of_a_served_call(self, store: Store) -> None:
        """Run, parameters, snapshot, code and inputs of one version, in one answer."""
        _, _, model = training(store)
        number = serve(store, "live", note="better")
        record, scores = using(
            store, model, snapshot=number, parameters=raw({"model": "churn-model"})
        )
        found = store.read("version_origin", name=scores.id).result(WAIT)
        assert found["version"]["id"] == scores.id
        assert found["run"]["run_id"] == record.run_id
        assert found["run"]["parameters"] == {"model": "churn-model"}
        assert found["step"]["inputs"] == {"model": "$model"}
        assert found["snapshot"]["number"] == number
        assert found["snapshot"]["note"] == "better"
        assert found["code"] == SOURCE
        assert [(one["input"], one["label"]) for one in found["inputs"]] == [
            ("model", "churn-model@1")
        ]

    def test_of_a_cell(self, open_store: Callable[..., Store]) -> None:
        """A run without a snapshot has the source that it was made of, which is kept once, and
        goes with the last run that has it."""
        code = CodeRecord("digest", raw(SOURCE))
        kept = []
        for runs in (2, 1, 0):
            store = open_store()
            if runs == 2:
                for _ in range(2):
                    record, _, model = training(store)
                    store.append(entry(record, RunDetail(code=[code])))
            store.prune(max_runs=runs).result(WAIT)
            if runs:
                origin = store.read("version_origin", name=model.id).result(WAIT)
                assert origin["code"] == SOURCE
            store.close()
            with duckdb.connect(str(store.home / "store.duckdb")) as connection:
                kept += connection.execute("SELECT count(*) FROM data.code").fetchall()
        assert kept == [(1,), (1,), (0,)]

    def test_saved_by_hand(self, store: Store) -> None:
        """Of what no run made, nothing is made up."""
        one = version()
        store.append(entry(run(), RunDetail(versions=[one])))
        found = store.read("version_origin", name=one.id).result(WAIT)
        assert (found["run"], found["step"], found["snapshot"]) == (None, None, None)
        assert (found["code"], found["inputs"]) == ([], [])
