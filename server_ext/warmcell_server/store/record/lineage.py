"""Lineage: what something came from, and what was made of it, however far.

A walk asks for the edges around what it has reached, level by level, in both directions; what was
reached is never asked about again, so that cycles end. It is bounded in levels and in nodes, and
says where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from warmcell.errors import QueryError, UsageError

from .answers import asked
from .describing import described, runs_described
from .edges import Edge, Node, flows, runs_of
from .neighbours import Neighbours
from .subjects import resolve

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["READS", "lineage"]

DEPTH, MAX_DEPTH = 20, 100
NODES, MAX_NODES = 300, 2000
TAKERS = 200  # runs of one version that are looked at
_OF_RUNS = ("step", "run")
_KEYS = {"run": ["run"], "deployment": ["deployment"], "snapshot": ["pipeline", "number"]}


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Whose lineage, as in :func:`.subjects.resolve` (an artifact or a model is its newest version,
    a run all its steps), or any of them by ``id``, the key of its node; ``direction`` "up" is where
    it came from, "down" what was made of it; ``depth`` in edges, ``limit`` in nodes."""

    kind: str
    id: str | None = None
    run: str | None = None
    step: str | None = None
    pipeline: str | None = None
    number: str | int | None = None
    deployment: str | None = None
    artifact: str | None = None
    model: str | None = None
    version: str | int | None = None
    direction: Literal["up", "down", "both"] = "both"
    depth: int = DEPTH
    limit: int = NODES


