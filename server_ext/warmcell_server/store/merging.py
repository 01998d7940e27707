"""The rows of an export among those of a store: only what is new, under numbers that are free.

Ids are unique everywhere; numbers and labels are not. A snapshot of the same content is the one
that is here; another one gets the next number of its pipeline, and runs follow. Runs that go on,
deliveries that are due, the cache of steps, the audit and the errors of the other store stay
out; a deployment comes in as one that was removed, and stages only with a model that is new.

It is done in parts, so that records and reads get their turn and memory stays. What is said of a
thing comes in the same part: what was broken off is finished by importing again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from .exporting import Manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Merged", "merge"]

T = TypeVar("T")

Merged: TypeAlias = dict[str, int]
"""How many rows came, by table."""

Do: TypeAlias = "Callable[[Callable[[DuckDBPyConnection], T]], T]"
"""Does a part, always with the same connection and in a transaction of its own."""

PART = 50_000  # runs, or versions of artifacts, that come in one transaction: a second or two

_UNFILED = "Its files were left out of the export that it came from."
# What is new, each with its number here.
_NEW = """
CREATE TEMP TABLE all_runs AS
SELECT run_id, ((row_number() OVER (ORDER BY run_id) - 1) // $part)::INTEGER AS part
FROM in_runs i WHERE status NOT IN ('queued', 'running')
AND NOT EXISTS (FROM data.runs h WHERE h.run_id = i.run_id);

CREATE TEMP TABLE all_artifacts AS
SELECT artifact, ((sum(count) OVER (ORDER BY artifact) - count) // $part)::INTEGER AS part
FROM (SELECT artifact, count(*) AS count FROM in_artifact_versions i
    WHERE status NOT IN ('deleted', 'pending')
    AND NOT EXISTS (FROM data.artifact_versions h WHERE h.id = i.id) GROUP BY artifact);

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

# All versions of an artifact come in one part: their numbers follow those that are here by then.
_NEW_VERSIONS = """
CREATE OR REPLACE TEMP TABLE new_versions AS
SELECT i.id, i.number AS was, CASE WHEN last.number IS NULL THEN i.number
    ELSE last.number + row_number() OVER (PARTITION BY i.artifact ORDER BY i.number, i.id)
    END::INTEGER AS number
FROM in_artifact_versions i
LEFT JOIN (SELECT artifact, max(number) AS number FROM data.artifact_versions GROUP BY ALL) last
    ON last.artifact = i.artifact
WHERE i.artifact IN (SELECT artifact FROM all_artifacts WHERE part = $part)
AND i.status NOT IN ('deleted', 'pending')
AND NOT EXISTS (FROM data.artifact_versions h WHERE h.id = i.id)
"""
_NEW_RUNS = (
    "CREATE OR REPLACE TEMP TABLE new_runs AS SELECT run_id FROM all_runs WHERE part = $part"
)

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
# Ids of runs sort by time: of a file that was written in that order few pieces are read.
_RUN = "WHERE i.run_id BETWEEN $low AND $high AND i.run_id IN (FROM new_runs)"
_MODEL = "WHERE i.model IN (FROM new_models)"
_SNAPSHOT = "LEFT JOIN new_snapshots s ON s.pipeline = i.pipeline AND s.was = i.snapshot"
# Of a step the subject is the id of its run, a slash and its name; "0" follows the slash.
_OF_RUNS = """i.subject >= $low AND i.subject < $high || '0' AND i.kind IN ('run', 'step')
    AND split_part(i.subject, '/', 1) IN (FROM new_runs)"""
_OF_VERSIONS = "i.kind = 'artifact_version' AND i.subject IN (SELECT id FROM new_versions)"
_OF_THINGS = """CASE i.kind WHEN 'run' THEN false WHEN 'step' THEN false
    WHEN 'artifact_version' THEN false
    WHEN 'model_version' THEN i.subject IN (SELECT id FROM new_model_versions)
    WHEN 'deployment' THEN i.subject IN (FROM new_deployments)
    ELSE true END"""
_TAGS = """LEFT JOIN new_snapshots s
    ON i.kind = 'snapshot' AND i.subject = s.pipeline || '/' || s.was
WHERE {whose} AND (i.kind <> 'snapshot' OR s.fresh)
AND NOT EXISTS (FROM data.tagged h
    WHERE h.tag = i.tag AND h.kind = i.kind AND h.subject = i.subject)
AND NOT EXISTS (FROM data.tags t JOIN data.tagged h ON h.tag = t.name
    WHERE t.exclusive AND t.name = i.tag AND h.kind = i.kind
    AND h.scope IS NOT DISTINCT FROM i.scope)"""
_METADATA = """WHERE {whose} AND NOT EXISTS (FROM data.metadata h
    WHERE h.kind = i.kind AND h.subject = i.subject AND h.key = i.key)"""
_CURATED = f"""LEFT JOIN new_snapshots s
    ON i.kind = 'snapshot' AND i.subject = s.pipeline || '/' || s.was
WHERE CASE i.kind WHEN 'run' THEN i.subject IN (SELECT run_id FROM data.runs)
    WHEN 'model_version' THEN i.subject IN (SELECT id FROM data.model_versions)
    WHEN 'deployment' THEN i.subject IN (FROM new_deployments)
    WHEN 'snapshot' THEN s.number IS NOT NULL ELSE true END
AND i.version IN (SELECT id FROM data.artifact_versions) AND NOT EXISTS (FROM data.curated h
    WHERE h.id = i.id AND h.kind = i.kind AND h.subject = {_TAGGED})"""
_DELIVERIES = f"""{_RUN} AND i.status <> 'pending' AND NOT EXISTS (
    FROM data.deliveries h WHERE h.delivery_id = i.delivery_id)"""
_CODE = """WHERE i.digest IN (SELECT code FROM in_run_code
    WHERE run_id BETWEEN $low AND $high AND run_id IN (FROM new_runs))
AND NOT EXISTS (FROM data.code h WHERE h.digest = i.digest)"""
_SERVED = "coalesce(s.number, i.snapshot)"


class _Step(NamedTuple):
    """A table, what is put in the place of its columns, and which rows come."""

    table: str
    changed: dict[str, str]
    rest: str


def _said(whose: str) -> tuple[_Step, _Step]:
    """What is said of things: their tags and their metadata."""
    return (
        _Step("tagged", {"subject": _TAGGED}, _TAGS.format(whose=whose)),
        _Step("metadata", {}, _METADATA.format(whose=whose)),
    )


_THINGS = (
    _Step(
        "snapshots",
        {"number": "n.number", "stored": _STORED},
        "JOIN new_snapshots n ON n.pipeline = i.pipeline AND n.was = i.number WHERE n.fresh",
    ),
    _Step("models", {}, "WHERE i.name IN (FROM new_models)"),
    _Step(
        "model_versions",
        {"number": "n.number", "version": _MODEL_LABEL},
        "JOIN new_model_versions n ON n.id = i.id",
    ),
    _Step("aliases", {}, _MODEL),
    _Step("alias_moves", {}, _MODEL),
    _Step("model_links", {}, "WHERE i.version IN (SELECT id FROM new_model_versions)"),
    _Step("tags", {}, "WHERE NOT EXISTS (FROM data.tags h WHERE h.name = i.name)"),
    _Step(
        "deployments",
        {"state": "'removed'", "snapshot": _SERVED, "traffic": "NULL"},
        f"{_SNAPSHOT} WHERE i.name IN (FROM new_deployments)",
    ),
    *_said(_OF_THINGS),
)
_VERSIONS = (
    _Step(
        "artifact_versions",
        {"number": "n.number", "version": _LABEL, "status": _STATUS},
        "JOIN new_versions n ON n.id = i.id",
    ),
    *_said(_OF_VERSIONS),
)
_RUNS = (
    _Step("steps", {}, _RUN),
    _Step("artifacts", {}, _RUN),
    _Step("logs", {}, _RUN),
    _Step("uses", {}, _RUN),
    _Step("code", {}, _CODE),
    _Step("run_code", {}, _RUN),
    _Step("deliveries", {}, _DELIVERIES),
    *_said(_OF_RUNS),
    _Step("runs", {"snapshot": _SERVED}, f"{_SNAPSHOT} {_RUN}"),
)
_LAST = (_Step("curated", {"subject": _TAGGED}, _CURATED),)
_TABLES = tuple(dict.fromkeys(one.table for one in (*_THINGS, *_VERSIONS, *_RUNS, *_LAST)))


def merge(do: Do[Merged], stage: Path, manifest: Manifest, present: Collection[str]) -> Merged:
    """Insert what is new of the Parquet files in ``stage``; return how many rows came, by table.

    ``present`` are the blobs that are here. When a part fails, those before it stay.
    """
    came: Counter[str] = Counter(dict.fromkeys(_TABLES, 0))
    parts = do(partial(_begin, stage=stage, manifest=manifest, present=present))
    came.update(do(partial(_take, steps=_THINGS, manifest=manifest)))
    for part in range(parts.pop("versions")):
        came.update(do(partial(_versions, part=part, manifest=manifest)))
    for part in range(parts.pop("runs")):
        came.update(do(partial(_runs, part=part, manifest=manifest)))
    came.update(do(partial(_end, manifest=manifest)))
    return dict(came)


def _begin(
    connection: DuckDBPyConnection, *, stage: Path, manifest: Manifest, present: Collection[str]
) -> Merged:
    """Find out what is new; return in how many parts the ``versions`` and ``runs`` come."""
    _drop(connection)  # of one that was broken off
    for table in _TABLES:
        _view(connection, table, stage / f"{table}.parquet", given=table in manifest.tables)
    connection.execute("CREATE TEMP TABLE present (blob VARCHAR)")
    connection.execute("INSERT INTO present SELECT unnest(?::VARCHAR[])", [list(present)])
    connection.execute(_NEW.replace("$part", str(PART)))
    versions, runs = connection.execute(
        "SELECT (SELECT coalesce(max(part) + 1, 0) FROM all_artifacts), "
        "(SELECT coalesce(max(part) + 1, 0) FROM all_runs)"
    ).fetchall()[0]
    return {"versions": versions, "runs": runs}


def _versions(connection: DuckDBPyConnection, *, part: int, manifest: Manifest) -> Merged:
    connection.execute(_NEW_VERSIONS, {"part": part})
    return _take(connection, steps=_VERSIONS, manifest=manifest)


def _runs(connection: DuckDBPyConnection, *, part: int, manifest: Manifest) -> Merged:
    connection.execute(_NEW_RUNS, {"part": part})
    return _take(connection, steps=_RUNS, manifest=manifest)


def _end(connection: DuckDBPyConnection, *, manifest: Manifest) -> Merged:
    came = _take(connection, steps=_LAST, manifest=manifest)
    # Files that were left out, or lost, and came now.
    connection.execute(
        "UPDATE data.artifact_versions SET status = 'stored' WHERE status = 'lost' AND id IN "
        "(SELECT id FROM in_artifact_versions WHERE status = 'stored' "
        "AND id NOT IN (FROM lacking))"
    )
    _drop(connection)
    return came


def _take(
    connection: DuckDBPyConnection, *, steps: tuple[_Step, ...], manifest: Manifest
) -> Merged:
    return {one.table: _insert(connection, one, manifest) for one in steps}


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


def _insert(connection: DuckDBPyConnection, step: _Step, manifest: Manifest) -> int:
    table, changed, rest = step
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
    if "$low" in rest:
        found = connection.execute("SELECT min(run_id), max(run_id) FROM new_runs").fetchall()
        values = dict(zip(("low", "high"), found[0], strict=True))
    rows = connection.execute(
        f"INSERT INTO data.{table} ({', '.join(map(_name, columns))}) "
        f"SELECT {', '.join(chosen)} FROM in_{table} i {rest}",
        values,
    ).fetchall()
    return int(rows[0][0])


def _drop(connection: DuckDBPyConnection) -> None:
    """Forget what :func:`_begin` and the parts made."""
    for name in ("runs", "snapshots", "versions", "models", "model_versions", "deployments"):
        connection.execute(f"DROP TABLE IF EXISTS temp.new_{name}")
    for name in ("all_runs", "all_artifacts", "lacking", "present"):
        connection.execute(f"DROP TABLE IF EXISTS temp.{name}")
    for table in _TABLES:
        connection.execute(f"DROP VIEW IF EXISTS temp.in_{table}")


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
