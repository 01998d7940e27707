"""Where a batch run gets what it may reuse: from the store that it is recorded in."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from warmcell import blobs
from warmcell.caching.policy import policy_of
from warmcell.caching.reuse import Reuse, Wish, enabled_by_default
from warmcell.errors import ArtifactError, UsageError
from warmcell.options import close_match

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline, Plan
    from warmcell.recording import Recorder
    from warmcell.runner.execution import Execution
    from warmcell.steps import Step

__all__ = ["reuse_for", "reuse_for_call", "wish_of"]

log = logging.getLogger("warmcell.caching")


def wish_of(pipeline: Pipeline, given: dict[str, Any]) -> tuple[Wish | None, str | None]:
    """Take out of ``given``, the keywords of a run, what is not of its parameters: what the run is
    to reuse, and its name. Raises :class:`UsageError` for values that mean nothing."""
    said = {}
    for name in ("enable_cache", "cache_policy", "from_step", "run_name"):
        if name in given and name not in pipeline.inputs.parameters:
            said[name] = given.pop(name)
    run_name = said.pop("run_name", None)
    enable, first = said.get("enable_cache"), said.get("from_step")
    if enable is not None and not isinstance(enable, bool):
        raise UsageError(f"`enable_cache` is True or False, not {enable!r}.")
    if first is not None:
        first = str(getattr(first, "name", first))
        graph = pipeline.graph()
        if graph is not None:
            names = {name for node in graph.nodes for name in (node.name, node.step.name)}
            if first not in names:
                raise UsageError(
                    f"Pipeline `{pipeline.name}` has no step `{first}` to start from.",
                    hint=close_match(first, names) or f"Its steps: {', '.join(sorted(names))}.",
                )
    policy = policy_of(said["cache_policy"]) if said.get("cache_policy") is not None else None
    wish = Wish(enable, policy, first)
    return (None if wish == Wish() else wish), run_name


def reuse_for(
    run: Execution, plan: Plan, recorder: Recorder, wish: Wish | None = None
) -> Reuse | None:
    """What decides for the steps of ``run``; None where nothing is cached: nobody asked for it, or
    there is no store."""
    steps, dynamic = _steps(plan)
    said = [run.pipeline.options.enable_cache, *(step.options.enable_cache for step in steps)]
    asked = wish is not None and wish != Wish(enable=False)
    if not (asked or enabled_by_default() or any(said)):
        return None
    from warmcell.link import LinkRecorder

    if not isinstance(recorder, LinkRecorder):
        return None
    store = _Store()
    return Reuse(run, store.ask, store.load, wish, steps, dynamic=dynamic, shared=_shared(plan))


def reuse_for_call(run: Execution) -> Reuse:
    """What decides for the steps of a call, whose deployment asked for it."""
    plan = run.pipeline.plan()
    steps, dynamic = _steps(plan)
    store = _Store()
    return Reuse(
        run, store.ask, store.load, None, steps, dynamic=dynamic, default=True,
        shared=_shared(plan),
    )  # fmt: skip


def _shared(plan: Plan) -> set[int] | None:
    """The nodes whose results several others take."""
    if plan.graph is None:
        return None
    counted = Counter(index for node in plan.graph.nodes for index in node.upstream)
    return {index for index, times in counted.items() if times > 1}


def _steps(plan: Plan) -> tuple[list[Step], bool]:
    """The steps of a pipeline, one for each call that is foreseen, and whether there may be
    others."""
    if plan.graph is not None:
        return [node.step for node in plan.graph.nodes], False
    return list(plan.analysis.steps), True


class _Store:
    """The store in which a run is recorded, whatever server the environment names."""

    def __init__(self) -> None:
        from warmcell.client import Client
        from warmcell.remote.linked import Linked

        self._client = Client.of(Linked())

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._client._call("GET", f"api/v1/cache?{urlencode(request)}")
        return found

    def load(self, row: dict[str, Any], annotation: Any) -> Any:
        from warmcell.artifacts.version import ArtifactVersion

        version = ArtifactVersion(row, self._client)
        if row["inline"] and row["value"] is None:  # too long to come along
            version = self._client.get_artifact_version(version.id)
        try:
            return version.load(annotation if isinstance(annotation, type) else None)
        except ArtifactError:
            _discard(row["files"] or ())
            raise


def _discard(files: Iterable[dict[str, Any]]) -> None:
    """Delete blobs that are not what they are named after: a blob that is there is not written
    anew, and the step that made it is about to run again."""
    from warmcell.link import kernel

    folder = Path(kernel().link().status.blobs)
    for file in files:
        digest = str(file["blob"])
        try:
            with blobs.opened(folder, digest) as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
            if not found.startswith(digest):
                (folder / digest).unlink(missing_ok=True)
        except OSError as error:  # not there, or it cannot be read
            log.info("Blob %s: %s", digest[:32], error)
