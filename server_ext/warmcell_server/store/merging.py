"""The rows of an export among those of a store: only what is new, under numbers that are free.

Ids are unique everywhere; numbers and labels are not. A snapshot of the same content is the one
that is here; another one gets the next number of its pipeline, and runs follow. Runs that go on,
deliveries that are due, the cache of steps, the audit and the errors of the other store stay
out; a deployment comes in as one that was removed, and stages only with a model that is new.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .exporting import Manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Merged", "merge"]

Merged: TypeAlias = dict[str, int]
"""How many rows came, by table."""

_UNFILED = "Its files were left out of the export that it came from."
# What is new, each with its number here.
_NEW = """
CREATE TEMP TABLE new_runs AS
SELECT run_id FROM in_runs i WHERE status NOT IN ('queued', 'running')
AND NOT EXISTS (FROM data.runs h WHERE h.run_id = i.run_id);

CREATE TEMP TABLE new_snapshots AS
SELECT i.pipeline, i.number AS was, i.digest, h.number IS NULL AS fresh, coalesce(
    h.number,
    CASE WHEN last.number IS NULL THEN i.number
    ELSE last.number + row_number() OVER (
        PARTITION BY i.pipeline, h.number IS NULL ORDER BY i.number
    ) END
)::INTEGER AS number
FROM in_snapshots i
LEFT JOIN (SELECT pipeline, digest, max(number) AS number FROM data.snapshots GROUP BY ALL) h
    ON h.pipeline = i.pipeline AND h.digest = i.digest
LEFT JOIN (SELECT pipeline, max(number) AS number FROM data.snapshots GROUP BY ALL) last
    ON last.pipeline = i.pipeline;

CREATE TEMP TABLE new_versions AS
SELECT i.id, i.number AS was, CASE WHEN last.number IS NULL THEN i.number
    ELSE last.number + row_number() OVER (PARTITION BY i.artifact ORDER BY i.number, i.id)
    END::INTEGER AS number
FROM in_artifact_versions i
LEFT JOIN (SELECT artifact, max(number) AS number FROM data.artifact_versions GROUP BY ALL) last
    ON last.artifact = i.artifact
WHERE i.status NOT IN ('deleted', 'pending')
AND NOT EXISTS (FROM data.artifact_versions h WHERE h.id = i.id);

CREATE TEMP TABLE new_models AS
SELECT name FROM in_models i WHERE NOT EXISTS (FROM data.models h WHERE h.name = i.name);

CREATE TEMP TABLE new_model_versions AS
SELECT i.id, CASE WHEN last.number IS NULL THEN i.number
    ELSE last.number + row_number() OVER (PARTITION BY i.model ORDER BY i.number, i.id)
    END::INTEGER AS number
FROM in_model_versions i
LEFT JOIN (SELECT model, max(number) AS number FROM data.model_versions GROUP BY ALL) last
    ON last.model = i.model
WHERE NOT EXISTS (FROM data.model_versions h WHERE h.id = i.id);

CREATE TEMP TABLE new_deployments AS
SELECT name FROM in_deployments i WHERE NOT EXISTS (FROM data.deployments h WHERE h.name = i.name);

