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

CREATE OR REPLACE VIEW main.steps AS
SELECT run_id, step_index, step, status,
       make_timestamp(started_at) AS started_at,
       make_timestamp(finished_at) AS finished_at,
       (finished_at - started_at) / 1e6 AS duration,
       attempts, upstream, inputs,
       error ->> '$.message' AS error,
       error ->> '$.type' AS error_type
FROM data.steps;

-- What steps gave, whether it is kept or only described, and what was saved beside that. The columns
-- from `version_id` on are null where nothing is kept; `status` of one that was deleted is that.
CREATE OR REPLACE VIEW main.artifacts AS
SELECT a.run_id, a.step, a.name, a.kind, a.type, coalesce(a.size, v.size) AS size,
       coalesce(a.digest, v.digest) AS digest, a.preview, coalesce(a.value, v.value) AS value,
       a.version AS version_id, v.artifact, v.number, v.version, v.pipeline, v.role,
       CASE WHEN a.version IS NULL THEN NULL ELSE coalesce(v.status, 'deleted') END AS status,
       make_timestamp(v.created_at) AS created_at, v."user", v.facts,
       try_cast(v.facts -> '$.shape' AS BIGINT[]) AS shape,
       try_cast(v.facts -> '$.columns' AS VARCHAR[]) AS column_names,
       v.files ->> '$[*].name' AS files
FROM data.artifacts a LEFT JOIN data.artifact_versions v ON v.id = a.version
UNION ALL
SELECT v.run_id, v.step, coalesce(v.name, v.artifact), v.kind, v.type, v.size, v.digest,
       v.facts ->> '$.preview', v.value, v.id, v.artifact, v.number, v.version, v.pipeline, v.role,
       v.status, make_timestamp(v.created_at), v."user", v.facts,
       try_cast(v.facts -> '$.shape' AS BIGINT[]),
       try_cast(v.facts -> '$.columns' AS VARCHAR[]), v.files ->> '$[*].name'
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

-- What was logged; of a step `subject` is the run's id, a slash and its name.
CREATE OR REPLACE VIEW main.metadata AS
SELECT kind, subject, run_id, step, key, value, split_part(type, ':', 1) AS type,
       make_timestamp(time) AS time
FROM data.metadata;
