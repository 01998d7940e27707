"""Logging metadata, from a step or from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from warmcell.context import StepContext, current
from warmcell.errors import UsageError
from warmcell.metadata.identifiers import (
    ArtifactVersionIdentifier,
    ModelVersionIdentifier,
    PipelineRunIdentifier,
    RunMetadataResource,
    StepRunIdentifier,
)
from warmcell.metadata.values import check, encoded
from warmcell.redaction import NONE
from warmcell.subjects import named

__all__ = ["bulk_log_metadata", "create_run_metadata", "log_metadata"]


def log_metadata(
    metadata: dict[str, Any],
    *,
    step_id: Any = None,
    step_name: str | None = None,
    run_id_name_or_prefix: Any = None,
    artifact_version_id: Any = None,
    artifact_name: str | None = None,
    artifact_version: Any = None,
    infer_artifact: bool = False,
    model_version_id: Any = None,
    model_name: str | None = None,
    model_version: Any = None,
    infer_model: bool = False,
) -> None:
    """Keep ``metadata`` with what the keywords name; without one, with the step that runs, or with
    the run when called in the body of a pipeline.

    Values are whatever JSON knows, nested, and :mod:`warmcell.metadata.metadata_types`; a later
    value of a key replaces the one before. ``artifact_name`` alone is an output of the step that
    runs, else the newest version of that artifact. A step that logs to its run does so under
    ``step::key``, so that several may use the same key.

    Raises:
        UsageError: nothing is named outside of a run, or what is named does not go together; a
            value is an object that JSON does not have, or a text of more than 16 kB.
        NotFound: there is no such thing.
    """
    values = check(metadata)
    scope = current.get()
    said: dict[str, Any] = {
        "step_id": step_id, "step_name": step_name, "run": run_id_name_or_prefix,
        "artifact_version_id": artifact_version_id, "artifact_name": artifact_name,
        "artifact_version": artifact_version, "model_version_id": model_version_id,
        "model_name": model_name, "model_version": model_version,
    }  # fmt: skip
    others = [name for name, value in said.items() if value is not None]
    inferred = infer_artifact or (
        others == ["artifact_name"] and isinstance(scope, StepContext) and not infer_model
    )
    if inferred or infer_model:
        allowed = {"artifact_name"} if inferred else set()
        if (infer_artifact and infer_model) or not allowed >= set(others):
            flag = "infer_artifact" if inferred else "infer_model"
            raise UsageError(f"log_metadata() cannot take {flag} and {others or 'both'} together.")
        if inferred:
            step = _step("log_metadata", "infer_artifact")
            step.add_output_metadata(values, step.output_name(artifact_name))
        else:
            _post(values, [_model("log_metadata")])
        return
    on = named("log_metadata", **said)
    if on is None:
        if scope is None or getattr(scope, "run", None) is None:
            raise UsageError(
                "log_metadata() without a name works only while a pipeline runs.",
                hint="Name what it is about: run_id_name_or_prefix=, artifact_version_id=, …",
            )
        scope.run.metadata(scope.step_name or "", values)
    elif not _own(on, values):
        _post(values, [on])


def bulk_log_metadata(
    metadata: dict[str, Any],
    *,
    pipeline_runs: Sequence[PipelineRunIdentifier] = (),
    step_runs: Sequence[StepRunIdentifier] = (),
    artifact_versions: Sequence[ArtifactVersionIdentifier] = (),
    model_versions: Sequence[ModelVersionIdentifier] = (),
    infer_models: bool = False,
    infer_artifacts: bool = False,
) -> None:
    """Keep the same ``metadata`` with many things: all that are named, or none where one of them
    is not found. With ``infer_artifacts`` also with all outputs of the step that runs, with
    ``infer_models`` with its model version. Raises as :func:`log_metadata`."""
    values = check(metadata)
    about: list[Any] = [*pipeline_runs, *step_runs, *artifact_versions, *model_versions]
    on: list[dict[str, Any]] = [one.to_json() for one in about]
    if infer_models:
        on.append(_model("bulk_log_metadata"))
    if not on and not infer_artifacts:
        raise UsageError(
            "bulk_log_metadata() was given nothing to log about.",
            hint="Give pipeline_runs=, step_runs=, artifact_versions= or model_versions=.",
        )
    step = _step("bulk_log_metadata", "infer_artifacts") if infer_artifacts else None
    rest = [one for one in on if not _own(one, values)]
    if rest:
        _post(values, rest)
    if step is not None:
        for output in step.step.outputs:
            step.add_output_metadata(values, output.name)


def create_run_metadata(metadata: dict[str, Any], resources: Sequence[RunMetadataResource]) -> None:
    """Keep ``metadata`` with all of ``resources``, or with none where one is not found. Raises as
    :func:`log_metadata`."""
    values = check(metadata)
    on = [one.to_json() for one in resources]
    if not on:
        raise UsageError("What is the metadata about?", hint="Name it in `resources`.")
    if rest := [one for one in on if not _own(one, values)]:
        _post(values, rest)


def _own(on: dict[str, Any], values: dict[str, Any]) -> bool:
    """Log about the run that goes on here, or a step of it, of which the host may know nothing yet;
    False where something else is meant."""
    scope = current.get()
    run = getattr(scope, "run", None)
    if run is None:
        return False
    if on["kind"] == "artifact_version" and run.made(on.get("id")):
        run.metadata_of(on["id"], values)
        return True
    if on["kind"] == "step" and str(on.get("id", "")).startswith(f"{run.run_id}/"):
        on = {"kind": "step", "step": on["id"].partition("/")[2], "run": run.run_id}
    if on.get("run") != run.run_id:
        return False
    if on["kind"] == "step":
        run.metadata(on["step"], values)
    else:
        step = scope.step_name if scope is not None else None
        run.metadata("", {f"{step}::{key}" if step else key: one for key, one in values.items()})
    return True


def _step(what: str, flag: str) -> StepContext:
    scope = current.get()
    if isinstance(scope, StepContext):
        return scope
    raise UsageError(
        f"{what}({flag}=True) works only while a step of a run executes.",
        hint="Name the version: artifact_name= and artifact_version=.",
    )


def _model(what: str) -> dict[str, Any]:
    """The model version of the step or pipeline that runs."""
    from warmcell.context import get_pipeline_context

    scope = current.get()
    if scope is None or getattr(scope, "run", None) is None:
        raise UsageError(
            f"{what}() finds a model only while a pipeline runs.",
            hint="Name its version: model_name= and model_version=.",
        )
    context: Any = scope if isinstance(scope, StepContext) else get_pipeline_context()
    return {"kind": "model_version", "id": str(context.model_version.id)}


def _post(values: dict[str, Any], on: list[dict[str, Any]]) -> None:
    from warmcell.client import Client

    run = getattr(current.get(), "run", None)
    redaction = NONE if run is None else run.redaction
    metadata = {}
    for key, value in values.items():
        data, kind = encoded(key, value)
        data = redaction.json(data, key)
        metadata[key] = {"value": msgspec.Raw(data), "type": kind}
    Client()._call("POST", "api/v1/metadata", {"metadata": metadata, "on": on})
