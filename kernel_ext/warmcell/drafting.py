"""What would be deployed now: a snapshot's description without deploying anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from warmcell import wire
from warmcell.errors import NotFound, WarmcellError
from warmcell.ids import now, rfc3339

if TYPE_CHECKING:
    from warmcell.changes import SnapshotDiff
    from warmcell.client import Client
    from warmcell.config import DeploymentSettings
    from warmcell.pipelines import Pipeline
    from warmcell.serving import Binding

__all__ = ["Recipe", "answer", "current", "diff", "draft"]


class Recipe(NamedTuple):
    """With what a pipeline was deployed, to do that again with the pipeline as it is then."""

    pipeline: Pipeline
    settings: Mapping[str, Any] | DeploymentSettings | None = None
    options: Mapping[str, Any] = {}
    copy: Collection[str] = ()
    capture: Collection[str] = ()


def current(name: str, recipe: Recipe | None = None) -> Pipeline:
    """The pipeline ``name`` as the notebook, or the module that it was deployed from, has it now.

    Raises :class:`NotFound` where nobody knows it.
    """
    from warmcell.notebook.names import pipelines_in

    spaces = [vars(sys.modules["__main__"])]
    if recipe is not None:
        spaces.insert(0, getattr(recipe.pipeline.function, "__globals__", {}))
    for space in spaces:
        for found in pipelines_in(space).values():
            if found.name == name:
                return found
    if recipe is not None:
        return recipe.pipeline
    raise NotFound(
        f"This kernel does not define pipeline '{name}'.",
        hint="Run the cells that define it first.",
    )


def draft(pipeline: Pipeline, recipe: Recipe | None = None) -> dict[str, Any]:
    """Describe the snapshot that deploying ``pipeline`` now would make, as the control plane
    describes one; ``number`` is None. Raises what :func:`warmcell.deploying.deploy` raises before
    it changes anything."""
    from warmcell.around.parts import roots
    from warmcell.config.deployment_settings import for_host, merged
    from warmcell.environment import environment
    from warmcell.link import notebook
    from warmcell.notebook.sources import sources
    from warmcell.schemas import output_schema, parameter_model
    from warmcell.snapshots import capture

    recipe = recipe or Recipe(pipeline)
    wanted = merged(pipeline.options.settings, recipe.settings, dict(recipe.options))
    pipeline.check()
    parameters = parameter_model(pipeline.function, pipeline.name, where=pipeline.source.place)
    captured = roots(pipeline, wanted)
    taken = capture({"pipeline": pipeline, **captured}, copy=recipe.copy, extra=recipe.capture)
    described: dict[str, Any] = {
        "pipeline": pipeline.name,
        "number": None,
        "digest": taken.digest,
        "created_at": rfc3339(now()),
        "input_schema": parameters.json_schema(),
        "output_schema": output_schema(pipeline.outputs, pipeline.name),
        "source": sources(pipeline, captured, taken),
        "notes": taken.notes,
        "held": taken.holdings,
        "environment": environment(),
        "settings": for_host(wanted),
        "notebook": notebook(),
        "user": None,
        "note": None,
        "stored": None,
    }
    plain: dict[str, Any] = json.loads(msgspec.json.encode(described))
    return plain


def diff(pipeline: Pipeline, before: int | None, after: int | None) -> SnapshotDiff:
    """What changed between two snapshots of a pipeline; without ``after``, to what it is now."""
    from warmcell.changes import SnapshotDiff
    from warmcell.client import Client
    from warmcell.comparing import compare
    from warmcell.link import kernel

    client, here = Client(), kernel()
    bindings = [here.binding(name) for name in here.served()]
    served = [one for one in bindings if one is not None and one.pipeline.name == pipeline.name]
    recipe = served[-1].recipe if served else None
    if before is None:
        before = served[-1].snapshot if served else _newest(client, pipeline.name)
    assert before is not None
    if after is not None:
        return client.diff_snapshots(pipeline.name, before, after)
    snapshot = client.get_snapshot(pipeline.name, before)
    drafted = draft(pipeline, recipe) | {"settings": snapshot["settings"]}  # a deployment's own
    return SnapshotDiff(compare(snapshot, drafted))


def _newest(client: Client, pipeline: str) -> int:
    found = client.list_snapshots(pipeline)
    if not found:
        raise NotFound(f"Pipeline '{pipeline}' has no snapshot yet.", hint="Deploy it first.")
    return int(found[0]["number"])


def answer(message: wire.Ask) -> wire.Told:
    """Answer the host's question what a deployment's notebook is like now; never raises."""
    from warmcell.link import kernel

    try:
        binding = kernel().binding(message.deployment)
        told = _described(message.pipeline, binding)
        return wire.Told(message.ask, msgspec.json.encode(told))
    except WarmcellError as error:
        reason, hint = error.message, error.hint
    except Exception as error:  # capturing runs the objects' own code
        reason, hint = f"{type(error).__name__}: {error}", None
    failure = {"detail": f"The notebook as it is now cannot be captured: {reason}", "hint": hint}
    return wire.Told(message.ask, msgspec.json.encode(failure), failed=True)


def _described(pipeline: str, binding: Binding | None) -> dict[str, Any]:
    if binding is not None and binding.pipeline.name != pipeline:
        binding = None  # the name serves something else by now
    recipe = binding.recipe if binding is not None else None
    taken = binding.taken if binding is not None else None
    in_place = [held.name for held in taken.drift()] if taken is not None else []
    snapshot = binding.snapshot if binding is not None else None
    found = draft(current(pipeline, recipe), recipe)
    return {"draft": found, "in_place": in_place, "snapshot": snapshot}
