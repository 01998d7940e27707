-- Version 4. How a deployment's calls are shared between snapshots, what endpoints of its own it
-- has, and from which run another one was made.
ALTER TABLE data.deployments ADD COLUMN traffic JSON;
ALTER TABLE data.deployments ADD COLUMN endpoints JSON;
ALTER TABLE data.runs ADD COLUMN origin VARCHAR;
