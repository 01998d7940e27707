"""What leads to what: the edges of lineage, of a few subjects at a time.

A subject is a :class:`Node`, named as in :mod:`.subjects`. The edges of runs are made here, from
what their steps took and gave; those between everything else are in :mod:`.neighbours`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell_server.store.jsontext import decode

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Edge", "Node", "flows", "rows_of_runs", "runs_of"]


class Node(NamedTuple):
    """``kind`` is "artifact_version", "step", "run", "snapshot", "deployment" or "model_version";
    ``key`` an id, a name, ``run_id/step`` or ``pipeline/number``."""

    kind: str
    key: str

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.key}"


class Edge(NamedTuple):
    """``relation``: a step ("output") made a version, or took it ("input", or "cached" for a result
    of an earlier run); a snapshot is what was "executed"; a version is "held" by a snapshot or
    "linked" to a model version; a snapshot, model version or artifact version is "served" by a
    deployment. ``name`` is that of the input, output or role."""

    source: Node
    target: Node
    relation: str
    name: str | None = None


def flows(cursor: DuckDBPyConnection, runs: Collection[str]) -> dict[str, list[Edge]]:
    """The edges in and around each run: what its steps took and gave, and the snapshot."""
    found = {run: _Flow(run) for run in runs}
    for run, step, inputs in rows_of_runs(
        cursor, "SELECT run_id, step, inputs FROM data.steps", runs, "ORDER BY step_index"
    ):
        found[run].steps[step] = decode(inputs) if inputs else {}
    for run, version, step, name in rows_of_runs(
        cursor, "SELECT run_id, id, step, name FROM data.artifact_versions", runs
    ):
        found[run].made[version] = step, name
    for run, step, name, version in rows_of_runs(
        cursor, "SELECT run_id, step, name, version FROM data.artifacts", runs
    ):
        if version is not None:
            found[run].outputs[step, name] = version
    for run, step, name, version in rows_of_runs(
        cursor, "SELECT run_id, step, input, version FROM data.uses", runs
    ):
        found[run].uses.append((step, name, version))
    for run, pipeline, snapshot in rows_of_runs(
        cursor, "SELECT run_id, pipeline, snapshot FROM data.runs", runs
    ):
        if snapshot is not None:
            found[run].snapshot = Node("snapshot", f"{pipeline}/{snapshot}")
    return {run: flow.edges() for run, flow in found.items()}


def rows_of_runs(
    cursor: DuckDBPyConnection, query: str, runs: Collection[str], order: str = ""
) -> list[tuple[Any, ...]]:
    """The rows of some runs. The bounds let DuckDB leave out whatever is older or newer."""
    if not runs:
        return []
    return cursor.execute(
        f"{query} WHERE run_id BETWEEN ? AND ? AND run_id IN (SELECT unnest(?::VARCHAR[])) {order}",
        [min(runs), max(runs), list(runs)],
    ).fetchall()


def runs_of(
    cursor: DuckDBPyConnection, versions: Iterable[str], limit: int
) -> dict[str, list[str]]:
    """The runs that made, took or reused each of ``versions``: the newest ``limit`` of each."""
    wanted = list(versions)
    # Versions that a run made or took are mostly of its time, as are their ids: see rows_of_runs.
    rows = cursor.execute(
        """
        WITH wanted AS (SELECT unnest($wanted::VARCHAR[]) AS id), runs AS (
            SELECT id, run_id FROM data.artifact_versions
            WHERE id BETWEEN $low AND $high AND id IN (FROM wanted)
            UNION SELECT version, run_id FROM data.artifacts
            WHERE version BETWEEN $low AND $high AND version IN (FROM wanted)
            UNION SELECT version, run_id FROM data.uses
            WHERE version BETWEEN $low AND $high AND version IN (FROM wanted)
        )
        SELECT id, max(run_id, $limit::BIGINT) FROM runs WHERE run_id IS NOT NULL GROUP BY id
        """,
        {"wanted": wanted, "low": min(wanted), "high": max(wanted), "limit": limit},
    ).fetchall()
    return {version: list(runs) for version, runs in rows}


class _Flow:
    """What the tables say of one run."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.steps: dict[str, dict[str, str]] = {}  # where the inputs of each came from
        self.made: dict[str, tuple[str | None, str | None]] = {}
        self.outputs: dict[tuple[str, str], str] = {}
        self.uses: list[tuple[str | None, str, str]] = []
        self.snapshot: Node | None = None

    def edges(self) -> list[Edge]:
        found: dict[tuple[Node, Node, str], Edge] = {}

        def add(source: Node, target: Node, relation: str, name: str | None = None) -> None:
            found.setdefault((source, target, relation), Edge(source, target, relation, name))

        # One that belongs to no step was saved by the body of the pipeline.
        for version, (step, name) in self.made.items():
            add(self._step(step), _version(version), "output", name)
        for (step, name), version in self.outputs.items():
            if version not in self.made:
                add(_version(version), self._step(step), "cached", name)
        for step, inputs in self.steps.items():
            for parameter, source in inputs.items():
                for version in self._named(source):
                    add(_version(version), self._step(step), "input", parameter)
        for used, name, version in self.uses:
            for taker in [self._step(used)] if used is not None else self._body():
                if (_version(version), taker, "input") not in found:
                    add(_version(version), taker, "input", name)
        if self.snapshot is not None:
            # of a run whose steps are gone or were not recorded there is still what they made
            nodes = {self._step(step) for step in self.steps}
            nodes |= {self._step(step) for step, _ in self.made.values()}
            for node in sorted(nodes) or [Node("run", self.run)]:
                add(self.snapshot, node, "executed")
        return list(found.values())

    def _step(self, step: str | None) -> Node:
        return Node("run", self.run) if step is None else Node("step", f"{self.run}/{step}")

    def _named(self, source: str) -> list[str]:
        """The versions that ``features.output`` or a part of it is."""
        return [
            version
            for (step, name), version in self.outputs.items()
            if source.startswith(whole := f"{step}.{name}")
            and source[len(whole) : len(whole) + 1] in ("", ".", "[")
        ]

    def _body(self) -> list[Node]:
        """Who has what the body of the pipeline took: the steps that it gives values of its own."""
        given = [name for name, inputs in self.steps.items() if "=" in inputs.values()]
        return [self._step(name) for name in given] or [Node("run", self.run)]


def _version(identifier: str) -> Node:
    return Node("artifact_version", identifier)
