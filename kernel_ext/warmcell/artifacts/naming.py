"""What the outputs of a step are called as artifacts."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from warmcell.artifacts.artifact_config import ArtifactConfig
from warmcell.generators import collected
from warmcell.model.templates import fill, has_places
from warmcell.steps import parts_of, return_annotation

if TYPE_CHECKING:
    from warmcell.runner.execution import Execution
    from warmcell.steps import Step

__all__ = ["artifact_name", "configs_of", "substitutions_of", "version_label"]

NOTHING = ArtifactConfig()

_known: weakref.WeakKeyDictionary[Step, tuple[ArtifactConfig, ...]] = weakref.WeakKeyDictionary()


def configs_of(step: Step) -> tuple[ArtifactConfig, ...]:
    """What is said of each output of ``step``, in their order."""
    found = _known.get(step)
    if found is None:
        found = _known[step] = _configs(step)
    return found


def _configs(step: Step) -> tuple[ArtifactConfig, ...]:
    annotation = return_annotation(step.function, step.inputs)
    if step.is_generator:
        annotation = collected(annotation)
    count = len(step.outputs)
    parts = [annotation] if count == 1 else parts_of(annotation)
    if len(parts) != count:
        return (NOTHING,) * count
    return tuple(map(_config, parts))


def _config(annotation: Any) -> ArtifactConfig:
    if get_origin(annotation) is not Annotated:
        return NOTHING
    for extra in get_args(annotation)[1:]:
        if isinstance(extra, ArtifactConfig):
            return extra
        if isinstance(extra, str):
            return ArtifactConfig(extra)
    return NOTHING


def substitutions_of(run: Execution, step: Step | None = None) -> Mapping[str, str]:
    """What stands for the places of the user's own in names: of the step before the pipeline."""
    given = {**(run.pipeline.options.substitutions or {})}
    if step is not None:
        given |= step.options.substitutions or {}
    return given


def artifact_name(
    config: ArtifactConfig, run: Execution, step: Step, called: str, output: str, time: int
) -> str:
    """The artifact of an output of the step run ``called``. Raises
    :class:`~warmcell.errors.UsageError` for a place that means nothing."""
    if config.name is None:
        return f"{run.pipeline.name}::{called}::{output}"
    return _filled(config.name, run, step, time)


def version_label(config: ArtifactConfig, run: Execution, step: Step, time: int) -> str | None:
    """The label of a version, if it gets one. Raises as :func:`artifact_name`."""
    if config.version is None:
        return None
    return _filled(str(config.version), run, step, time)


def _filled(text: str, run: Execution, step: Step, time: int) -> str:
    if not has_places(text):
        return text
    return fill(
        text, run_id=run.run_id, run_name=run.run_name, pipeline=run.pipeline.name, time=time,
        more=substitutions_of(run, step),
    )  # fmt: skip
