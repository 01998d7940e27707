"""Metadata of steps, runs and versions."""

from __future__ import annotations

from warmcell.metadata.log import bulk_log_metadata, log_metadata

__all__ = ["bulk_log_metadata", "log_metadata"]
