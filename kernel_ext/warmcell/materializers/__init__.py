"""Materializers: how values of a class of your own are written, read and shown, as ZenML has it."""

from __future__ import annotations

from warmcell.artifacts.unmaterialized_artifact import UnmaterializedArtifact
from warmcell.materializers.base_materializer import BaseMaterializer

__all__ = ["BaseMaterializer", "UnmaterializedArtifact"]
