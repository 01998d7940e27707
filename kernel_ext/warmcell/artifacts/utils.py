"""Saving and loading artifacts, where ZenML has it."""

from __future__ import annotations

from warmcell.artifacts.saving import (
    load_artifact,
    log_artifact_metadata,
    register_artifact,
    save_artifact,
)

__all__ = ["load_artifact", "log_artifact_metadata", "register_artifact", "save_artifact"]
