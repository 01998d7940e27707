-- Version 1. Tables are ours alone, in the schema `data`; users see the views of views.sql.
-- Times are microseconds since the epoch, UTC: the appender takes them as they come, and
-- TIMESTAMPTZ would need a time zone package in Python.
CREATE SCHEMA data;

CREATE TABLE data.runs (
    run_id      VARCHAR PRIMARY KEY,
    run_name    VARCHAR,
    pipeline    VARCHAR NOT NULL,
    deployment  VARCHAR,
    snapshot    BIGINT,
    trigger     VARCHAR NOT NULL,
    status      VARCHAR NOT NULL,
    created_at  BIGINT NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT,
    parameters  JSON,
    outputs     JSON,
    error       JSON,            -- type, message, step, traceback, hint
    notebook    VARCHAR,
    kernel_id   VARCHAR,
    "user"      VARCHAR,
    host_id     VARCHAR
);

-- No key on the parts of a run: ids sort by time, so zone maps find them, and a key would cost
-- each batch more than it saves.
CREATE TABLE data.steps (
    run_id      VARCHAR NOT NULL,
    step_index  INTEGER NOT NULL,
    step        VARCHAR NOT NULL,
    status      VARCHAR NOT NULL,
    started_at  BIGINT,
    finished_at BIGINT,
    attempts    INTEGER NOT NULL,
    upstream    JSON,
    inputs      JSON,
    error       JSON
);

CREATE TABLE data.artifacts (
    run_id  VARCHAR NOT NULL,
    step    VARCHAR NOT NULL,
    name    VARCHAR NOT NULL,
    kind    VARCHAR NOT NULL,
    type    VARCHAR NOT NULL,
    size    BIGINT,
    digest  VARCHAR,
    preview VARCHAR,
    value   JSON
);

CREATE TABLE data.logs (
    run_id VARCHAR NOT NULL,
    time   BIGINT NOT NULL,
    stream VARCHAR NOT NULL,
    text   VARCHAR NOT NULL,
    step   VARCHAR,
    level  VARCHAR
);

CREATE TABLE data.snapshots (
    pipeline      VARCHAR NOT NULL,
    number        INTEGER NOT NULL,
    digest        VARCHAR NOT NULL,
    created_at    BIGINT NOT NULL,
    input_schema  JSON,
    output_schema JSON,
    source        VARCHAR,
    notes         JSON,
    held          JSON,
    environment   JSON,
    settings      JSON,
    notebook      VARCHAR,
    "user"        VARCHAR,
    stored        VARCHAR NOT NULL,
    manifest      JSON,
    PRIMARY KEY (pipeline, number)
);

CREATE TABLE data.deployments (
    name         VARCHAR PRIMARY KEY,
    pipeline     VARCHAR NOT NULL,
    snapshot     INTEGER NOT NULL,
    state        VARCHAR NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    host_id      VARCHAR NOT NULL,
    settings     JSON,
    notebook     VARCHAR,
    "user"       VARCHAR,
    holder_label VARCHAR,
    holder_url   VARCHAR
);

-- What could not be stored, so that nothing is dropped in silence.
CREATE TABLE data.errors (
    time    BIGINT NOT NULL,
    file    VARCHAR NOT NULL,
    host_id VARCHAR NOT NULL,
    reason  VARCHAR NOT NULL,
    line    VARCHAR
);

-- How far each spool file is in these tables; changed in the same transaction as they are.
CREATE TABLE data.spool_offsets (
    file     VARCHAR PRIMARY KEY,
    position BIGINT NOT NULL
);

CREATE TABLE data.schema_version (
    version    INTEGER NOT NULL,
    applied_at BIGINT NOT NULL,
    warmcell   VARCHAR NOT NULL
);
