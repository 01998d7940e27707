"""Restoring: what a dedicated kernel does to serve a snapshot whose kernel went away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import msgspec

from warmcell import dedicated, output, wire
from warmcell.around.parts import Around
from warmcell.artifacts import origins
from warmcell.deploying import initialise, surround
from warmcell.environment import warning
from warmcell.errors import SnapshotError
from warmcell.ids import new_id
from warmcell.link import kernel
from warmcell.model.inrun import followed_by, pinned
from warmcell.schemas import output_schema, parameter_model
from warmcell.serving import Binding

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline

__all__ = ["restore"]


def restore(
    name: str,
    pipeline: str,
    number: int,
    *,
    settings: Mapping[str, Any],
    notebook: str | None = None,
    ticket: int,
) -> str:
    """Load snapshot ``number`` of ``pipeline``, run its ``on_init`` and hold it for ``name``.
    ``ticket`` says whose request that answers. This kernel ends when it holds nothing any more.

    Raises:
        SnapshotError: it is not stored, not signed by this user, or cannot be loaded here.
        DeployError: ``on_init`` raised.
        Conflict: nobody waits for it any more.
    """
    from warmcell.snapshots import StoredForm
    from warmcell.snapshots import restore as load

    here = kernel()
    row = here.control("GET", f"api/v1/snapshots/{quote(pipeline)}/{number}")
    try:
        form = msgspec.convert(row.get("manifest"), StoredForm)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"Snapshot {number} of '{pipeline}' has no stored form.") from error
    blobs = Path(here.link().status.blobs)
    roots = load(form, blobs)
    live = cast("Pipeline", roots["pipeline"])
    parameters = parameter_model(live.function, live.name, where=live.source.place)
    around: Around | None = surround(live, roots) if len(roots) > 1 else None
    follow = settings.get("follow")
    followed = followed_by(live, str(follow) if follow else None)
    with pinned(followed), origins.collecting() as loaded:
        state = initialise(live, around)
    key = f"{name}:{new_id()}"
    output.install()
    binding = Binding(key, live, parameters, state=state, around=around, snapshot=number)
    binding.models, binding.fresh = followed, lambda: load(form, blobs)
    here.serving.add(binding)
    elsewhere = warning(row.get("environment"))
    body = wire.Deploy(
        name=name,
        pipeline=pipeline,
        key=key,
        digest=row["digest"],
        input_schema=_raw(parameters.json_schema()),
        output_schema=_raw(output_schema(live.outputs, live.name)),
        steps=[step.name for step in live.steps],
        source=row.get("source") or "[]",
        notes=[*(row.get("notes") or []), *([elsewhere] if elsewhere else [])],
        held=_raw(row.get("held") or []),
        settings=dict(settings),
        notebook=notebook,
        stored=row["stored"],
        endpoints=[served.spec() for served in around.endpoints] if around is not None else [],
        middleware=bool(around is not None and around.layers),
        site=settings.get("site"),
        note=row.get("note"),
        restored=number,
        ticket=ticket,
        model=followed.told if followed is not None else None,
        loaded=list(loaded),
    )
    try:
        here.announce(body)
    except BaseException:
        here.serving.drop(key)
        raise
    dedicated.leave_when_empty()
    return name


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
