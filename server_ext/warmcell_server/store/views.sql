-- What users and other parts of Warmcell may query. Replaced at every open, so that a change here
-- needs no migration; columns are added, never renamed.
CREATE OR REPLACE VIEW main.runs AS
SELECT run_id, run_name, pipeline, deployment, snapshot, trigger, status,
       make_timestamp(created_at) AS created_at,
       make_timestamp(started_at) AS started_at,
       make_timestamp(finished_at) AS finished_at,
       (finished_at - coalesce(started_at, created_at)) / 1e6 AS duration,
       parameters, outputs,
       error ->> '$.message' AS error,
       error ->> '$.type' AS error_type,
       error ->> '$.step' AS error_step,
       notebook, "user", host_id, traceparent, origin
FROM data.runs;

-- Calls of deployments, those that repeat another one too; `origin` tells those apart.
CREATE OR REPLACE VIEW main.calls AS
SELECT run_id, run_name, deployment, pipeline, snapshot, trigger, status,
       make_timestamp(created_at) AS created_at,
       make_timestamp(started_at) AS started_at,
       make_timestamp(finished_at) AS finished_at,
       (finished_at - coalesce(started_at, created_at)) / 1e6 AS duration,
       (started_at - created_at) / 1e6 AS waited,
       parameters, outputs,
       error ->> '$.message' AS error,
       error ->> '$.type' AS error_type,
       error ->> '$.step' AS error_step,
       "user", origin
FROM data.runs WHERE deployment IS NOT NULL;

CREATE OR REPLACE VIEW main.steps AS
SELECT run_id, step_index, step, status,
       make_timestamp(started_at) AS started_at,
       make_timestamp(finished_at) AS finished_at,
       (finished_at - started_at) / 1e6 AS duration,
       attempts, upstream, inputs,
       error ->> '$.message' AS error,
       error ->> '$.type' AS error_type,
       cached, uncached
FROM data.steps;

-- What steps gave, whether it is kept or only described, and what was saved beside that. The columns
-- from `version_id` on are null where nothing is kept; `status` of one that was deleted is that.
CREATE OR REPLACE VIEW main.artifacts AS
SELECT a.run_id, a.step, a.name, a.kind, a.type, coalesce(a.size, v.size) AS size,
       coalesce(a.digest, v.digest) AS digest, a.preview, coalesce(a.value, v.value) AS value,
       a.version AS version_id, v.artifact, v.number, v.version, v.pipeline, v.role,
       CASE WHEN a.version IS NULL THEN NULL ELSE coalesce(v.status, 'deleted') END AS status,
       make_timestamp(v.created_at) AS created_at, v."user", v.facts,
       coalesce(try_cast(v.facts -> '$.shape' AS BIGINT[]), CASE
           WHEN try_cast(v.facts ->> '$.columns' AS BIGINT) IS NOT NULL
           THEN [(v.facts ->> '$.rows')::BIGINT, (v.facts ->> '$.columns')::BIGINT] END) AS shape,
       coalesce(json_keys(v.facts -> '$.schema'),
           try_cast(v.facts -> '$.columns' AS VARCHAR[])) AS column_names,
       v.files ->> '$[*].name' AS files
FROM data.artifacts a LEFT JOIN data.artifact_versions v ON v.id = a.version
UNION ALL
SELECT v.run_id, v.step, coalesce(v.name, v.artifact), v.kind, v.type, v.size, v.digest,
       v.facts ->> '$.preview', v.value, v.id, v.artifact, v.number, v.version, v.pipeline, v.role,
       v.status, make_timestamp(v.created_at), v."user", v.facts,
       coalesce(try_cast(v.facts -> '$.shape' AS BIGINT[]), CASE
           WHEN try_cast(v.facts ->> '$.columns' AS BIGINT) IS NOT NULL
           THEN [(v.facts ->> '$.rows')::BIGINT, (v.facts ->> '$.columns')::BIGINT] END),
       coalesce(json_keys(v.facts -> '$.schema'),
           try_cast(v.facts -> '$.columns' AS VARCHAR[])), v.files ->> '$[*].name'
FROM data.artifact_versions v
WHERE v.status <> 'deleted'
  AND NOT EXISTS (FROM data.artifacts a WHERE a.run_id = v.run_id AND a.version = v.id);

CREATE OR REPLACE VIEW main.logs AS
SELECT run_id, make_timestamp(time) AS time, stream, text, step, level FROM data.logs;

CREATE OR REPLACE VIEW main.snapshots AS
SELECT pipeline, number, digest, make_timestamp(created_at) AS created_at, input_schema,
       output_schema, source, notes, held, environment, settings, notebook, "user", stored, note
