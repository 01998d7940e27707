"""A run as OpenLineage events (https://openlineage.io, spec 2-0-2): plain JSON for any catalogue.

A run of a pipeline is a run of the job ``pipeline``, each of its steps one of ``pipeline.step``
with the pipeline's as its parent; artifacts are datasets. Each has a START event and, once it has
ended, a second one that tells how, with what it took and gave.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from warmcell import __version__
from warmcell.errors import NotFound
from warmcell.ids import rfc3339

from .answers import dicts
from .edges import Node, flows
from .neighbours import Neighbours
from .origin import code_of
from .tags import tags_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["READS", "openlineage"]

PRODUCER = f"https://pypi.org/project/warmcell/{__version__}"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NAMESPACE = "warmcell"
_FACETS = "https://openlineage.io/spec/facets"
_ENDS = {
    "succeeded": "COMPLETE", "failed": "FAIL", "timed_out": "FAIL", "lost": "FAIL",
    "cancelled": "ABORT", "skipped": "ABORT",
}  # fmt: skip
_RUN = (
    "run_id, run_name, pipeline, deployment, snapshot, trigger, status, created_at, started_at, "
    'finished_at, parameters, error, notebook, "user", origin'
)


def openlineage(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of run ``run_id``, in the order of their times, of jobs and datasets in
    ``namespace`` ("warmcell"). Raises :class:`NotFound`."""
    run_id = str(request["run_id"])
    rows = dicts(
        cursor, f"SELECT {_RUN} FROM data.runs WHERE run_id = ?", [run_id], ("parameters", "error")
    )
    if not rows:
        raise NotFound(f"There is no run {run_id!r}.")
    steps = dicts(
        cursor,
        "SELECT step, status, started_at, finished_at, error FROM data.steps WHERE run_id = ? "
        "ORDER BY step_index",
        [run_id],
        ("error",),
    )
    return _Events(cursor, rows[0], steps, request.get("namespace") or NAMESPACE).all()


READS = {"openlineage": openlineage}


class _Events:
    """The events of one run."""

    def __init__(
        self,
        cursor: DuckDBPyConnection,
        run: dict[str, Any],
        steps: list[dict[str, Any]],
        namespace: str,
    ) -> None:
        self._run, self._steps, self._namespace = run, steps, namespace
        self._edges = flows(cursor, [run["run_id"]])[run["run_id"]]
        snapshots = {edge.source for edge in self._edges if edge.source.kind == "snapshot"}
        self._held = [e.source.key for e in Neighbours(cursor).above(snapshots)]
        known = {end.key for e in self._edges for end in e[:2] if end.kind == "artifact_version"}
        self._datasets = _datasets(cursor, sorted({*known, *self._held}), namespace)
        self._tags = tags_of(cursor, "run", [run["run_id"]]).get(run["run_id"], [])
        self._code = code_of(cursor, run)[1]

    def all(self) -> list[dict[str, Any]]:
        run, pipeline = self._run, str(self._run["pipeline"])
        made = {e.target.key for e in self._edges if e.relation == "output"}
        taken = [e.source.key for e in self._edges if e.relation == "input"]
        facets: dict[str, Any] = {
            "processing_engine": _facet(
                "1-1-1", "ProcessingEngineRunFacet", version=__version__, name="warmcell"
            ),
            "executionParameters": _facet(
                "1-0-0", "ExecutionParametersRunFacet", parameters=_parameters(run["parameters"])
            ),
        }
        if self._tags:
            labels = [{"key": tag, "value": "true", "source": "USER"} for tag in self._tags]
            facets["tags"] = _facet("1-0-0", "TagsRunFacet", tags=labels)
        job = self._job(pipeline, "PIPELINE")
        own = {"namespace": self._namespace, "name": pipeline, "facets": job}
        started = run["started_at"] or _micros(run["created_at"])
        events = self._pair(
            run["run_id"], own, facets, run["status"], started, run["finished_at"], run["error"],
            [*dict.fromkeys(key for key in [*taken, *self._held] if key not in made)],
            [*dict.fromkeys(e.target.key for e in self._edges if e.relation == "output")],
        )  # fmt: skip
        parent = _facet(
            "1-2-0", "ParentRunFacet", run={"runId": run["run_id"]},
            job={"namespace": self._namespace, "name": pipeline},
        )  # fmt: skip
        for step in self._steps:
            events += self._of_step(step, parent)
        order = {"START": 0, "COMPLETE": 1, "FAIL": 1, "ABORT": 1}
        # of events of one moment the parent's START is the first and its end the last
        end = len(events)
        ranked = [
            (e["eventTime"], order[e["eventType"]], end if place == 1 else place, e)
            for place, e in enumerate(events)
        ]
        return [entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:3])]

    def _of_step(self, step: dict[str, Any], parent: dict[str, Any]) -> list[dict[str, Any]]:
        if step["started_at"] is None:
            return []
        run, name = self._run["run_id"], step["step"]
        node = Node("step", f"{run}/{name}")
        job = {
            "namespace": self._namespace, "name": f"{self._run['pipeline']}.{name}",
            "facets": self._job(name, "STEP"),
        }  # fmt: skip
        return self._pair(
            _step_id(run, name), job, {"parent": parent}, step["status"], step["started_at"],
            step["finished_at"], step["error"],
            _keys(e.source for e in self._edges if e.target == node and e.relation != "executed"),
            _keys(e.target for e in self._edges if e.source == node),
        )  # fmt: skip

    def _pair(
        self,
        run_id: str,
        job: dict[str, Any],
        facets: dict[str, Any],
        status: str,
        started: int,
        finished: int | None,
        error: dict[str, Any] | None,
        inputs: list[str],
        outputs: list[str],
    ) -> list[dict[str, Any]]:
        """The START event, and the one of the end if there was one."""

        def event(kind: str, time: int, more: dict[str, Any], given: list[str]) -> dict[str, Any]:
            return {
                "eventType": kind, "eventTime": rfc3339(time), "producer": PRODUCER,
                "schemaURL": SCHEMA, "job": job, "run": {"runId": run_id, "facets": facets | more},
                "inputs": [self._datasets[key][0] for key in inputs if key in self._datasets],
                "outputs": [self._datasets[key][1] for key in given if key in self._datasets],
            }  # fmt: skip

        events = [event("START", started, {}, [])]
        if status in _ENDS and finished is not None:
            more = {}
            if error:
                more["errorMessage"] = _facet(
                    "1-0-1", "ErrorMessageRunFacet", programmingLanguage="Python",
                    message=f"{error.get('type')}: {error.get('message')}",
                    **({"stackTrace": error["traceback"]} if error.get("traceback") else {}),
                )  # fmt: skip
            events.append(event(_ENDS[status], max(started, finished), more, outputs))
        return events

    def _job(self, name: str, kind: str) -> dict[str, Any]:
        facets = {
            "jobType": _facet(
                "2-0-4", "JobTypeJobFacet", processingType="BATCH", integration="WARMCELL",
                jobType=kind,
            )
        }  # fmt: skip
        # a step that is called twice is `name` and `name_2`
        names = {name, re.sub(r"_\d+$", "", name)}
        for part in self._code:
            if part.get("kind") == kind.lower() and part.get("name") in names:
                facets["sourceCode"] = _facet(
                    "1-0-1", "SourceCodeJobFacet", language="Python", sourceCode=part["source"]
                )
                break
        return facets


