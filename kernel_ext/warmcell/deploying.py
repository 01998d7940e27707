"""Deploying: from a pipeline in the notebook to a binding that answers calls.

The order keeps what was served before until the new one works: check, capture, ``on_init``, claim
the name, switch, and only then write the stored form, behind the answer.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import msgspec

from warmcell import dedicated, output, secrets, wire
from warmcell.around.parts import Around, roots
from warmcell.artifacts import origins
from warmcell.deployment import Deployment
from warmcell.drafting import Recipe
from warmcell.environment import environment
from warmcell.errors import DeployError, InvalidName, WarmcellError
from warmcell.ids import new_id
from warmcell.link import kernel, notebook
from warmcell.model.inrun import followed_by, pinned
from warmcell.notebook.sources import sources
from warmcell.runner import hooks
from warmcell.schemas import output_schema, parameter_model
from warmcell.serving import Binding

if TYPE_CHECKING:
    from warmcell.backtests.gate import Gating
    from warmcell.config import DeploymentSettings
    from warmcell.pipelines import Pipeline
    from warmcell.snapshots import Capture

__all__ = ["deploy", "initialise", "name_for", "surround"]

ISOLATED_SECONDS = 660.0  # a little more than a kernel may take to start and to initialise

log = logging.getLogger("warmcell.deploying")


def deploy(
    pipeline: Pipeline,
    name: str | None = None,
    *,
    deployment_name: str | None = None,
    settings: Mapping[str, Any] | DeploymentSettings | None = None,
    overtake: bool = False,
    copy: Collection[str] = (),
    capture: Collection[str] = (),
    note: str | None = None,
    traffic: float | None = None,
    gate: Gating | None = None,
    **options: Any,
) -> Deployment:
    """Serve an immutable snapshot of ``pipeline`` as ``…/warmcell/{name}/invoke``.

    Args:
        name: 1 to 63 of a-z, 0-9, ``_`` and ``-``; the pipeline's own name by default.
            ``deployment_name`` is ZenML's word for it.
        settings: a :class:`~warmcell.config.DeploymentSettings` or a dict of its fields, also as
            ``{"deployment": …}``; single ones also as keywords. They win over the pipeline's own.
        overtake: take the name over from another notebook that serves it.
        copy: names to freeze by copy that would be held by reference.
        capture: names to take along that no code mentions (found by ``globals()``, say).
        note: what to remember of this snapshot, shown wherever snapshots are listed.
        traffic: share of the calls that this snapshot gets, beside the one that is served: 0.1 for
            a tenth, 0 to have it warm only. Its settings count once it is promoted.
        gate: bounds on what may change, checked before anything is switched: recorded calls are
            replayed through the new snapshot, whose steps are really executed. A
            :class:`~warmcell.Gate`, a dict of its fields, True for its usual bounds, or a function
            of the :class:`~warmcell.backtests.Backtest` that returns whether to deploy.

    Raises:
        DefinitionError: a parameter has no JSON form, or a step is unknown.
        InvalidName, UsageError: a name or a setting that does not fit.
        NameTaken: another notebook or host serves the name.
        SnapshotError: something that the code needs cannot be captured.
        DeployError: ``on_init`` raised.
        GateRefused: the gate; the error has the figures.
    """
    from warmcell.backtests import gate as gates
    from warmcell.config.deployment_settings import check_options, for_host, merged
    from warmcell.snapshots import capture as take

    check_options("deploy", deploy, options)
    name = name_for(pipeline, deployment_name or name)
    if dedicated.loading():
        return dedicated.not_now(name)
    wanted = merged(pipeline.options.settings, settings, options)
    if gate is not None:
        gates.of(gate)
    pipeline.check()
    secrets.check(pipeline)
    parameter_model(pipeline.function, pipeline.name, where=pipeline.source.place)
    captured = roots(pipeline, wanted)
    site, remarks = _publish(wanted)
    if site is not None:
        captured["site"] = site
    taken = take({"pipeline": pipeline, **captured}, copy=copy, extra=capture)
    live = cast("Pipeline", taken.live["pipeline"])
    parameters = parameter_model(live.function, live.name, where=pipeline.source.place)
    around = surround(pipeline, taken.live) if captured else None
    isolated = bool(wanted.isolated or wanted.replicas)
    followed = followed_by(live, wanted.follow)
    with pinned(followed), origins.collecting() as loaded:
        state = initialise(live, around) if gate is not None or not isolated else None
    binding = Binding(
        f"{name}:{new_id()}",
        live,
        parameters,
        state=state,
        around=around,
        recipe=Recipe(pipeline, settings, options, copy, capture),
        taken=taken,
    )
    binding.models, binding.fresh = followed, taken.again
    here = kernel()
    body = wire.Deploy(
        name=name,
        pipeline=pipeline.name,
        key=binding.key,
        digest=taken.digest,
        input_schema=_raw(parameters.json_schema()),
        output_schema=_raw(output_schema(live.outputs, pipeline.name)),
        steps=[step.name for step in live.steps],
        source=msgspec.json.encode(sources(pipeline, captured, taken)).decode(),
        notes=[*taken.notes, *remarks],
        held=_raw(taken.holdings),
        settings=for_host(wanted) | ({"site": site} if site is not None else {}),
        notebook=notebook(),
        overtake=overtake,
        endpoints=[served.spec() for served in around.endpoints] if around is not None else [],
        middleware=bool(around is not None and around.layers),
        site=site,
        note=note,
        traffic=traffic,
        model=followed.told if followed is not None else None,
        loaded=list(loaded),
    )
    if gate is not None:
        seconds = wanted.run_timeout or wanted.timeout
        body.gate = gates.check(binding, name, gate, timeout=seconds, keep=not isolated)
    if isolated:
        deployed = _announce_isolated(binding, body, taken)
    else:
        deployed = _announce(binding, body, taken)
    here.say_where()
    return Deployment(deployed)


def _announce(binding: Binding, body: wire.Deploy, taken: Capture) -> dict[str, Any]:
    """Serve from this kernel."""
    here = kernel()
    output.install()
    here.serving.add(binding)
    try:
        deployed = here.announce(body)
    except BaseException:
        here.serving.drop(binding.key)
        raise
    number = binding.snapshot = deployed.get("deployed", deployed["snapshot"])
    # Beside another snapshot, it is that one which the host describes.
    if body.traffic is not None or deployed.get("stored") in (None, "pending"):
        _store_behind(taken, body, number)
    return deployed


def _announce_isolated(binding: Binding, body: wire.Deploy, taken: Capture) -> dict[str, Any]:
    """Have the host serve from kernels of its own: for that, the snapshot is stored first."""
    here = kernel()
    form = taken.store(Path(here.link().status.blobs))
    if not form.restorable:
        raise DeployError(
            f"'{body.pipeline}' cannot be served from a kernel of its own: "
            f"{form.status.removeprefix('refused: ')}",
            hint="Make in on_init what cannot be stored, or deploy without `isolated` and "
            f"`replicas`. {_UNCHANGED}",
        )
    body.stored, body.manifest = form.status, _raw(form)
    body.environment = _raw({**environment(), "cwd": _folder()})
    deployed: dict[str, Any] = here.control(
        "POST", "api/v1/deployments", body, timeout=ISOLATED_SECONDS
    )
    binding.snapshot = deployed.get("deployed", deployed["snapshot"])
    here.keep(body.name, binding)
    return deployed


def name_for(pipeline: Pipeline, name: str | None) -> str:
    """The name to serve ``pipeline`` under; made of its own where none is given."""
    if name is None:
        return re.sub(r"[^a-z0-9_-]+", "-", pipeline.name.lower()).strip("-_")[:63]
    if not isinstance(name, str):
        raise InvalidName(f"A deployment's name is text, not {type(name).__name__}.")
    return name


def _publish(settings: DeploymentSettings) -> tuple[str | None, list[str]]:
    """Copy the deployment's own front end into the store; None where it has none."""
    if settings.dashboard_files_path is None:
        return None, []
    from warmcell.around.site import publish

    return publish(settings.dashboard_files_path, Path(kernel().link().status.blobs))