def lineage(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return the graph around something; see :class:`Wanted`.

    ``roots`` are the ids of the nodes that were asked for, ``nodes`` and ``edges`` all that was
    found, ``runs`` what the runs of the nodes are by id, ``truncated`` whether there is more.

    A node has ``id`` (``kind:key``), ``kind``, ``key``, ``label``, ``detail`` (a short line),
    ``status``, ``time``, ``run_id``, ``gone``, ``more`` (it has edges that are not here), and what
    its kind has: of an artifact version ``artifact``, ``version``, ``number``, ``type``, ``size``…
    An edge has ``source`` and ``target`` (ids), ``relation`` and ``name``; see :class:`.Edge`.
    """
    wanted = asked(request, Wanted)
    if not 0 < wanted.depth <= MAX_DEPTH or not 0 < wanted.limit <= MAX_NODES:
        raise QueryError(
            f"depth must be 1 to {MAX_DEPTH} and limit 1 to {MAX_NODES}; they are "
            f"{wanted.depth} and {wanted.limit}."
        )
    walk = _Walk(cursor, wanted.limit)
    roots = _roots(cursor, wanted)
    for root in roots:
        walk.reach(root)
    if wanted.direction != "down":
        walk.go(roots, wanted.depth, up=True)
    if wanted.direction != "up":
        walk.go(roots, wanted.depth, up=False)
    nodes = described(cursor, walk.nodes)
    for node in nodes:
        node["more"] = Node(node["kind"], node["key"]) in walk.open
    runs = {node["run_id"] for node in nodes if node["run_id"] is not None}
    return {
        "roots": [root.id for root in roots if root in walk.nodes],
        "nodes": nodes,
        "edges": [
            {
                "source": edge.source.id,
                "target": edge.target.id,
                "relation": edge.relation,
                "name": edge.name,
            }
            for edge in walk.edges
            if edge.source in walk.nodes and edge.target in walk.nodes
        ],
        "runs": runs_described(cursor, runs),
        "truncated": bool(walk.open),
    }


READS = {"lineage": lineage}


class _Walk:
    """What was reached so far. ``open`` are nodes of which not all edges were followed."""

    def __init__(self, cursor: DuckDBPyConnection, limit: int) -> None:
        self.nodes: dict[Node, None] = {}
        self.edges: dict[Edge, None] = {}
        self.open: set[Node] = set()
        self._cursor = cursor
        self._limit = limit
        self._flows: dict[str, list[Edge]] = {}
        self._around = Neighbours(cursor)

    def reach(self, node: Node) -> bool:
        """Take a node in, if it is known or there is room for it."""
        if node not in self.nodes and len(self.nodes) >= self._limit:
            return False
        self.nodes[node] = None
        return True

    def go(self, roots: list[Node], depth: int, *, up: bool) -> None:
        """Follow edges in one direction, level by level."""
        level, seen = set(roots), set(roots)
        for _ in range(depth):
            further: set[Node] = set()
            for edge in self._edges(level, up):
                here, there = (edge.target, edge.source) if up else edge[:2]
                if not self.reach(there):
                    self.open.add(here)
                    continue
                self.edges[edge] = None
                if there not in seen:
                    seen.add(there)
                    further.add(there)
            if not further:
                return
            level = further
        # At the end of the way: who has edges that lead on?
        for edge in self._edges(level, up):
            here, there = (edge.target, edge.source) if up else edge[:2]
            if there not in self.nodes:
                self.open.add(here)

    def _edges(self, level: set[Node], up: bool) -> Iterator[Edge]:
        """The edges that end (up) or begin (down) at a node of this level, in a steady order."""
        found: dict[Edge, None] = {}
        runs = self._runs(level)
        for run in sorted(runs):
            for edge in self._flows[run]:
                if (edge.target if up else edge.source) in level:
                    found[edge] = None
        for edge in (self._around.above if up else self._around.below)(level):
            found[edge] = None
        if not up:
            self._results(level, found)
        yield from found

    def _results(self, level: set[Node], found: dict[Edge, None]) -> None:
        """Of all that a snapshot executed, only what made something that is kept."""
        snapshots = {node for node in level if node.kind == "snapshot"}
        for edge in [edge for edge in found if edge.source in snapshots]:
            if edge.relation == "executed":
                del found[edge]
        runs = self._around.kept_by(sorted(node.key for node in snapshots))
        self._read(runs)
        for run in runs:
            makers = {edge.source for edge in self._flows[run] if edge.relation == "output"}
            for edge in self._flows[run]:
                if edge.source in snapshots and edge.target in makers:
                    found[edge] = None

    def _runs(self, level: set[Node]) -> set[str]:
        """The runs that have to do with a level; their edges are read."""
        runs = {node.key.partition("/")[0] for node in level if node.kind in _OF_RUNS}
        versions = [node.key for node in level if node.kind == "artifact_version"]
        if versions:
            for version, found in runs_of(self._cursor, versions, TAKERS + 1).items():
                runs.update(found[:TAKERS])
                if len(found) > TAKERS:
                    self.open.add(Node("artifact_version", version))
        self._read(runs)
        return runs

    def _read(self, runs: Any) -> None:
        missing = [run for run in runs if run not in self._flows]
        if missing:
            self._flows |= flows(self._cursor, missing)


def _roots(cursor: DuckDBPyConnection, wanted: Wanted) -> list[Node]:
    named = {
        name: value
        for name in Wanted.__struct_fields__[:10]
        if (value := getattr(wanted, name)) is not None
    }
    kind = {"artifact": "artifact_version", "model": "model_version"}.get(wanted.kind, wanted.kind)
    if kind == "pipeline":
        raise UsageError(
            "A pipeline has no lineage of its own.", hint="Name one of its runs or snapshots."
        )
    if wanted.id is not None and kind in _KEYS:
        parts = [wanted.id] if kind != "snapshot" else wanted.id.rsplit("/", 1)
        named |= dict(zip(_KEYS[kind], parts, strict=False))
    subject = resolve(cursor, {**named, "kind": kind})
    if kind != "run":
        return [Node(kind, subject.key)]
    steps = cursor.execute(
        "SELECT step FROM data.steps WHERE run_id = ? ORDER BY step_index", [subject.key]
    ).fetchall()
    nodes = [Node("step", f"{subject.key}/{step}") for (step,) in steps]
    outside = [
        end
        for edge in flows(cursor, [subject.key])[subject.key]
        for end in edge[:2]
        if end.kind == "run"
    ]
    return list(dict.fromkeys([*nodes, *outside])) or [Node("run", subject.key)]
