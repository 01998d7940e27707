"""Resuming: a run of the history goes on from where it failed, in a run of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from warmcell import repeating
from warmcell.errors import Conflict, ParameterError, UsageError
from warmcell.records import TERMINAL

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline
    from warmcell.runs import Run

__all__ = ["resume"]


def resume(
    run_id: str | Run,
    *,
    from_step: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    pipeline: Pipeline | None = None,
) -> Run:
    """Run a pipeline again with what the run ``run_id`` was given, and take the results of its
    steps where code and inputs are the same, also where caching is off for them.

    Args:
        run_id: a run that was started in a notebook; also one of another notebook.
        from_step: this step and all that depend on it run in any case.
        parameters: other values for some; needed where the history has only a description.
        pipeline: else the one of its name in this notebook.

    Returns the new run, whose ``origin`` is the other. Raises as a call of the pipeline does, and:
        NotFound: there is no such run.
        Conflict: it goes on, or was a call of a deployment.
        ParameterError: what it was given is not all in the history.
        UsageError: there is no such pipeline here.
    """
    from warmcell.batch import run
    from warmcell.caching.reuse import Wish
    from warmcell.client import Client
    from warmcell.remote.linked import Linked

    found = Client.of(Linked()).get_run(str(getattr(run_id, "id", run_id)))
    if found.deployment is not None:
        raise Conflict(
            f"Run {found.id} was a call of deployment '{found.deployment}'.",
            hint=f"Repeat it there: Client().get_run('{found.id}').rerun().",
        )
    if found.status not in TERMINAL:
        raise Conflict(f"Run {found.id} is {found.status}.", hint="Wait for its end, or cancel it.")
    pipeline = pipeline or _pipeline(found.pipeline)
    if pipeline.name != found.pipeline:
        raise UsageError(
            f"Run {found.id} is one of pipeline '{found.pipeline}', not of '{pipeline.name}'."
        )
    arguments = _arguments(pipeline, found, parameters or {})
    wish = Wish(from_step=from_step, resumed=found.id)
    return run(pipeline, arguments, run_name=found.name, wish=wish, origin=found.id)


def _arguments(pipeline: Pipeline, run: Run, given: Mapping[str, Any]) -> dict[str, Any]:
    from warmcell.schemas import parameter_model
    from warmcell.schemas.jsonform import to_json

    model = parameter_model(pipeline.function, pipeline.name, where=pipeline.source.place)
    unknown = sorted(given.keys() - set(model.names)) if not model.extra else []
    if unknown:
        raise UsageError(f"Pipeline '{pipeline.name}' has no parameter `{unknown[0]}`.")
    recorded = run.to_json().get("parameters")
    schema = model.json_schema()
    repeating.check(
        run.id, repeating.gaps(recorded, schema, list(given)), hint="Pass parameters={name: value}."
    )
    known = {name: value for name, value in (recorded or {}).items() if name not in given}
    known = repeating.as_given(known, schema)
    values: dict[str, Any] = {}
    for name, value in known.items():
        try:
            read = model.field(name).validate_json(to_json(value))
            # A call in a notebook is not validated: 3 for a float stayed an integer there.
            same = isinstance(value, int | float) and read == value
            values[name] = value if same else read
        except ValueError as error:
            raise ParameterError(
                f"`{name}` of run {run.id} does not fit pipeline '{pipeline.name}' as it is now: "
                f"{error}",
                errors=[],
                hint="Pass parameters={name: value}.",
            ) from error
    return pipeline.bind((), {**values, **given})


def _pipeline(name: str) -> Pipeline:
    from warmcell.notebook.names import pipeline_named

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    space = shell.user_ns if shell is not None else vars(sys.modules["__main__"])
    return pipeline_named(space, name)