def surround(pipeline: Pipeline, live: Mapping[str, Any]) -> Around:
    """Make endpoints and middleware of the snapshot ready."""
    try:
        return Around(live)
    except WarmcellError:
        raise
    except Exception as error:
        raise DeployError(
            f"An endpoint or middleware of pipeline '{pipeline.name}' raised "
            f"{type(error).__name__} when it was made: {error}",
            hint=_UNCHANGED,
        ) from error


def initialise(pipeline: Pipeline, around: Around | None) -> object:
    """Run ``on_init`` and the startup hook of the snapshot; the result of the former is the state
    that steps see."""
    state: object = None
    hook = "on_init"
    try:
        state = hooks.init(pipeline)
        hook = "startup_hook"
        if around is not None:
            around.start(state)
    except Exception as error:
        if hook == "startup_hook":
            hooks.cleanup(pipeline, state)
        raise DeployError(
            f"{hook} of pipeline '{pipeline.name}' raised {type(error).__name__}: {error}",
            hint=_UNCHANGED,
        ) from error
    return state


_UNCHANGED = "Nothing was changed: what was served before is still served."


def _store_behind(taken: Capture, body: wire.Deploy, number: int) -> None:
    """Write the stored form in the background and tell the host how that went."""
    here = kernel()
    link = here.link()
    blobs = Path(link.status.blobs)
    folder = _folder()

    def write() -> None:
        about = _raw({**environment(), "cwd": folder})
        try:
            form = taken.store(blobs)
            stored = wire.Stored(form.status, _raw(form), about)
        except (WarmcellError, OSError) as error:
            stored = wire.Stored(f"refused: {error}", environment=about)
        try:
            path = f"api/v1/snapshots/{quote(body.pipeline)}/{number}"
            here.control("PATCH", path, stored, link=link)
        except WarmcellError as error:
            log.warning("Snapshot %d of '%s' stays unstored: %s", number, body.pipeline, error)
        body.stored = stored.stored  # what a new host is told after a lost link

    threading.Thread(target=write, name="warmcell-snapshot", daemon=True).start()


def _folder() -> str | None:
    """The current folder; None where it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
