"""The host's store: one DuckDB file, a spool in front of it and blobs beside it."""
