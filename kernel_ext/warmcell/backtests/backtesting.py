"""Backtesting: capture a draft as a deploy would, replay recorded calls through it, compare."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from warmcell.answers import Tolerance
from warmcell.backtests.backtest import Backtest
from warmcell.backtests.executing import replay
from warmcell.backtests.history import Selection, select
from warmcell.client import Client
from warmcell.config.deployment_settings import check_options
from warmcell.drafting import Recipe
from warmcell.errors import NotFound, UsageError
from warmcell.ids import new_id
from warmcell.serving import Binding, Serving

if TYPE_CHECKING:
    from warmcell.config import DeploymentSettings
    from warmcell.history.golden import Golden
    from warmcell.pipelines import Pipeline

__all__ = ["SECONDS", "backtest", "compare", "discard"]

SECONDS = 60.0
"""How long a replayed call may take, where neither the caller nor the settings say."""

_UNCOMPARED = (
    "Middleware is not replayed: what it changes in answers shows as a difference; leave that out "
    'with ignore=["place"].'
)


def backtest(
    pipeline: Pipeline,
    name: str | None = None,
    *,
    last: int = 200,
    since: datetime | str | None = None,
    where: str | None = None,
    runs: Sequence[str] | str | Golden | None = None,
    sample: int | None = None,
    tolerance: Tolerance | float | Mapping[str, float] | None = None,
    ignore: Iterable[str] = (),
    concurrency: int = 1,
    timeout: float | None = None,
    settings: Mapping[str, Any] | DeploymentSettings | None = None,
    copy: Collection[str] = (),
    capture: Collection[str] = (),
    **options: Any,
) -> Backtest:
    """Replay recorded calls of a deployment through ``pipeline`` as it is now, and compare.

    **The steps are really executed**, in this kernel: what they write, send or delete happens
    again. Nothing is deployed, and the runs are not in the history.

    Args:
        name: the deployment whose calls are replayed; by default that which serves this pipeline.
        last: how many of its newest calls, of those that succeeded.
        since: only calls from this time on.
        where: only calls for which this SQL holds, over a line of the view ``runs``:
            ``"parameters ->> '$.country' = 'DE'"``.
        sample: so many of them, drawn at random, the same every time.
        runs: exactly these, by their ids; or a golden set, by its name.
        tolerance: how far numbers may be apart and count as the same: absolute, or a dict of
            ``absolute`` and ``relative``.
        ignore: places of the answer that are not compared, as ``rows[*].id``. An answer is the
            outputs by name.
        concurrency: calls at once. More than one makes execution times longer than they are.
        timeout: seconds that a call may take; by default that of the deployment's settings.
        settings, copy, capture: as :func:`warmcell.deploying.deploy` takes them, single settings
            also as keywords; by default those of this kernel's last deploy under ``name``.

    Parameters are replayed as the calls were executed with them, with the defaults of then.

    Raises:
        NotFound: no call is recorded, or there is no such run.
        UsageError, QueryError: an argument that does not fit.
        BacktestInterrupted: by Interrupt.
        and what a deploy raises before it changes anything.
    """
    check_options("backtest", backtest, options)
    name, recipe = _found(pipeline, name)
    if settings is not None or copy or capture or options:
        recipe = Recipe(pipeline, settings, options, copy, capture)
    wanted = Selection(name, last, since, where, runs, sample)
    report = {"tolerance": tolerance, "ignore": ignore}
    Backtest(pipeline.name, name, **report)  # type: ignore[arg-type]  # wrong ones, at once
    binding = _draft(pipeline, name, recipe)
    try:
        found = compare(
            binding, wanted, tolerance=tolerance, ignore=ignore, concurrency=concurrency,
            timeout=_seconds(pipeline, recipe) if timeout is None else timeout,
        )  # fmt: skip
    finally:
        discard(binding)
    if not found.rows and not found.skipped:
        raise NotFound(
            f"No call of '{name}' that succeeded is recorded"
            f"{'' if since is None and where is None else ' and is as asked'}.",
            hint='Name its deployment: pipeline.backtest("churn"); %deployments lists them.',
        )
    return found


def compare(
    binding: Binding,
    wanted: Selection,
    *,
    tolerance: Tolerance | float | Mapping[str, float] | None = None,
    ignore: Iterable[str] = (),
    concurrency: int = 1,
    timeout: float = SECONDS,
) -> Backtest:
    """Replay the calls through ``binding``, which is not served yet."""
    at_once: object = concurrency
    if not isinstance(at_once, int) or isinstance(at_once, bool) or at_once < 1:
        raise UsageError(f"concurrency={concurrency!r} is not a number of calls at once.")
    most: object = timeout
    if not isinstance(most, int | float) or isinstance(most, bool) or not most > 0:
        raise UsageError(f"timeout={timeout!r} is not a number of seconds above 0.")
    calls, skipped = select(Client(), wanted, binding.parameters)
    found = Backtest(
        binding.pipeline.name,
        wanted.deployment,
        skipped=skipped,
        notes=[_UNCOMPARED] if binding.layers else [],
        tolerance=tolerance,
        ignore=ignore,
    )
    replay(
        binding,
        calls,
        found.add,
        deployment=wanted.deployment,
        timeout=timeout,
        concurrency=concurrency,
    )
    return found.arranged(calls)


def discard(binding: Binding) -> None:
    """Let go of a binding that never was served: ``on_cleanup`` runs; behind the scenes where a
    call could not be stopped, which it waits for."""
    serving = Serving()
    serving.add(binding)
    if binding.idle.is_set():
        serving.drop(binding.key)
    else:
        threading.Thread(
            target=serving.drop, args=(binding.key,), name="warmcell-discard", daemon=True
        ).start()


def _found(pipeline: Pipeline, name: str | None) -> tuple[str, Recipe]:
    """The deployment that is meant, and with what this kernel deployed it last."""
    from warmcell.deploying import name_for
    from warmcell.link import kernel

    here = kernel()
    served = {
        one: binding
        for one in here.served()
        if (binding := here.binding(one)) is not None and binding.pipeline.name == pipeline.name
    }
    own = name_for(pipeline, name)
    if name is None and own not in served and len(served) == 1:
        [own] = served
    binding = served.get(own)
    recipe = binding.recipe if binding is not None else None
    return own, recipe or Recipe(pipeline)


def _seconds(pipeline: Pipeline, recipe: Recipe) -> float:
    from warmcell.config.deployment_settings import merged

    wanted = merged(pipeline.options.settings, recipe.settings, dict(recipe.options))
    return wanted.run_timeout or wanted.timeout or SECONDS


def _draft(pipeline: Pipeline, name: str, recipe: Recipe) -> Binding:
    """Capture ``pipeline`` as a deploy would, and make it ready to answer."""
    from warmcell.around.parts import roots
    from warmcell.config.deployment_settings import merged
    from warmcell.deploying import initialise, surround
    from warmcell.model.inrun import followed_by, pinned
    from warmcell.schemas import parameter_model
    from warmcell.snapshots import capture

    wanted = merged(pipeline.options.settings, recipe.settings, dict(recipe.options))
    pipeline.check()
    parameter_model(pipeline.function, pipeline.name, where=pipeline.source.place)
    captured = roots(pipeline, wanted)
    taken = capture({"pipeline": pipeline, **captured}, copy=recipe.copy, extra=recipe.capture)
    live = cast("Pipeline", taken.live["pipeline"])
    parameters = parameter_model(live.function, live.name, where=pipeline.source.place)
    around = surround(pipeline, taken.live) if captured else None
    followed = followed_by(live, wanted.follow)
    with pinned(followed):  # it answers with the version that the deployment would serve
        state = initialise(live, around)
    binding = Binding(f"{name}:{new_id()}", live, parameters, state=state, around=around)
    binding.models = followed
    return binding
