"""Replaying: from a run of the history to a :class:`Replay` of it in this kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from warmcell import repeating
from warmcell.errors import Conflict, ParameterError, SnapshotError, UsageError
from warmcell.options import close_match
from warmcell.repeating import Path as Place
from warmcell.replayed import Code, Replay
from warmcell.schemas import encode_parameters, parameter_model
from warmcell.schemas.jsonform import to_json

if TYPE_CHECKING:
    from warmcell.client import Client
    from warmcell.pipelines import Pipeline
    from warmcell.runs import Run

__all__ = ["Replay", "replay"]


def replay(
    run_id: str,
    values: Mapping[Place, Any] | None = None,
    *,
    snapshot: int | None = None,
    until: str | None = None,
    hold: bool = False,
    client: Client | None = None,
    bind: Callable[[str, Any, str], str] | None = None,
) -> Replay:
    """Put a run of the history into this kernel, with its own snapshot or another one.

    Its steps are executed up to the first that did not succeed; up to ``until`` where that is
    given; none with ``hold``. That this happens is printed before. ``values`` are used at some
    places of the parameters instead of what was recorded: ``{("customer", "password"): "..."}``.
    ``bind`` makes a variable of a value: it gets a name, the value and what to add to the name
    where that is taken, and returns the name.

    Raises:
        NotFound: no such run.
        Conflict: the run has not ended.
        UsageError: it has no snapshot, or there is no step ``until``.
        ParameterError: its input was not recorded as it was, or does not fit.
        SnapshotError: the snapshot cannot be loaded here.
        DeployError: its ``on_init`` raised.
    """
    from warmcell.client import Client

    client = client or Client()
    run = client.get_run(run_id)
    if run.status in ("queued", "running"):
        raise Conflict(f"Run {run_id} is {run.status}.", hint="Replay it once it has ended.")
    number = snapshot or run.snapshot
    if number is None:
        raise UsageError(
            f"Run {run_id} was started in a cell, on code that no snapshot holds.",
            hint=f"Call {run.pipeline}(...) with Client().get_run('{run_id}').parameters, or name "
            "a snapshot: --snapshot 1.",
        )
    row = client.get_snapshot(run.pipeline, number)
    recorded = _input(run, row["input_schema"], values or {})
    code = _code(row)
    try:
        inputs = code.parameters.validate_json(to_json(recorded))
        if until is not None:
            _check_step(until, code.pipeline)
        if not hold:
            print(f"Replaying run {run_id}: its steps are executed again, with their effects.")
        return Replay(run, number, code, inputs, _Stops(run, until, hold=hold), bind)
    except ParameterError as error:
        code.close()
        raise ParameterError(
            f"The input of run {run_id} does not fit snapshot {number}: {error.message}",
            errors=error.errors,
            hint="Give other values: --set name=value.",
        ) from None
    except BaseException:
        code.close()
        raise


class _Stops:
    """Which steps wait: those that did not succeed in the run."""

    def __init__(self, run: Run, until: str | None, *, hold: bool) -> None:
        self._all = hold
        self._until = until
        self._run = run
        self._succeeded = {s.name for s in run.steps if s["status"] == "succeeded"}
        self._failed = (run.error or {}).get("step")

    def __call__(self, step: str) -> bool:
        if self._all or step == self._until:
            return True
        if self._until is not None or self._run.status == "succeeded":
            return False
        if self._run.steps:
            return step not in self._succeeded
        return self._failed is None or step == self._failed  # recorded without its steps


def _input(run: Run, schema: Mapping[str, Any], values: Mapping[Place, Any]) -> dict[str, Any]:
    """The parameters of the run in JSON form, with other ``values``. Raises
    :class:`ParameterError` for what is missing."""
    recorded = run.to_json().get("parameters")
    plain = {
        path: encode_parameters({str(path[0]): _revealed(value)})[str(path[0])]
        for path, value in values.items()
    }
    found = repeating.changed(recorded or {}, plain)
    whole = [str(path[0]) for path in values if len(path) == 1]
    left = [
        gap
        for gap in repeating.gaps(recorded, schema, whole)
        if gap.path not in values and not (recorded is None and gap.name in found)
    ]
    example = f"%replay {run.id} --set {left[0].name}=VALUE" if left else ""
    hint = f"Say what it was, as a value or by the name of a variable: {example}"
    repeating.check(run.id, left, hint=hint)
    return repeating.as_given(found, schema)


def _revealed(value: Any) -> Any:
    reveal = getattr(value, "get_secret_value", None)
    return reveal() if callable(reveal) else value


def _code(row: Mapping[str, Any]) -> Code:
    """The code of a snapshot, as this kernel serves it, else as it is stored."""
    from warmcell.deploying import initialise, surround
    from warmcell.link import kernel
    from warmcell.snapshots import StoredForm, restore

    here, number = kernel(), int(row["number"])
    binding = here.serving.holding(row["pipeline"], number)
    if binding is not None:
        return Code(binding.pipeline, binding.parameters, binding.state, warm=True)
    what = f"Snapshot {number} of '{row['pipeline']}'"
    if row["stored"] == "pending":
        raise SnapshotError(
            f"{what} is not stored yet, and this kernel does not hold it.",
            hint="Try again in a moment, or in the notebook that deployed it.",
        )
    if row["stored"] != "stored":
        raise SnapshotError(
            f"{what} is not stored ({row['stored']}), and this kernel does not hold it.",
            hint="Replay the run in the notebook that deployed it, or on another snapshot: "
            "--snapshot N.",
        )
    try:
        form = msgspec.convert(row.get("manifest"), StoredForm)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"{what} has no stored form.") from error
    roots = restore(form, Path(here.link().status.blobs))
    live = cast("Pipeline", roots["pipeline"])
    parameters = parameter_model(live.function, live.name, where=live.source.place)
    around = surround(live, roots) if len(roots) > 1 else None
    return Code(live, parameters, initialise(live, around), warm=False, around=around)


def _check_step(name: str, pipeline: Pipeline) -> None:
    known = [node.name for node in graph.nodes] if (graph := pipeline.graph()) else None
    if known is not None and name not in known:
        raise UsageError(
            f"Pipeline '{pipeline.name}' has no step '{name}'.",
            hint=close_match(name, known) or f"Its steps: {', '.join(known)}.",
        )
