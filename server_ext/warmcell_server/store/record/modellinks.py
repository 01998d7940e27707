"""What belongs to a model version: artifacts, runs and deployments.

A run, or a step of it, belongs to the version that it was made for; what it made belongs to that
version too, without a link of its own. A step that has a model of its own is left out of the run's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound
from warmcell.ids import now, rfc3339

from .models import version_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "READS"]

ARTIFACTS = """
WITH links AS (SELECT kind, subject, role FROM data.model_links WHERE version = $id),
made AS (
    SELECT version AS id, run_id, step FROM data.artifacts
    WHERE version IS NOT NULL AND (run_id IN (SELECT subject FROM links WHERE kind = 'run')
        OR run_id || '/' || step IN (SELECT subject FROM links WHERE kind = 'step'))
    UNION
    SELECT id, run_id, step FROM data.artifact_versions
    WHERE run_id IN (SELECT subject FROM links WHERE kind = 'run')
        OR run_id || '/' || step IN (SELECT subject FROM links WHERE kind = 'step')
),
own AS (  -- without the steps that belong to another version
    SELECT id FROM made WHERE NOT EXISTS (
        SELECT 1 FROM data.model_links o WHERE o.kind = 'step' AND o.version != $id
            AND o.subject = made.run_id || '/' || made.step)
),
linked AS (
    SELECT subject AS id, role FROM links WHERE kind = 'artifact_version'
    UNION ALL
    SELECT id, NULL FROM own
        WHERE id NOT IN (SELECT subject FROM links WHERE kind = 'artifact_version')
)
SELECT DISTINCT a.id, a.artifact, a.number, a.version, a.name, a.step, a.kind, a.type, a.run_id,
    CASE coalesce(l.role, a.role, 'data')
        WHEN 'model' THEN 'model' WHEN 'service' THEN 'deployment'
        WHEN 'deployment' THEN 'deployment' ELSE 'data' END AS role,
    a.created_at
FROM linked l JOIN data.artifact_versions a ON a.id = l.id
"""


def model_artifacts(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """The artifact versions of model version ``id``, newest first; with ``role`` ("data", "model",
    "deployment"), ``name`` or ``version`` (number or label) only those.

    ``name`` is that of the artifact, or of the output where that is what its name ends in.
    """
    where, values = ["true"], {"id": request["id"]}
    if request.get("role"):
        where.append("role = $role")
        values["role"] = request["role"]
    if request.get("name"):
        where.append("(artifact = $name OR suffix(artifact, '::' || $name))")
        values["name"] = request["name"]
    if request.get("version") is not None:
        where.append("(version = $version OR CAST(number AS VARCHAR) = $version)")
        values["version"] = str(request["version"])
    rows = cursor.execute(
        f"SELECT * FROM ({ARTIFACTS}) WHERE {' AND '.join(where)} "
        "ORDER BY created_at DESC, id DESC",
        values,
    ).fetchall()
    names = (
        "id",
        "artifact",
        "number",
        "version",
        "name",
        "step",
        "kind",
        "type",
        "run_id",
        "role",
    )
    return [
        {**dict(zip(names, row[:-1], strict=True)), "created_at": rfc3339(row[-1])} for row in rows
    ]


def model_links(cursor: DuckDBPyConnection, request: dict[str, Any]) -> list[dict[str, Any]]:
    """What was linked to model version ``id``, newest first; with ``kind`` only those."""
    rows = cursor.execute(
        "SELECT kind, subject, role, time FROM data.model_links "
        "WHERE version = ? AND (? IS NULL OR kind = ?) ORDER BY time DESC",
        [request["id"], request.get("kind"), request.get("kind")],
    ).fetchall()
    return [
        {"kind": kind, "subject": subject, "role": role, "time": rfc3339(time)}
        for kind, subject, role, time in rows
    ]


def link_model(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Link ``subject`` of ``kind`` ("artifact_version", "run", "step", "deployment") to version
    ``id``. A deployment belongs to one version of a model: the last. Raises :class:`NotFound`."""
    kind, subject, version = request["kind"], request["subject"], request["id"]
    row = version_row(connection, version)
    if row is None:
        raise NotFound(f"There is no model version with the id '{version}'.")
    if (
        kind == "artifact_version"
        and not connection.execute(
            "SELECT 1 FROM data.artifact_versions WHERE id = ?", [subject]
        ).fetchall()
    ):
        raise NotFound(f"There is no artifact version with the id '{subject}'.")
    if kind == "deployment":
        connection.execute(
            "DELETE FROM data.model_links WHERE kind = 'deployment' AND subject = ? "
            "AND version != ? AND version IN (SELECT id FROM data.model_versions WHERE model = ?)",
            [subject, version, row["model"]],
        )
    connection.execute(
        "INSERT OR REPLACE INTO data.model_links VALUES (?, ?, ?, ?, ?)",
        [version, kind, subject, request.get("role") or "data", now()],
    )
    return {"id": version, "kind": kind, "subject": subject}


def unlink_model(connection: DuckDBPyConnection, request: dict[str, Any]) -> dict[str, Any]:
    """Take back what :func:`link_model` did."""
    connection.execute(
        "DELETE FROM data.model_links WHERE version = ? AND kind = ? AND subject = ?",
        [request["id"], request["kind"], request["subject"]],
    )
    return {"id": request["id"]}


READS = {"model_artifacts": model_artifacts, "model_links": model_links}
CHANGES = {"link_model": link_model, "unlink_model": unlink_model}