def _keys(nodes: Any) -> list[str]:
    return [*dict.fromkeys(node.key for node in nodes if node.kind == "artifact_version")]


def _datasets(
    cursor: DuckDBPyConnection, ids: list[str], namespace: str
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Each version as an input and as an output."""
    found = {}
    for row in dicts(
        cursor,
        "SELECT id, artifact, version, kind, size, facts FROM data.artifact_versions "
        "WHERE id IN (SELECT unnest(?::VARCHAR[]))",
        [ids],
        ("facts",),
    ):
        facts = row["facts"] if isinstance(row["facts"], dict) else {}
        facets = {
            "version": _facet(
                "1-0-1", "DatasetVersionDatasetFacet", datasetVersion=str(row["version"])
            ),
            "storage": _facet(
                "1-0-1", "StorageDatasetFacet", storageLayer="warmcell", fileFormat=row["kind"]
            ),
        }
        if isinstance(schema := facts.get("schema"), dict):
            fields = [{"name": str(name), "type": str(kind)} for name, kind in schema.items()]
            facets["schema"] = _facet("1-2-0", "SchemaDatasetFacet", fields=fields)
        figures = {"rowCount": facts.get("rows"), "size": row["size"]}
        given = {key: value for key, value in figures.items() if isinstance(value, int)}
        statistics = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", **given)
        dataset = {"namespace": namespace, "name": row["artifact"], "facets": facets}
        found[row["id"]] = dataset, dataset | {"outputFacets": {"outputStatistics": statistics}}
    return found


def _facet(version: str, name: str, /, **members: Any) -> dict[str, Any]:
    schema = f"{_FACETS}/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema, **members}


def _parameters(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, dict):
        return []
    return [
        {"key": key, "value": value if isinstance(value, str) else json.dumps(value)}
        for key, value in given.items()
    ]


def _step_id(run: str, step: str) -> str:
    """An id for a step run, which has none of its own: the same each time."""
    try:
        space = uuid.UUID(run)
    except ValueError:
        space = uuid.uuid5(uuid.NAMESPACE_OID, run)
    return str(uuid.uuid5(space, step))


def _micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
