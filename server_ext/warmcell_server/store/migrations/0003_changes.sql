-- Version 3. What is kept with a snapshot for change control.
ALTER TABLE data.snapshots ADD COLUMN note VARCHAR;
