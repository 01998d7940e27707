-- Version 2. What a call brings along, where its end was told, and who changed who may call.
ALTER TABLE data.runs ADD COLUMN traceparent VARCHAR;
ALTER TABLE data.runs ADD COLUMN idempotency_key VARCHAR;
ALTER TABLE data.runs ADD COLUMN fingerprint VARCHAR;

CREATE TABLE data.deliveries (
    delivery_id VARCHAR PRIMARY KEY,
    run_id      VARCHAR NOT NULL,
    deployment  VARCHAR NOT NULL,
    url         VARCHAR NOT NULL,
    status      VARCHAR NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    attempts    INTEGER NOT NULL,
    next_at     BIGINT,
    response    INTEGER,
    error       VARCHAR,
    host_id     VARCHAR
);

CREATE TABLE data.audit (
    time       BIGINT NOT NULL,
    event      VARCHAR NOT NULL,
    subject    VARCHAR NOT NULL,
    deployment VARCHAR,
    "user"     VARCHAR,
    detail     JSON
);
