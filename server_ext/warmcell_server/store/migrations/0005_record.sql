-- Version 5. The record: versions of artifacts, what used them, tags, metadata, models, caching.

-- One stored value of an artifact. `number` counts per artifact; `version` is its label, the number
-- where none was given. What a step gave and nobody keeps is described in data.artifacts only.
CREATE TABLE data.artifact_versions (
    id         VARCHAR PRIMARY KEY,
    artifact   VARCHAR NOT NULL,
    number     INTEGER NOT NULL,
    version    VARCHAR NOT NULL,
    run_id     VARCHAR,          -- that made it; null for what was saved outside of a run
    step       VARCHAR,
    name       VARCHAR,          -- of the output
    pipeline   VARCHAR,
    kind       VARCHAR NOT NULL, -- of serializer
    type       VARCHAR NOT NULL, -- the Python class
    role       VARCHAR,          -- data, model, statistics, service …
    size       BIGINT,           -- bytes
    digest     VARCHAR,          -- of the content: SHA-256
    value      JSON,             -- where it is small
    files      JSON,             -- else: [{"name", "blob", "size"}]
    facts      JSON,             -- shape, columns, items …
    about      JSON,             -- what a load needs: signature, library versions, class
    status     VARCHAR NOT NULL, -- pending | stored | lost | refused: reason
    created_at BIGINT NOT NULL,
    "user"     VARCHAR,
    host_id    VARCHAR
);
CREATE INDEX artifact_versions_by_name ON data.artifact_versions (artifact, number);

-- A run that took a version which another one made. Inside a run, data.steps says it.
CREATE TABLE data.uses (
    run_id  VARCHAR NOT NULL,
    step    VARCHAR,
    input   VARCHAR NOT NULL,
    version VARCHAR NOT NULL,    -- id of the artifact version
    time    BIGINT NOT NULL
);

CREATE TABLE data.tags (
    name       VARCHAR PRIMARY KEY,
    color      VARCHAR,
    exclusive  BOOLEAN NOT NULL,
    cascade    BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    "user"     VARCHAR
);

-- `kind`: pipeline, run, snapshot, deployment, artifact, artifact_version, model, model_version.
-- `scope` is what an exclusive tag is exclusive in: a pipeline, an artifact, a model.
CREATE TABLE data.tagged (
    tag        VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL,
    subject    VARCHAR NOT NULL,
    scope      VARCHAR,
    created_at BIGINT NOT NULL,
    "user"     VARCHAR,
    PRIMARY KEY (tag, kind, subject)
);

CREATE TABLE data.metadata (
    kind    VARCHAR NOT NULL,    -- run, step, artifact_version, model_version
    subject VARCHAR NOT NULL,    -- of a step: run id, a slash, its name
    key     VARCHAR NOT NULL,
    value   JSON,
    type    VARCHAR NOT NULL,
    time    BIGINT NOT NULL,
    run_id  VARCHAR,
    step    VARCHAR,
    PRIMARY KEY (kind, subject, key)
);

CREATE TABLE data.models (
    name       VARCHAR PRIMARY KEY,
    about      JSON,             -- description, license, audience …
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    "user"     VARCHAR
);

CREATE TABLE data.model_versions (
    id          VARCHAR PRIMARY KEY,
    model       VARCHAR NOT NULL,
    number      INTEGER NOT NULL,
    version     VARCHAR NOT NULL,
    about       JSON,
    run_id      VARCHAR,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    "user"      VARCHAR,
    UNIQUE (model, version)
);

-- Stages are aliases; `revision` grows with each move, for compare and set.
CREATE TABLE data.aliases (
    model    VARCHAR NOT NULL,
    alias    VARCHAR NOT NULL,
    version  VARCHAR NOT NULL,   -- id of the model version
    revision INTEGER NOT NULL,
    time     BIGINT NOT NULL,
    "user"   VARCHAR,
    PRIMARY KEY (model, alias)
);

CREATE TABLE data.alias_moves (
    model    VARCHAR NOT NULL,
    alias    VARCHAR NOT NULL,
    before   VARCHAR,
    after    VARCHAR,
    revision INTEGER NOT NULL,
    time     BIGINT NOT NULL,
    "user"   VARCHAR,
    reason   VARCHAR
);

-- What belongs to a model version. `kind`: artifact_version, run, deployment.
CREATE TABLE data.model_links (
    version VARCHAR NOT NULL,
    kind    VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    role    VARCHAR NOT NULL,    -- data, model, deployment
    time    BIGINT NOT NULL,
    PRIMARY KEY (version, kind, subject)
);

-- Steps whose results can be taken again. `key` is a digest of code, parameters, inputs and what the
-- policy adds; `versions` are ids of artifact versions, in the order of the outputs.
CREATE TABLE data.cache (
    key        VARCHAR PRIMARY KEY,
    run_id     VARCHAR NOT NULL,
    step       VARCHAR NOT NULL,
    pipeline   VARCHAR NOT NULL,
    versions   JSON NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    parts      JSON,              -- what went into the key, to say what differs
    outputs    JSON               -- how the outputs are described, without their values
);
CREATE INDEX cache_by_step ON data.cache (step);
CREATE INDEX cache_by_run ON data.cache (run_id);

-- Artifact versions that `on_init` of a snapshot loaded for a deployment.
CREATE TABLE data.loads (
    deployment VARCHAR NOT NULL,
    pipeline   VARCHAR NOT NULL,
    snapshot   INTEGER NOT NULL,
    version    VARCHAR NOT NULL, -- id
    time       BIGINT NOT NULL,
    PRIMARY KEY (deployment, pipeline, snapshot, version)
);

-- Visualizations of artifact versions, each with a row for everything that it is shown with.
-- `kind`: model, deployment, pipeline, run, snapshot or project.
CREATE TABLE data.curated (
    id         VARCHAR NOT NULL,
    version    VARCHAR NOT NULL, -- id of the artifact version
    number     INTEGER NOT NULL, -- which of its visualizations, from 0
    kind       VARCHAR NOT NULL,
    subject    VARCHAR NOT NULL, -- name or id; of a snapshot pipeline/number
    name       VARCHAR,
    place      INTEGER,          -- lower ones come first, what has none last
    layout     VARCHAR NOT NULL, -- full_width or half_width
    created_at BIGINT NOT NULL,
    "user"     VARCHAR,
    PRIMARY KEY (id, kind, subject)
);

-- What runs without a snapshot were made of, each once.
CREATE TABLE data.code (
    digest VARCHAR PRIMARY KEY,
    source JSON NOT NULL         -- [{"name", "kind", "source", "cell"}]
);
CREATE TABLE data.run_code (
    run_id VARCHAR NOT NULL,
    code   VARCHAR NOT NULL      -- digest
);

ALTER TABLE data.artifacts ADD COLUMN version VARCHAR;   -- id of the artifact version, where one is kept
ALTER TABLE data.steps ADD COLUMN cached VARCHAR;        -- id of the run whose results were taken
ALTER TABLE data.steps ADD COLUMN uncached VARCHAR;      -- why they were not
