"""Pipelines as the store knows them: what ran, or was deployed, under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound
from warmcell.ids import rfc3339

from .tags import tag_condition, tags_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["READS"]

PAGE = 1000  # most that one read returns

_PIPELINES = """
WITH ran AS (
    SELECT pipeline AS name, count(*) AS runs, max(created_at) AS last_run_at
    FROM data.runs WHERE {where} GROUP BY pipeline
),
captured AS (
    SELECT pipeline AS name, count(*) AS snapshots, max(number) AS latest
    FROM data.snapshots WHERE {where} GROUP BY pipeline
),
served AS (
    SELECT pipeline AS name, list(name ORDER BY name) AS deployments
    FROM data.deployments WHERE state <> 'removed' AND {where} GROUP BY pipeline
)
SELECT name, coalesce(runs, 0), last_run_at, coalesce(snapshots, 0), latest,
    coalesce(deployments, [])
FROM ran FULL JOIN captured USING (name) FULL JOIN served USING (name)
ORDER BY name LIMIT {limit}
"""


def list_pipelines(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """List the pipelines that ran or were deployed, by name: each with its ``tags``, the number of
    its ``runs`` and ``snapshots``, ``last_run_at``, the number of the ``latest_snapshot`` and the
    names of its ``deployments``. With ``tags`` those that all of these fit; with ``name`` that
    one."""
    where, values = tag_condition("pipeline", "pipeline", request.get("tags") or ())
    if request.get("name") is not None:
        where, values = f"pipeline = ? AND {where}", [request["name"], *values]
    rows = cursor.execute(_PIPELINES.format(where=where, limit=PAGE), values * 3).fetchall()
    tags = tags_of(cursor, "pipeline", [row[0] for row in rows])
    return [
        {
            "name": name,
            "tags": tags.get(name, []),
            "runs": runs,
            "last_run_at": None if last is None else rfc3339(last),
            "snapshots": snapshots,
            "latest_snapshot": latest,
            "deployments": deployments,
        }
        for name, runs, last, snapshots, latest, deployments in rows
    ]


def get_pipeline(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Return pipeline ``name``, or raise :class:`NotFound`."""
    found = list_pipelines(cursor, {"name": request["name"]})
    if not found:
        raise NotFound(
            f"There is no pipeline '{request['name']}'.",
            hint="A pipeline is known once it ran or was deployed.",
        )
    return found[0]


def tagged_among(cursor: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, list[str]]:
    """The tags of those of ``keys``, all of one ``kind``, that each of ``tags`` fits, by key."""
    keys = list(request["keys"])
    if request.get("tags"):
        where, values = tag_condition(request["kind"], "key", request["tags"])
        rows = cursor.execute(
            f"SELECT key FROM (SELECT unnest(?::VARCHAR[]) AS key) WHERE {where}", [keys, *values]
        ).fetchall()
        keys = [key for (key,) in rows]
    tags = tags_of(cursor, request["kind"], keys)
    return {key: tags.get(key, []) for key in keys}


READS = {
    "list_pipelines": list_pipelines,
    "get_pipeline": get_pipeline,
    "tagged_among": tagged_among,
}
