"""The host's store: one DuckDB file, a spool in front of it and blobs beside it."""

from .facade import Store
from .sql import Table

__all__ = ["Store", "Table"]