FROM data.snapshots;

CREATE OR REPLACE VIEW main.deployments AS
SELECT name, pipeline, snapshot, state, make_timestamp(created_at) AS created_at,
       make_timestamp(updated_at) AS updated_at, settings, notebook, "user", host_id,
       traffic
FROM data.deployments;

CREATE OR REPLACE VIEW main.errors AS
SELECT make_timestamp(time) AS time, file, host_id, reason, line FROM data.errors;

CREATE OR REPLACE VIEW main.deliveries AS
SELECT delivery_id, run_id, deployment, url, status, make_timestamp(created_at) AS created_at,
       make_timestamp(updated_at) AS updated_at, attempts, make_timestamp(next_at) AS next_at,
       response, error
FROM data.deliveries;

CREATE OR REPLACE VIEW main.audit AS
SELECT make_timestamp(time) AS time, event, subject, deployment, "user", detail FROM data.audit;

-- Who has which tag: `subject` is an id or a name, of a snapshot pipeline/number.
CREATE OR REPLACE VIEW main.tags AS
SELECT g.tag, g.kind, g.subject, g.scope, t.color, t.exclusive,
       make_timestamp(g.created_at) AS created_at, g."user"
FROM data.tagged g LEFT JOIN data.tags t ON t.name = g.tag;

-- Visualizations that are shown with something.
CREATE OR REPLACE VIEW main.visualizations AS
SELECT c.id, c.kind, c.subject, c.name, c.place, c.layout, v.artifact, v.version,
       c.version AS version_id, c.number, make_timestamp(c.created_at) AS created_at, c."user"
FROM data.curated c JOIN data.artifact_versions v ON v.id = c.version;

-- What was logged; of a step `subject` is the run's id, a slash and its name.
CREATE OR REPLACE VIEW main.metadata AS
SELECT kind, subject, run_id, step, key, value, split_part(type, ':', 1) AS type,
       make_timestamp(time) AS time
FROM data.metadata;

-- Versions of models; a model without any has one row that says of it what there is.
CREATE OR REPLACE VIEW main.models AS
SELECT m.name AS model, v.id AS version_id, v.number, v.version,
       (SELECT list(a.alias ORDER BY a.alias) FROM data.aliases a WHERE a.version = v.id) AS stages,
       coalesce(json_exists(v.about, '$.archived'), false) AS archived,
       coalesce(v.about ->> '$.description', m.about ->> '$.description') AS description,
       m.about ->> '$.license' AS license,
       (SELECT list(t.tag ORDER BY t.tag) FROM data.tagged t
        WHERE (t.kind = 'model_version' AND t.subject = v.id)
           OR (t.kind = 'model' AND t.subject = m.name)) AS tags,
       v.run_id, m.about AS about_model, v.about AS about_version,
       make_timestamp(coalesce(v.created_at, m.created_at)) AS created_at,
       make_timestamp(coalesce(v.updated_at, m.updated_at)) AS updated_at,
       coalesce(v."user", m."user") AS "user"
FROM data.models m LEFT JOIN data.model_versions v ON v.model = m.name;

-- Who moved which stage or alias, and when.
CREATE OR REPLACE VIEW main.stages AS
SELECT s.model, s.alias, b.version AS before, a.version AS after, s.revision, s."user", s.reason,
       make_timestamp(s.time) AS time
FROM data.alias_moves s LEFT JOIN data.model_versions b ON b.id = s.before
LEFT JOIN data.model_versions a ON a.id = s.after;

