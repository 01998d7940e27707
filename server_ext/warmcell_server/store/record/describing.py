"""What is said of the nodes of lineage: a label, a line below it, and the facts of each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from warmcell.ids import rfc3339

from .answers import dicts
from .edges import Node, rows_of_runs

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["described", "runs_described"]

Facts = dict[str, dict[str, Any]]


def described(cursor: DuckDBPyConnection, nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """Describe nodes, in their order; one of which nothing is known any more is ``gone``."""
    wanted = list(nodes)
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for node in wanted:
        keys[node.kind].append(node.key)
    facts = {kind: _KINDS[kind](cursor, some) for kind, some in keys.items()}
    found = []
    for node in wanted:
        known = facts[node.kind].get(node.key)
        entry = {
            "id": node.id, "kind": node.kind, "key": node.key, "label": _label(node),
            "detail": None, "status": None, "time": None, "run_id": _run_of(node),
            "gone": known is None,
        }  # fmt: skip
        found.append(entry | (known or {}))
    return found


def runs_described(cursor: DuckDBPyConnection, runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the nodes of one run have in common, by its id."""
    rows = dicts(
        cursor,
        "SELECT run_id, run_name, pipeline, status, trigger, deployment, snapshot, created_at, "
        'notebook, "user", origin FROM data.runs WHERE run_id IN (SELECT unnest(?::VARCHAR[]))',
        [sorted(set(runs))],
    )
    return {row.pop("run_id"): row for row in rows}


def _label(node: Node) -> str:
    """What a node is called where nothing else is known of it."""
    if node.kind == "step":
        return node.key.partition("/")[2]
    if node.kind == "snapshot":
        pipeline, _, number = node.key.rpartition("/")
        return f"{pipeline}@{number}"
    return f"run {node.key[-12:]}" if node.kind == "run" else node.key


def _run_of(node: Node) -> str | None:
    if node.kind in ("run", "step"):
        return node.key.partition("/")[0]
    return None


def _versions(cursor: DuckDBPyConnection, keys: list[str]) -> Facts:
    rows = dicts(
        cursor,
        "SELECT id, artifact, number, version, type, kind AS serializer, role, size, digest, "
        'status, created_at AS time, run_id, step, name, pipeline, "user" '
        "FROM data.artifact_versions "
        "WHERE id BETWEEN ? AND ? AND id IN (SELECT unnest(?::VARCHAR[]))",
        [min(keys), max(keys), keys],
    )
    found = {}
    for row in rows:
        short = str(row["artifact"]).rpartition("::")[2] if row["name"] else row["artifact"]
        row["label"] = f"{short}@{row['version']}"
        row["detail"] = str(row["type"]).rpartition(".")[2]
        row["gone"] = row["status"] == "deleted"
        found[str(row.pop("id"))] = row
    return found


def _steps(cursor: DuckDBPyConnection, keys: list[str]) -> Facts:
    pairs = {tuple(key.split("/", 1)) for key in keys}
    found: Facts = {}
    for run, step, status, started, cached, pipeline in rows_of_runs(
        cursor,
        "SELECT run_id, step, s.status, s.started_at, s.cached, r.pipeline "
        "FROM data.steps s LEFT JOIN data.runs r USING (run_id)",
        {run for run, _ in pairs},
    ):
        if (run, step) in pairs:
            found[f"{run}/{step}"] = {
                "label": step, "detail": f"{pipeline or 'run'} · {run[-6:]}", "status": status,
                "time": _time(started), "step": step, "pipeline": pipeline, "cached": cached,
            }  # fmt: skip
    return found


def _runs(cursor: DuckDBPyConnection, keys: list[str]) -> Facts:
    rows = dicts(
        cursor,
        "SELECT run_id, pipeline, run_name, status, created_at AS time FROM data.runs "
        "WHERE run_id IN (SELECT unnest(?::VARCHAR[]))",
        [keys],
    )
    return {
        row["run_id"]: row | {"label": row["run_name"] or row["pipeline"], "detail": "run"}
        for row in rows
    }


def _snapshots(cursor: DuckDBPyConnection, keys: list[str]) -> Facts:
    rows = dicts(
        cursor,
        "SELECT pipeline || '/' || number AS key, pipeline, number, note, stored AS status, "
        'created_at AS time, "user", notebook FROM data.snapshots '
        "WHERE key IN (SELECT unnest(?::VARCHAR[]))",
        [keys],
    )
    return {
        row.pop("key"): row
        | {"label": f"{row['pipeline']}@{row['number']}", "detail": row["note"] or "snapshot"}
        for row in rows
    }


def _deployments(cursor: DuckDBPyConnection, keys: list[str]) -> Facts:
    rows = dicts(
        cursor,
        "SELECT name, pipeline, snapshot, state AS status, updated_at AS time, notebook, "
        '"user", (SELECT count(*) FROM data.runs r WHERE r.deployment = d.name) AS calls '
        "FROM data.deployments d WHERE name IN (SELECT unnest(?::VARCHAR[]))",
        [keys],
    )
    return {
        row["name"]: row | {"label": row["name"], "detail": f"deployment · {row['calls']} calls"}
        for row in rows
    }


def _model_versions(cursor: DuckDBPyConnection, keys: list[str]) -> Facts:
    rows = dicts(
        cursor,
        "SELECT v.id, v.model, v.number, v.version, v.run_id, v.created_at AS time, "
        "(SELECT string_agg(alias, ', ' ORDER BY alias) FROM data.aliases a "
        'WHERE a.version = v.id) AS stages, v."user" FROM data.model_versions v '
        "WHERE v.id IN (SELECT unnest(?::VARCHAR[]))",
        [keys],
    )
    return {
        row.pop("id"): row
        | {
            "label": f"{row['model']} {row['version']}",
            "detail": f"model · {row['stages']}" if row["stages"] else "model",
        }
        for row in rows
    }


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else rfc3339(microseconds)


_KINDS: dict[str, Callable[[DuckDBPyConnection, list[str]], Facts]] = {
    "artifact_version": _versions,
    "step": _steps,
    "run": _runs,
    "snapshot": _snapshots,
    "deployment": _deployments,
    "model_version": _model_versions,
}