CREATE TEMP TABLE lacking AS
SELECT DISTINCT id FROM (
    SELECT id, unnest(files ->> '$[*].blob') AS blob FROM in_artifact_versions
    WHERE files IS NOT NULL
) WHERE blob NOT IN (FROM present);
"""

# In the place of an old number or label.
_LABEL = """CASE WHEN i.version = n.was::VARCHAR THEN n.number::VARCHAR WHEN EXISTS (
    FROM data.artifact_versions h WHERE h.artifact = i.artifact AND h.version = i.version
) THEN i.version || '-' || right(i.id, 8) ELSE i.version END"""
_MODEL_LABEL = """CASE WHEN EXISTS (
    FROM data.model_versions h WHERE h.model = i.model AND h.version = i.version
) THEN i.version || '-' || right(i.id, 8) ELSE i.version END"""
_STORED = "CASE WHEN i.stored = 'pending' OR NOT $filed THEN $unfiled ELSE i.stored END"
_STATUS = "CASE WHEN i.status = 'stored' AND i.id IN (FROM lacking) THEN 'lost' ELSE i.status END"
_TAGGED = "CASE WHEN i.kind = 'snapshot' THEN s.pipeline || '/' || s.number ELSE i.subject END"

# Which rows. What says something of a thing comes with that.
_RUN = "WHERE i.run_id IN (FROM new_runs)"
_MODEL = "WHERE i.model IN (FROM new_models)"
_SNAPSHOT = "LEFT JOIN new_snapshots s ON s.pipeline = i.pipeline AND s.was = i.snapshot"
_SUBJECT = """CASE i.kind WHEN 'run' THEN i.subject IN (FROM new_runs)
    WHEN 'step' THEN split_part(i.subject, '/', 1) IN (FROM new_runs)
    WHEN 'artifact_version' THEN i.subject IN (SELECT id FROM new_versions)
    WHEN 'model_version' THEN i.subject IN (SELECT id FROM new_model_versions)
    WHEN 'deployment' THEN i.subject IN (FROM new_deployments)
    ELSE true END"""
_TAGS = f"""LEFT JOIN new_snapshots s
    ON i.kind = 'snapshot' AND i.subject = s.pipeline || '/' || s.was
WHERE {_SUBJECT} AND (i.kind <> 'snapshot' OR s.fresh)
AND NOT EXISTS (FROM data.tagged h
    WHERE h.tag = i.tag AND h.kind = i.kind AND h.subject = i.subject)
AND NOT EXISTS (FROM data.tags t JOIN data.tagged h ON h.tag = t.name
    WHERE t.exclusive AND t.name = i.tag AND h.kind = i.kind
    AND h.scope IS NOT DISTINCT FROM i.scope)"""
_METADATA = f"""WHERE {_SUBJECT} AND NOT EXISTS (FROM data.metadata h
    WHERE h.kind = i.kind AND h.subject = i.subject AND h.key = i.key)"""
_CURATED = f"""LEFT JOIN new_snapshots s
    ON i.kind = 'snapshot' AND i.subject = s.pipeline || '/' || s.was
