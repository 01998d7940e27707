"""Where an artifact version comes from: run, parameters, snapshot, code and inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmcell_server.store.jsontext import decode

from .answers import dicts
from .describing import described
from .edges import Node, flows
from .finding import find_version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["READS", "code_of", "version_origin"]


def version_origin(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return where one artifact version comes from; ``name``, ``version`` and ``tag`` as in
    :func:`.finding.find_version`.

    ``run`` with its ``parameters``, ``step`` with its ``inputs``, ``snapshot`` and ``code`` (each
    part with ``name``, ``kind``, ``source``, ``cell``) are None, and ``code`` is empty, where they
    are not known: it was saved outside of a run, or its run was deleted. ``inputs`` are the
    versions that its step took, by input.
    """
    version = find_version(cursor, request)
    found: dict[str, Any] = {
        "version": {key: version[key] for key in ("id", "artifact", "number", "version", "type")},
        "run": None, "step": None, "snapshot": None, "code": [], "inputs": [],
    }  # fmt: skip
    run_id, step = version["run_id"], version["step"]
    runs = dicts(
        cursor,
        "SELECT run_id, run_name, pipeline, status, trigger, deployment, snapshot, created_at, "
        'parameters, notebook, "user", origin FROM data.runs WHERE run_id = ?',
        [run_id],
        ("parameters",),
    )
    if not runs:
        return found
    run = found["run"] = runs[0]
    steps = dicts(
        cursor,
        "SELECT step, step_index AS index, status, attempts, inputs FROM data.steps "
        "WHERE run_id = ? AND step = ?",
        [run_id, step],
        ("inputs",),
    )
    found["step"] = steps[0] if steps else None
    maker = Node("run", run_id) if step is None else Node("step", f"{run_id}/{step}")
    taken = {
        edge.source.key: edge.name
        for edge in flows(cursor, [run_id])[run_id]
        if edge.target == maker and edge.relation == "input"
    }
    found["inputs"] = [
        {
            "input": taken[node["key"]],
            "id": node["key"],
            "label": node["label"],
            **{key: node.get(key) for key in ("artifact", "version", "number", "type")},
        }
        for node in described(cursor, [Node("artifact_version", key) for key in taken])
    ]
    found["snapshot"], found["code"] = code_of(cursor, run)
    return found


def code_of(
    cursor: DuckDBPyConnection, run: dict[str, Any]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The snapshot that a run executed, if it did, and the source of all that it was made of."""
    if run["snapshot"] is None:
        texts = cursor.execute(
            "SELECT c.source FROM data.run_code r JOIN data.code c ON c.digest = r.code "
            "WHERE r.run_id = ? LIMIT 1",
            [run["run_id"]],
        ).fetchall()
        return None, _parts(texts[0][0] if texts else None)
    rows = dicts(
        cursor,
        "SELECT pipeline, number, digest, created_at, note, stored, source "
        "FROM data.snapshots WHERE pipeline = ? AND number = ?",
        [run["pipeline"], run["snapshot"]],
    )
    if not rows:
        return None, []
    return rows[0], _parts(rows[0].pop("source"))


def _parts(text: str | None) -> list[dict[str, Any]]:
    source = decode(text or "[]")
    return source if isinstance(source, list) else []


READS = {"version_origin": version_origin}
