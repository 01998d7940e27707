"""The words that options and states take, as enums. Their plain strings do as well."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ArtifactType",
    "ColorVariants",
    "CuratedVisualizationSize",
    "ExecutionMode",
    "ExecutionStatus",
    "MetadataResourceTypes",
    "ModelStages",
    "VisualizationResourceTypes",
    "VisualizationType",
]


class ArtifactType(StrEnum):
    """What an artifact is, beside how it is written."""

    DATA = "data"
    MODEL = "model"
    SERVICE = "service"
    SCHEMA = "schema"
    STATISTICS = "statistics"
    DATA_ANALYSIS = "data_analysis"


class ColorVariants(StrEnum):
    """The colors of tags."""

    GREY = "grey"
    PURPLE = "purple"
    RED = "red"
    GREEN = "green"
    YELLOW = "yellow"
    ORANGE = "orange"
    LIME = "lime"
    TEAL = "teal"
    TURQUOISE = "turquoise"
    MAGENTA = "magenta"
    BLUE = "blue"


class CuratedVisualizationSize(StrEnum):
    """How wide a curated visualization is."""

    FULL_WIDTH = "full_width"
    HALF_WIDTH = "half_width"


class ExecutionMode(StrEnum):
    """What a pipeline does when a step fails."""

    CONTINUE_ON_FAILURE = "continue_on_failure"
    FAIL_FAST = "fail_fast"
    STOP_ON_FAILURE = "stop_on_failure"


class ExecutionStatus(StrEnum):
    """The state of a run. ``COMPLETED`` is ZenML's name of ``SUCCEEDED``."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    COMPLETED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"

    @property
    def is_finished(self) -> bool:
        """Whether a run in this state has ended."""
        return self not in (ExecutionStatus.QUEUED, ExecutionStatus.RUNNING)

    @property
    def is_successful(self) -> bool:
        """Whether a run in this state has succeeded."""
        return self is ExecutionStatus.SUCCEEDED


class MetadataResourceTypes(StrEnum):
    """What metadata can be about."""

    PIPELINE_RUN = "pipeline_run"
    STEP_RUN = "step_run"
    ARTIFACT_VERSION = "artifact_version"
    MODEL_VERSION = "model_version"


class ModelStages(StrEnum):
    """Where a version of a model is in its life. One version at most is in staging, and one in
    production; ``LATEST`` is the newest, whichever that is."""

    NONE = "none"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"
    LATEST = "latest"


class VisualizationResourceTypes(StrEnum):
    """What a curated visualization can be shown with."""

    DEPLOYMENT = "deployment"
    MODEL = "model"
    PIPELINE = "pipeline"
    PIPELINE_RUN = "pipeline_run"
    PIPELINE_SNAPSHOT = "pipeline_snapshot"
    PROJECT = "project"


class VisualizationType(StrEnum):
    """What a file that shows an artifact is."""

    CSV = "csv"
    HTML = "html"
    IMAGE = "image"
    MARKDOWN = "markdown"
    JSON = "json"