-- What leads to what: the same edges as record/edges.py and record/neighbours.py have.
CREATE OR REPLACE VIEW main.lineage AS
WITH made AS NOT MATERIALIZED (
    SELECT id AS version, run_id, step, name, created_at,
           CASE role WHEN 'model' THEN 'model' WHEN 'service' THEN 'deployment'
               WHEN 'deployment' THEN 'deployment' ELSE 'data' END AS role
    FROM data.artifact_versions WHERE run_id IS NOT NULL AND status <> 'deleted'
), owners AS NOT MATERIALIZED (
    SELECT l.version AS model, m.role, l.time, m.version, m.run_id
    FROM data.model_links l JOIN made m
      ON (l.kind = 'run' AND l.subject = m.run_id)
      OR (l.kind = 'step' AND l.subject = m.run_id || '/' || m.step)
    WHERE l.kind = 'step' OR NOT EXISTS (
        FROM data.model_links o WHERE o.kind = 'step' AND o.version <> l.version
          AND o.subject = m.run_id || '/' || m.step)
), named AS NOT MATERIALIZED (
    SELECT 'snapshot' AS kind, pipeline || '/' || number AS holder, created_at AS time,
           unnest(regexp_extract_all(concat_ws(' ', settings, held, manifest),
               '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}')) AS version
    FROM data.snapshots
    UNION ALL
    SELECT 'snapshot', pipeline || '/' || snapshot, time, version FROM data.loads
    UNION ALL
    SELECT 'deployment', name, updated_at,
           unnest(regexp_extract_all(concat_ws(' ', settings, traffic),
               '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}'))
    FROM data.deployments WHERE state <> 'removed'
), edges AS NOT MATERIALIZED (
    SELECT CASE WHEN step IS NULL THEN 'run' ELSE 'step' END AS source_kind,
           concat_ws('/', run_id, step) AS source, 'artifact_version' AS target_kind,
           version AS target, 'output' AS relation, name, run_id, created_at AS time
    FROM made
    UNION ALL
    SELECT 'artifact_version', a.version, 'step', s.run_id || '/' || s.step, 'input', s.key,
           s.run_id, s.started_at
    FROM (
        SELECT p.run_id, p.step, p.started_at, e.key,
               regexp_replace(e.value ->> '$', '[\[].*$', '') AS given
        FROM data.steps p, json_each(p.inputs) e
    ) s JOIN data.artifacts a
      ON a.run_id = s.run_id AND a.version IS NOT NULL AND s.given = a.step || '.' || a.name
    UNION ALL
    SELECT 'artifact_version', version, CASE WHEN step IS NULL THEN 'run' ELSE 'step' END,
           concat_ws('/', run_id, step), 'input', input, run_id, time
    FROM data.uses
    UNION ALL
    SELECT 'artifact_version', a.version, 'step', a.run_id || '/' || a.step, 'cached', a.name,
           a.run_id, v.created_at
    FROM data.artifacts a JOIN data.artifact_versions v
      ON v.id = a.version AND v.run_id IS DISTINCT FROM a.run_id
    UNION ALL
    SELECT 'snapshot', r.pipeline || '/' || r.snapshot, 'step', s.run_id || '/' || s.step,
           'executed', NULL, s.run_id, s.started_at
    FROM data.steps s JOIN data.runs r ON r.run_id = s.run_id AND r.snapshot IS NOT NULL
    UNION ALL
    SELECT 'artifact_version', n.version, n.kind, n.holder,
           CASE n.kind WHEN 'snapshot' THEN 'held' ELSE 'served' END, NULL, v.run_id, n.time
    FROM (SELECT kind, holder, version, min(time) AS time FROM named GROUP BY ALL) n JOIN data.artifact_versions v ON v.id = n.version
    UNION ALL
    SELECT 'artifact_version', subject, 'model_version', version, 'linked', role, NULL, time
    FROM data.model_links WHERE kind = 'artifact_version'
    UNION ALL
    SELECT 'artifact_version', o.version, 'model_version', o.model, 'linked', o.role, o.run_id,
           o.time
    FROM owners o WHERE NOT EXISTS (
        FROM data.model_links l WHERE l.kind = 'artifact_version' AND l.subject = o.version
          AND l.version = o.model)
    UNION ALL
    SELECT 'snapshot', pipeline || '/' || snapshot, 'deployment', name, 'served', NULL, NULL,
           updated_at
    FROM data.deployments WHERE state <> 'removed'
    UNION ALL
    SELECT 'snapshot', d.pipeline || '/' || w.key, 'deployment', d.name, 'served', NULL, NULL,
           d.updated_at
    FROM data.deployments d, json_each(d.traffic -> '$.weights') w
    WHERE d.state <> 'removed' AND w.key <> d.snapshot::VARCHAR AND (w.value ->> '$')::DOUBLE > 0
    UNION ALL
    SELECT 'model_version', l.version, 'deployment', l.subject, 'served', NULL, NULL, l.time
    FROM data.model_links l JOIN data.deployments d ON d.name = l.subject
    WHERE l.kind = 'deployment' AND d.state <> 'removed'
)
SELECT source_kind, source, target_kind, target, relation, name, run_id,
       make_timestamp(time) AS time
FROM edges;

-- These views themselves, with what comments.sql says of them.
CREATE OR REPLACE VIEW main.views AS
SELECT c.table_name AS view_name, c.column_name, c.data_type, c.comment
FROM duckdb_columns() c JOIN duckdb_views() v
  ON v.schema_name = c.schema_name AND v.view_name = c.table_name AND NOT v.internal
WHERE c.schema_name = 'main' AND c.database_name = current_database()
UNION ALL
SELECT view_name, NULL, NULL, comment FROM duckdb_views()
WHERE NOT internal AND schema_name = 'main' AND database_name = current_database()
ORDER BY ALL;
