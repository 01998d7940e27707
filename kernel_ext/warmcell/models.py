"""Names of runs, steps and versions, where ZenML has them."""

from __future__ import annotations

from warmcell.metadata.identifiers import (
    ArtifactVersionIdentifier,
    ModelVersionIdentifier,
    PipelineRunIdentifier,
    RunMetadataResource,
    StepRunIdentifier,
)

__all__ = [
    "ArtifactVersionIdentifier",
    "ModelVersionIdentifier",
    "PipelineRunIdentifier",
    "RunMetadataResource",
    "StepRunIdentifier",
]
