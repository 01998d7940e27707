"""The settings of a deployment that a person sets by hand, in the Deploy form.

Who deploys by a click wants what the cells say now, and what was set by hand to stay. So a setting
stays if the deployment has another value than the pipeline had when it was deployed; any other
comes from the pipeline as it is now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from warmcell.config import DeploymentSettings
from warmcell.errors import NotFound, UsageError, WarmcellError
from warmcell.link import control, kernel

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline

__all__ = ["FIELDS", "Misfit", "given", "own", "planned"]

FIELDS = (
    "app_title",
    "app_description",
    "app_version",
    "concurrency",
    "max_queue",
    "timeout",
    "queue_timeout",
    "run_timeout",
    "pool",
    "pool_size",
    "record",
    "auth",
    "cors",
)

Values = dict[str, Any]


class Misfit(UsageError):
    """Values of the form do not fit; ``fields`` has a sentence for each."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("Nothing was deployed: a setting does not fit.")
        self.fields = dict(fields)


def own(pipeline: Pipeline) -> Values:
    """What the pipeline itself says of its deployments."""
    return _shown(pipeline.options.settings)


def planned(pipeline: Pipeline, name: str) -> Values:
    """The settings that deploying ``pipeline`` as ``name`` by a click would give it."""
    return own(pipeline) | _kept(pipeline, name)


def given(pipeline: Pipeline, name: str, changes: Mapping[str, Any]) -> Values:
    """The ``settings`` for ``pipeline.deploy(name)`` after ``changes`` in the form, where None
    clears a field and ``cors`` is a list of origins. Raises :class:`Misfit`."""
    settings = _kept(pipeline, name)
    wrong = {}
    for field, value in changes.items():
        settings.pop(field, None)
        if value is None:
            continue
        try:
            if field not in FIELDS:
                raise UsageError(f"The form has no field '{field}'.")
            if field == "cors":
                value = {**(planned(pipeline, name).get("cors") or {}), "allow_origins": value}
            settings[field] = DeploymentSettings(**{field: value}).given()[field]
        except WarmcellError as error:
            wrong[field] = str(error)
    if wrong:
        raise Misfit(wrong)
    return settings


def _kept(pipeline: Pipeline, name: str) -> Values:
    """What was set by hand, or by code that deployed, and not by the pipeline."""
    try:
        current = control("GET", f"api/v1/deployments/{quote(name, safe='')}")
    except NotFound:
        return {}
    if current["pipeline"] != pipeline.name:
        return {}
    binding = kernel().binding(name)
    before = own(binding.pipeline if binding is not None else pipeline)
    now = _shown(current["settings"])
    return {field: value for field, value in now.items() if value != before.get(field)}


def _shown(settings: Mapping[str, Any] | None) -> Values:
    return {field: settings[field] for field in FIELDS if field in settings} if settings else {}