WHERE {_SUBJECT} AND (i.kind <> 'snapshot' OR s.number IS NOT NULL)
AND i.version IN (SELECT id FROM new_versions) AND NOT EXISTS (FROM data.curated h
    WHERE h.id = i.id AND h.kind = i.kind AND h.subject = {_TAGGED})"""
_DELIVERIES = f"""{_RUN} AND i.status <> 'pending' AND NOT EXISTS (
    FROM data.deliveries h WHERE h.delivery_id = i.delivery_id)"""
_CODE = """WHERE i.digest IN (SELECT code FROM in_run_code WHERE run_id IN (FROM new_runs))
AND NOT EXISTS (FROM data.code h WHERE h.digest = i.digest)"""
_SERVED = "coalesce(s.number, i.snapshot)"

# Each: the table, what is put in the place of its columns, and which rows.
_STEPS: tuple[tuple[str, dict[str, str], str], ...] = (
    (
        "snapshots",
        {"number": "n.number", "stored": _STORED},
        "JOIN new_snapshots n ON n.pipeline = i.pipeline AND n.was = i.number WHERE n.fresh",
    ),
    ("steps", {}, _RUN),
    ("artifacts", {}, _RUN),
    ("logs", {}, _RUN),
    ("uses", {}, _RUN),
    ("code", {}, _CODE),
    ("run_code", {}, _RUN),
    ("deliveries", {}, _DELIVERIES),
    (
        "artifact_versions",
        {"number": "n.number", "version": _LABEL, "status": _STATUS},
        "JOIN new_versions n ON n.id = i.id",
    ),
    ("models", {}, "WHERE i.name IN (FROM new_models)"),
    (
        "model_versions",
        {"number": "n.number", "version": _MODEL_LABEL},
        "JOIN new_model_versions n ON n.id = i.id",
    ),
    ("aliases", {}, _MODEL),
    ("alias_moves", {}, _MODEL),
    ("model_links", {}, "WHERE i.version IN (SELECT id FROM new_model_versions)"),
    ("tags", {}, "WHERE NOT EXISTS (FROM data.tags h WHERE h.name = i.name)"),
    ("tagged", {"subject": _TAGGED}, _TAGS),
    ("metadata", {}, _METADATA),
    ("curated", {"subject": _TAGGED}, _CURATED),
    (
        "deployments",
        {"state": "'removed'", "snapshot": _SERVED, "traffic": "NULL"},
        f"{_SNAPSHOT} WHERE i.name IN (FROM new_deployments)",
    ),
    ("runs", {"snapshot": _SERVED}, f"{_SNAPSHOT} {_RUN}"),
)
_TABLES = tuple(table for table, _, _ in _STEPS)


def merge(
    connection: DuckDBPyConnection, stage: Path, manifest: Manifest, present: Collection[str]
) -> Merged:
    """Insert what is new of the Parquet files in ``stage``; return how many rows came, by table.

    ``present`` are the blobs that are here. The caller has begun a transaction, and rolls it back
    when this raises.
    """
    for table in _TABLES:
        _view(connection, table, stage / f"{table}.parquet", given=table in manifest.tables)
    connection.execute("CREATE TEMP TABLE present (blob VARCHAR)")
    connection.execute("INSERT INTO present SELECT unnest(?::VARCHAR[])", [list(present)])
    connection.execute(_NEW)
    came: Merged = {}
    for table, changed, rest in _STEPS:
        came[table] = _insert(connection, table, changed, rest, manifest)
    # Files that were left out, or lost, and came now.
    connection.execute(
        "UPDATE data.artifact_versions SET status = 'stored' WHERE status = 'lost' AND id IN "
        "(SELECT id FROM in_artifact_versions WHERE status = 'stored' "
        "AND id NOT IN (FROM lacking))"
    )
    _drop(connection)
    return came


def _view(connection: DuckDBPyConnection, table: str, path: Path, *, given: bool) -> None:
    """Make ``in_<table>``: the rows of a file in the columns of ours."""
    ours = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() "
        "WHERE schema_name = 'data' AND table_name = ? ORDER BY column_index",
        [table],
    ).fetchall()
    quoted = str(path).replace("'", "''")
    there: set[str] = set()
    if given:
        rows = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{quoted}')").fetchall()
        there = {row[0] for row in rows}
    columns = ", ".join(
        f"CAST({_name(name) if name in there else 'NULL'} AS {kind}) AS {_name(name)}"
        for name, kind in ours
    )
    source = f"FROM read_parquet('{quoted}')" if given else "WHERE false"
    connection.execute(f"CREATE TEMP VIEW in_{table} AS SELECT {columns} {source}")


def _insert(
    connection: DuckDBPyConnection,
    table: str,
    changed: dict[str, str],
    rest: str,
    manifest: Manifest,
) -> int:
    columns = [
        name
        for (name,) in connection.execute(
            "SELECT column_name FROM duckdb_columns() "
            "WHERE schema_name = 'data' AND table_name = ? ORDER BY column_index",
            [table],
        ).fetchall()
    ]
    chosen = [changed.get(name, f"i.{_name(name)}") for name in columns]
    values: dict[str, object] = {}
    if table == "snapshots":
        values = {"filed": manifest.blobs is not None, "unfiled": _UNFILED}
    rows = connection.execute(
        f"INSERT INTO data.{table} ({', '.join(map(_name, columns))}) "
        f"SELECT {', '.join(chosen)} FROM in_{table} i {rest}",
        values,
    ).fetchall()
    return int(rows[0][0])


def _drop(connection: DuckDBPyConnection) -> None:
    for name in ("runs", "snapshots", "versions", "models", "model_versions", "deployments"):
        connection.execute(f"DROP TABLE temp.new_{name}")
    connection.execute("DROP TABLE temp.lacking")
    connection.execute("DROP TABLE temp.present")
    for table in _TABLES:
        connection.execute(f"DROP VIEW temp.in_{table}")


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
