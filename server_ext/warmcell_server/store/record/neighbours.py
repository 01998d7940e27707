"""What leads to what outside of runs: snapshots, deployments and model versions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from warmcell_server.store.jsontext import decode

from .edges import Edge, Node
from .modellinks import ARTIFACTS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Neighbours"]

KEPT = 20  # runs of a snapshot whose kept results are shown
_ID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


class Neighbours:
    """Answers from the few tables that have all of it; what is the same for every step of a walk
    is read once."""

    def __init__(self, cursor: DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._holders: list[Edge] | None = None
        self._deployments: list[Edge] | None = None
        self._models: dict[str, list[Edge]] = {}

    def above(self, nodes: Collection[Node]) -> Iterator[Edge]:
        """The edges that end at ``nodes``, but for those of runs."""
        yield from (edge for edge in self._held() if edge.target in nodes)
        yield from (edge for edge in self._served() if edge.target in nodes)
        for node in nodes:
            if node.kind == "model_version":
                yield from self._artifacts(node.key)

    def below(self, nodes: Collection[Node]) -> Iterator[Edge]:
        """The edges that begin at ``nodes``, but for those of runs."""
        yield from (edge for edge in self._held() if edge.source in nodes)
        yield from (edge for edge in self._served() if edge.source in nodes)
        versions = [node.key for node in nodes if node.kind == "artifact_version"]
        runs = [node.key for node in nodes if node.kind == "run"]
        for model in self._candidates(versions, runs):
            yield from (edge for edge in self._artifacts(model) if edge.source in nodes)

    def kept_by(self, snapshots: Collection[str]) -> list[str]:
        """The newest runs of each snapshot of which results are kept."""
        found: list[str] = []
        for key in snapshots:
            pipeline, _, number = key.rpartition("/")
            rows = self._cursor.execute(
                "SELECT DISTINCT v.run_id FROM data.artifact_versions v "
                "JOIN data.runs r ON r.run_id = v.run_id "
                "WHERE v.status <> 'deleted' AND v.pipeline = ? AND r.pipeline = ? "
                "AND r.snapshot = ? ORDER BY v.run_id DESC LIMIT ?",
                [pipeline, pipeline, int(number), KEPT],
            ).fetchall()
            found += [run for (run,) in rows]
        return found

    def _held(self) -> list[Edge]:
        """Versions that snapshots and deployments name: whatever form their settings have, an id in
        them is a reference, as no two things have the same."""
        if self._holders is None:
            rows = self._cursor.execute(
                "SELECT 'snapshot', pipeline || '/' || number, "
                "concat_ws(' ', settings, held, manifest) AS said "
                "FROM data.snapshots WHERE regexp_matches(said, ?) UNION ALL "
                "SELECT 'deployment', name, concat_ws(' ', settings, traffic) AS said "
                "FROM data.deployments WHERE state <> 'removed' AND regexp_matches(said, ?)",
                [_ID, _ID],
            ).fetchall()
            named = {Node(kind, key): set(re.findall(_ID, said)) for kind, key, said in rows}
            for key, version in self._cursor.execute(
                "SELECT DISTINCT pipeline || '/' || snapshot, version FROM data.loads"
            ).fetchall():
                named.setdefault(Node("snapshot", key), set()).add(version)
            known = {
                identifier
                for (identifier,) in self._cursor.execute(
                    "SELECT id FROM data.artifact_versions WHERE id IN "
                    "(SELECT unnest(?::VARCHAR[]))",
                    [sorted(set().union(*named.values()))],
                ).fetchall()
            }
            self._holders = [
                Edge(
                    Node("artifact_version", identifier),
                    holder,
                    "held" if holder.kind == "snapshot" else "served",
                )
                for holder, ids in named.items()
                for identifier in sorted(ids & known)
            ]
        return self._holders

    def _served(self) -> list[Edge]:
        """The snapshots and model versions that deployments serve."""
        if self._deployments is None:
            found = []
            for name, pipeline, number, traffic in self._cursor.execute(
                "SELECT name, pipeline, snapshot, traffic FROM data.deployments "
                "WHERE state <> 'removed' ORDER BY name"
            ).fetchall():
                for served in sorted({number} | _shares(traffic)):
                    snapshot = Node("snapshot", f"{pipeline}/{served}")
                    found.append(Edge(snapshot, Node("deployment", name), "served"))
            found += [
                Edge(Node("model_version", version), Node("deployment", name), "served")
                for version, name in self._cursor.execute(
                    "SELECT l.version, l.subject FROM data.model_links l "
                    "JOIN data.deployments d ON d.name = l.subject "
                    "WHERE l.kind = 'deployment' AND d.state <> 'removed' ORDER BY ALL"
                ).fetchall()
            ]
            self._deployments = found
        return self._deployments

    def _artifacts(self, model: str) -> list[Edge]:
        """The versions that belong to a model version; where there are none, its runs."""
        if model not in self._models:
            target = Node("model_version", model)
            found = [
                Edge(Node("artifact_version", row[0]), target, "linked", row[1])
                for row in self._cursor.execute(
                    f"SELECT id, role FROM ({ARTIFACTS}) ORDER BY id", {"id": model}
                ).fetchall()
            ]
            self._models[model] = found or [
                Edge(Node("run", run), target, "linked")
                for (run,) in self._cursor.execute(
                    "SELECT subject FROM data.model_links WHERE kind = 'run' AND version = ? "
                    "ORDER BY subject",
                    [model],
                ).fetchall()
            ]
        return self._models[model]

    def _candidates(self, versions: list[str], runs: list[str]) -> list[str]:
        """The model versions that may have some of ``versions``: linked, or their run or step."""
        if not versions and not runs:
            return []
        made = self._cursor.execute(
            "SELECT run_id, step FROM data.artifact_versions WHERE run_id IS NOT NULL "
            "AND id IN (SELECT unnest(?::VARCHAR[])) UNION "
            "SELECT run_id, step FROM data.artifacts WHERE version IN "
            "(SELECT unnest(?::VARCHAR[]))",
            [versions, versions],
        ).fetchall()
        subjects = {
            *versions,
            *runs,
            *(run for run, _ in made),
            *(f"{run}/{step}" for run, step in made),
        }
        return [
            version
            for (version,) in self._cursor.execute(
                "SELECT DISTINCT version FROM data.model_links "
                "WHERE kind IN ('artifact_version', 'run', 'step') "
                "AND subject IN (SELECT unnest(?::VARCHAR[])) ORDER BY version",
                [sorted(subjects)],
            ).fetchall()
        ]


def _shares(traffic: Any) -> set[int]:
    """The snapshots that get a share of the calls."""
    found = decode(traffic) if isinstance(traffic, str) else None
    weights = found.get("weights") if isinstance(found, dict) else None
    if not isinstance(weights, dict):
        return set()
    return {int(number) for number, share in weights.items() if share and str(number).isdecimal()}
