"""A store as it is after a year: ``python3 dev.py bench bigstore FOLDER --runs 1000000``.

The newest runs (``--ingested``) come in as a server's do: as lines of the spool, of which the
store's own code makes rows. All before them are written into the tables by SQL, with the same
columns and ids that sort by time; ``--ingested 1000000`` makes all of them the slow way. The blobs
of artifacts that have files are real ones; no run was ever called.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import duckdb

from tests.benchmarks.manyruns import run_entry
from warmcell import blobs
from warmcell.ids import now
from warmcell_server.store import Store
from warmcell_server.store.database import connect
from warmcell_server.store.files import prepare

BLOBS = 200  # different contents of the artifacts that have files
DAYS = 90
PAUSE = 100_000  # microseconds between two of the newest runs
CHUNK = 50_000  # runs per transaction: what one of them holds in memory

# Of run `i`: its moment and its id, a UUIDv7; `mark` tells the ids of one moment apart.
MACROS = """
CREATE OR REPLACE TEMP MACRO moment(i) AS $start + (i * $pause)::BIGINT;
CREATE OR REPLACE TEMP MACRO made(i, mark) AS (
    SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-7' || substr(m, 1, 3) || '-8'
        || substr(m, 4, 3) || '-' || substr(m, 7, 12)
    FROM (SELECT printf('%012x', moment(i) // 1000) AS h, md5(mark || i) AS m));
CREATE OR REPLACE TEMP MACRO pipeline(i) AS 'pipeline-' || hash(i * 3) % 20;
CREATE OR REPLACE TEMP MACRO batch(i) AS i % 4 = 0;
CREATE OR REPLACE TEMP MACRO fails(i) AS hash(i) % 25 = 0;
"""

# In each `i` is the number of a run and goes from $low to $high.
TABLES = {
    "runs": """
        SELECT made(i, 'run') AS run_id, 'run-' || i AS run_name, pipeline(i) AS pipeline,
            CASE WHEN NOT batch(i) THEN 'deployment-' || hash(i * 3) % 20 END AS deployment,
            CASE WHEN NOT batch(i) THEN 1 + i // 100000 END AS snapshot,
            CASE WHEN batch(i) THEN 'cell' ELSE 'call' END AS trigger,
            CASE WHEN fails(i) THEN 'failed' ELSE 'succeeded' END AS status,
            moment(i) AS created_at, moment(i) + 200 AS started_at,
            moment(i) + 1500 + hash(i) % 5000 AS finished_at,
            json_object('customer', json_object('age', i % 80, 'tenure', i % 60,
                'balance', (i % 100000) / 7, 'name', md5('name' || i))) AS parameters,
            CASE WHEN NOT fails(i) THEN json_object('churn', i % 3 = 0,
                'probability', (i % 1000) / 1000) END AS outputs,
            CASE WHEN fails(i) THEN json_object('type', 'ValueError', 'step', 'score', 'message',
                'customer ' || i || ' has no balance') END AS error,
            'work/notebook-' || (i % 9) || '.ipynb' AS notebook, 'ada' AS "user",
            'earlier' AS host_id
        FROM numbers""",
    "steps": """
        SELECT made(i, 'run') AS run_id, part AS step_index,
            ['features', 'score', 'respond'][part + 1] AS step, 'succeeded' AS status,
            moment(i) + 200 + part * 300 AS started_at, moment(i) + 500 + part * 300 AS finished_at,
            1 AS attempts, CASE part WHEN 0 THEN '[]' WHEN 1 THEN '["features"]'
                ELSE '["score"]' END AS upstream,
            '{"table":"features.output"}' AS inputs, NULL AS error
        FROM numbers, range(3) parts(part) ORDER BY i, part""",
    "artifacts": """
        SELECT made(i, 'run') AS run_id, ['features', 'score', 'respond'][part + 1] AS step,
            'output' AS name, ['numpy', 'json', 'json'][part + 1] AS kind,
            ['numpy.ndarray', 'float', 'dict'][part + 1] AS type, 64 AS size,
            '[' || (i % 977) || ']' AS preview,
            CASE WHEN part > 0 THEN ((i % 1000) / 1000)::VARCHAR END AS value,
            CASE WHEN batch(i) THEN made(i, 'version' || part) END AS version
        FROM numbers, range(3) parts(part) ORDER BY i, part""",
    "artifact_versions": """
        SELECT made(i, 'version' || part) AS id,
            pipeline(i) || '::' || ['features', 'score', 'respond'][part + 1] || '::output'
                AS artifact,
            (1 + i // 4)::INTEGER AS number, (1 + i // 4)::VARCHAR AS version,
            made(i, 'run') AS run_id, ['features', 'score', 'respond'][part + 1] AS step,
            'output' AS name, pipeline(i) AS pipeline, ['numpy', 'json', 'json'][part + 1] AS kind,
            ['numpy.ndarray', 'float', 'dict'][part + 1] AS type, 'data' AS role, 64 AS size,
            md5('content' || (i % 9973)) AS digest,
            CASE WHEN part > 0 THEN ((i % 1000) / 1000)::VARCHAR END AS value,
            CASE WHEN part = 0 THEN json_array(json_object('name', 'value.npy', 'blob',
                $blobs[1 + (i // 4) % len($blobs)], 'size', 64)) END AS files,
            '{"shape":[1,8],"dtype":"float64"}' AS facts, '{"numpy":"2"}' AS about,
            'stored' AS status, moment(i) + 900 AS created_at, 'ada' AS "user",
            'earlier' AS host_id
        FROM numbers, range(3) parts(part) WHERE batch(i) ORDER BY i, part""",
    "uses": """
        SELECT made(i, 'run') AS run_id, 'score' AS step, 'table' AS input,
            made(greatest(i - 400, 0), 'version0') AS version, moment(i) AS time
        FROM numbers WHERE i % 20 = 0""",
    "logs": """
        SELECT made(i, 'run') AS run_id, moment(i) + 400 AS time, 'stdout' AS stream,
            'scored customer ' || i || chr(10) AS text, 'score' AS step, NULL AS level
        FROM numbers""",
    "metadata": """
        SELECT 'run' AS kind, made(i, 'run') AS subject, ['accuracy', 'rows'][part + 1] AS key,
            ((i % 1000) / (1 + part * 10))::VARCHAR AS value, 'float' AS type, moment(i) AS time,
            made(i, 'run') AS run_id, NULL AS step
        FROM numbers, range(2) parts(part) WHERE batch(i) ORDER BY i, part""",
    "tagged": """
        SELECT ['nightly', 'checked', 'odd'][1 + (i // 10) % 3] AS tag, 'run' AS kind,
            made(i, 'run') AS subject, pipeline(i) AS scope, moment(i) AS created_at,
            'ada' AS "user"
        FROM numbers WHERE i % 10 = 0
        UNION ALL
        SELECT 'release', 'artifact_version', made(i, 'version0'),
            pipeline(i) || '::features::output', moment(i), 'ada' FROM numbers WHERE i % 40 = 0""",
    "model_versions": """
        SELECT made(i, 'model') AS id, 'model-' || ((i // 400) % 50) AS model,
            (1 + i // 20000)::INTEGER AS number, (1 + i // 20000)::VARCHAR AS version,
            '{"description":"nightly"}' AS about, made(i, 'run') AS run_id,
            moment(i) AS created_at, moment(i) AS updated_at, 'ada' AS "user"
        FROM numbers WHERE i % 400 = 0""",
    "model_links": """
        SELECT made(i, 'model') AS version, 'artifact_version' AS kind,
            made(i, 'version0') AS subject, 'model' AS role, moment(i) AS time
        FROM numbers WHERE i % 400 = 0""",
}
ENDS = """
INSERT INTO data.tags SELECT unnest(['nightly', 'checked', 'odd', 'release', 'few']), 'blue', false,
    false, $start, 'ada';
INSERT INTO data.tagged BY NAME SELECT 'few' AS tag, 'run' AS kind, made(i * ($count // 5),
    'run') AS subject, NULL AS scope, moment(i) AS created_at FROM range(5) t(i);
INSERT INTO data.models SELECT 'model-' || i, '{"description":"one of fifty"}', $start, $start,
    'ada' FROM range(50) t(i) WHERE 'model-' || i IN (SELECT model FROM data.model_versions);
INSERT INTO data.aliases SELECT model, 'production', max_by(id, number), 1, max(created_at), 'ada'
    FROM data.model_versions GROUP BY model;
INSERT INTO data.snapshots BY NAME SELECT 'pipeline-' || (i % 20) AS pipeline,
    (1 + i // 20)::INTEGER AS number, md5('snapshot' || i) AS digest, moment(i) AS created_at,
    '{}' AS input_schema, '{}' AS output_schema, 'stored' AS stored FROM range(200) t(i);
INSERT INTO data.deployments BY NAME SELECT 'deployment-' || i AS name, 'pipeline-' || i AS
    pipeline, 10 AS snapshot, 'detached' AS state, $start AS created_at, $start AS updated_at,
    'earlier' AS host_id, '{}' AS settings FROM range(20) t(i);
"""


def make(home: Path, runs: int, ingested: int = 10_000) -> dict[str, float]:
    """Make a store of ``runs`` runs in ``home``, which must not have one; returns the seconds of
    each part. The last ``ingested`` runs, at most half, each come in as a line of the spool."""
    layout = prepare(home)
    if layout.database.exists():
        raise FileExistsError(f"There is a store in {home} already.")
    ingested = min(ingested, runs // 2)
    took = {}
    begin = time.perf_counter()
    kept = [blobs.keep(f"content {number}".encode() * 4, layout.blobs) for number in range(BLOBS)]
    connection = connect(layout)
    try:
        _write(connection, runs - ingested, runs, kept)
    finally:
        connection.close()
    took["SQL"] = time.perf_counter() - begin
    begin = time.perf_counter()
    _ingest(home, ingested)
    took["ingest"] = time.perf_counter() - begin
    return took


def _write(connection: duckdb.DuckDBPyConnection, count: int, runs: int, kept: list[str]) -> None:
    span = DAYS * 86_400_000_000
    start = now() - span - (runs - count) * PAUSE
    filled = {"start": start, "pause": f"{span / max(1, runs):.6f}", "count": count, "blobs": kept}

    def fill(text: str) -> str:
        for name, value in filled.items():
            text = text.replace(f"${name}", str(value))
        return text

    connection.execute(fill(MACROS))
    for low in range(0, count, CHUNK):
        numbers = f"WITH numbers AS (FROM range({low}, {min(count, low + CHUNK)}) t(i))"
        connection.execute("BEGIN")
        for table, query in TABLES.items():
            connection.execute(f"INSERT INTO data.{table} BY NAME {numbers} {fill(query)}")
        connection.execute("COMMIT")
    connection.execute(fill(ENDS))
    connection.execute("CHECKPOINT")


def _ingest(home: Path, count: int) -> None:
    """Append runs as a server does, and wait until they are rows."""
    store = Store.open(home, host_id="bigstore", label="bigstore")
    try:
        begin = now() - count * PAUSE
        for number in range(count):
            store.append(run_entry(number, store.host_id, begin + number * PAUSE))
        store.list_runs(limit=1).result(3600)  # a read waits for what is spooled
    finally:
        store.close()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench bigstore", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the store is made; WARMCELL_HOME later")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--ingested", type=int, default=10_000, help="of them through the spool")
    given = parser.parse_args(arguments)
    took = make(given.folder, given.runs, given.ingested)
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    size = sum(file.stat().st_size for file in given.folder.rglob("*") if file.is_file())
    sys.stdout.write(f"{given.runs} runs in {given.folder}: {size / 1e6:.0f} MB; {parts}.\n")


if __name__ == "__main__":
    main(sys.argv[1:])
