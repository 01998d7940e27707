"""Linking what a run did not make to a version of a model."""

from __future__ import annotations

from typing import Any

from warmcell.errors import NotFound, UsageError
from warmcell.model.inrun import check_may_make
from warmcell.model.model import Model
from warmcell.model.version import ModelVersion

__all__ = ["link_artifact_to_model"]


def link_artifact_to_model(
    artifact_version_id: Any, model: Model | None = None, role: str = "data"
) -> None:
    """Say that an artifact version (or the id of one) belongs to the version of ``model``, by
    default of the step or pipeline that runs; ``role`` is "data", "model" or "deployment". A
    version with a label of its own is made where there is none, though never in a served call.

    Raises :class:`UsageError` where no model is meant, :class:`~warmcell.errors.NotFound` for an
    artifact or a version that there is not.
    """
    if model is None:
        from warmcell.context import StepContext, current, get_pipeline_context

        scope = current.get()
        if scope is None:
            raise UsageError(
                "Outside of a run, link_artifact_to_model() has to be told the model.",
                hint='Pass model=Model("churn", version="1").',
            )
        model = scope.model if isinstance(scope, StepContext) else get_pipeline_context().model
    subject = getattr(artifact_version_id, "id", artifact_version_id)
    _version(model).link("artifact_version", str(subject), role)


def _version(model: Model) -> ModelVersion:
    from warmcell.client import Client

    try:
        return model.model_version
    except NotFound:
        if not model.makes or model.version is None or model.templated:
            raise
    check_may_make()
    return Client()._make_model_version(model, str(model.version), None)
