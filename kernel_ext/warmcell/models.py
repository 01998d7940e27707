"""Names of runs, steps, versions and what visualizations are shown with, where ZenML has them."""

from __future__ import annotations

from warmcell.metadata.identifiers import (
    ArtifactVersionIdentifier,
    ModelVersionIdentifier,
    PipelineRunIdentifier,
    RunMetadataResource,
    StepRunIdentifier,
)
from warmcell.remote.visualizations import CuratedVisualizationResource

__all__ = [
    "ArtifactVersionIdentifier",
    "CuratedVisualizationResource",
    "ModelVersionIdentifier",
    "PipelineRunIdentifier",
    "RunMetadataResource",
    "StepRunIdentifier",
]
