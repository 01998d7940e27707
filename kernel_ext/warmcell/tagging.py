"""Putting tags on things and taking them away, from a step or from anywhere."""

from __future__ import annotations

from typing import Any

from warmcell.context import StepContext, current
from warmcell.errors import UsageError
from warmcell.subjects import named
from warmcell.tags import Tag, as_tags

__all__ = ["add_tags", "remove_tags"]


def add_tags(
    tags: str | Tag | list[str | Tag],
    *,
    pipeline: Any = None,
    run: Any = None,
    snapshot: Any = None,
    deployment: Any = None,
    artifact: Any = None,
    artifact_version_id: Any = None,
    artifact_name: str | None = None,
    artifact_version: Any = None,
    infer_artifact: bool | None = None,
    model: Any = None,
    model_name: str | None = None,
    model_version: Any = None,
    model_version_id: Any = None,
) -> None:
    """Put tags on what the keywords name; without one, on the run whose step or body this is.

    With ``infer_artifact`` they go on the version that the output of this step becomes, the one
    called ``artifact_name`` where there are several. ``run`` is an id, the beginning of one or a
    name; ``snapshot`` is ``"pipeline/number"``. A tag that is not known yet is made.

    Raises:
        UsageError: nothing is named outside of a run; an exclusive tag on what excludes nothing.
        NotFound: there is no such thing.
        Conflict: the tag is exclusive or not, other than said here.
    """
    found = as_tags(tags)
    for tag in found:
        if tag.cascade:
            raise UsageError(
                f"Tag {tag.name!r} cannot cascade here.",
                hint="Only @pipeline(tags=[Tag(..., cascade=True)]) does.",
            )
    output = _output("add_tags", locals())
    if isinstance(output, tuple):
        output[0].add_output_tags(list(found), output[1])
        return
    if output is None:
        _here("add_tags").run.tag(found)
        return
    if (run := _making(output)) is not None:
        run.tag_version(output["id"], found)
        return
    body = {"tags": [tag.to_json() for tag in found], "on": output}
    _client()._call("POST", "api/v1/tagged", body)


def remove_tags(
    tags: str | Tag | list[str | Tag],
    *,
    pipeline: Any = None,
    run: Any = None,
    snapshot: Any = None,
    deployment: Any = None,
    artifact: Any = None,
    artifact_version_id: Any = None,
    artifact_name: str | None = None,
    artifact_version: Any = None,
    infer_artifact: bool | None = None,
    model: Any = None,
    model_name: str | None = None,
    model_version: Any = None,
    model_version_id: Any = None,
) -> None:
    """Take tags away from what the keywords name; see :func:`add_tags`. That it does not have one
    does not matter; what a cascading tag was put on keeps it."""
    found = as_tags(tags)
    output = _output("remove_tags", locals())
    if isinstance(output, tuple):
        output[0].remove_output_tags(list(found), output[1])
        return
    if output is None:
        _here("remove_tags").run.tag(found, remove=True)
        return
    if (run := _making(output)) is not None:
        run.tag_version(output["id"], found, remove=True)
        return
    body = {"tags": [tag.name for tag in found], "on": output}
    _client()._call("POST", "api/v1/tagged/remove", body)


def _output(what: str, given: dict[str, Any]) -> dict[str, Any] | tuple[StepContext, str] | None:
    """What is named: something that the host knows, an output of the step that runs, or None for
    the run itself."""
    names = (
        "pipeline", "run", "snapshot", "deployment", "artifact", "artifact_version_id",
        "artifact_name", "artifact_version", "model", "model_name", "model_version",
        "model_version_id",
    )  # fmt: skip
    said = {name: given[name] for name in names}
    scope = current.get()
    if given["infer_artifact"]:
        others = [name for name in names if said[name] is not None and name != "artifact_name"]
        if others:
            raise UsageError(f"{what}() cannot take infer_artifact and {others[0]} together.")
        if not isinstance(scope, StepContext):
            raise UsageError(
                f"{what}(infer_artifact=True) works only while a step of a run executes.",
                hint="Name the version: artifact_name= and artifact_version=.",
            )
        return scope, scope.output_name(said["artifact_name"])
    found = named(what, **said)
    if scope is not None and found is not None and found.get("run") == scope.run.run_id:
        return None  # the host may not have heard of it yet
    return found


def _making(on: dict[str, Any]) -> Any:
    """The run that goes on here, where it made the version that is named: the host may not have
    heard of that yet."""
    run: Any = getattr(current.get(), "run", None)
    if run is None or on["kind"] != "artifact_version":
        return None
    return run if run.made(on.get("id")) else None


def _here(what: str) -> Any:
    scope = current.get()
    if scope is None or getattr(scope, "run", None) is None:
        raise UsageError(
            f"Of what are the tags? {what}() without a name works only while a pipeline runs.",
            hint="Name it: run=, pipeline=, deployment=, artifact_name= and artifact_version=, …",
        )
    return scope


def _client() -> Any:
    from warmcell.client import Client

    return Client()
