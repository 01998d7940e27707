"""Metadata of steps and runs."""

from __future__ import annotations

from warmcell.context import log_metadata

__all__ = ["log_metadata"]
