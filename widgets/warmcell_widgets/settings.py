"""The settings of a deployment that a person sets by hand, in the Deploy form.

Who deploys by a click wants what the cells say now, and what was set by hand to stay. So a setting
stays if the deployment has another value than the pipeline had when it was deployed; any other
comes from the pipeline as it is now. That goes for all settings, also those without a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from warmcell.config import DeploymentSettings
from warmcell.config.deployment_settings import CODE, for_host, normalized
from warmcell.errors import NotFound, UsageError, WarmcellError
from warmcell.link import control, kernel

if TYPE_CHECKING:
    from warmcell.drafting import Recipe
    from warmcell.pipelines import Pipeline

__all__ = ["FIELDS", "Misfit", "frozen", "given", "own", "planned"]

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
    "artifacts",
    "redact",
    "isolated",
    "replicas",
    "standby",
    "follow",
    "idempotent",
    "keep_alive",
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
    return own(pipeline) | _shown(_kept(pipeline, name))


def frozen(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """The ``copy`` and ``capture`` that this kernel deployed ``name`` with, to do so again."""
    recipe = _recipe(pipeline, name)
    return {} if recipe is None else {"copy": recipe.copy, "capture": recipe.capture}


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
    recipe = _recipe(pipeline, name)
    before = _said(pipeline if recipe is None else recipe.pipeline)
    now = {field: value for field, value in current["settings"].items() if field != "site"}
    kept = {field: value for field, value in now.items() if value != before.get(field)}
    if recipe is not None:  # the host never sees code
        by_code = normalized(recipe.settings) | normalized(dict(recipe.options))
        kept |= {field: by_code[field] for field in CODE if field in by_code}
    return kept


def _recipe(pipeline: Pipeline, name: str) -> Recipe | None:
    """With what this kernel deployed ``name`` last, if it did."""
    binding = kernel().binding(name)
    if binding is None or binding.recipe is None or binding.pipeline.name != pipeline.name:
        return None
    return binding.recipe


def _said(pipeline: Pipeline) -> Values:
    """The pipeline's own settings as the host is told them."""
    return for_host(DeploymentSettings(**normalized(pipeline.options.settings)))


def _shown(settings: Mapping[str, Any] | None) -> Values:
    return {field: settings[field] for field in FIELDS if field in settings} if settings else {}
