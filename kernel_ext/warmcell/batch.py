"""A run that this kernel starts itself: executed here, tracked, shown in its cell."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import output, secrets
from warmcell.caching.wiring import reuse_for
from warmcell.context import current
from warmcell.errors import RunCancelled, RunError, RunTimedOut, WarmcellError
from warmcell.ids import new_id, now
from warmcell.model.inrun import models_for
from warmcell.recording import find_recorder, log, reporter
from warmcell.records import CodeRecord, RunDetail, RunRecord
from warmcell.runner import Outcome, execute
from warmcell.runner.cancellation import CancelToken
from warmcell.runner.errorinfo import own_frames
from warmcell.runner.execution import Execution
from warmcell.runs import Run

if TYPE_CHECKING:
    from warmcell.artifacts.keeping import Keeper
    from warmcell.artifacts.policy import ArtifactPolicy
    from warmcell.caching.reuse import Wish
    from warmcell.pipelines import Pipeline
    from warmcell.recording import Recorder

FLUSH_SECONDS = 60.0  # for artifacts that are not written when their run ends

__all__ = ["RunFailed", "RunInterrupted", "run"]


class RunInterrupted(KeyboardInterrupt):
    """The cell was interrupted, and the run in it cancelled."""

    def _render_traceback_(self) -> list[str]:
        """Show one line (an IPython protocol)."""
        return [f"{type(self).__name__}: {self}"]


class RunFailed(RunError):
    """A run failed in a step or in the body of its pipeline; the error itself is the cause."""

    def _render_traceback_(self) -> list[str]:
        """Show the user's own lines, then ours in one (an IPython protocol)."""
        cause = self.__cause__
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        if cause is None or shell is None:
            return super()._render_traceback_()
        trace = own_frames(cause.__traceback__)
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(cause), cause, trace)
        return [*lines, "", f"{type(self).__name__}: {self}"]


def run(
    pipeline: Pipeline,
    arguments: Mapping[str, Any],
    *,
    run_name: str | None = None,
    trigger: str = "cell",
    recorder: Recorder | None = None,
    wish: Wish | None = None,
    origin: str | None = None,
) -> Run:
    """Run ``pipeline`` and return how it ended; see :meth:`warmcell.pipelines.Pipeline.run`.
    ``wish`` says what of earlier runs is taken, ``origin`` which run this one goes on with."""
    plan = pipeline.plan()
    secrets.check(pipeline)
    if recorder is None:
        recorder = find_recorder()
    output.install()
    token = CancelToken()
    record = RunRecord(
        new_id(), pipeline.name, "running", now(), trigger, run_name, origin=origin,
    )  # fmt: skip
    record.started_at = record.created_at
    live = _live(pipeline.name, plan.graph)
    scope = current.get()  # of a served run, if one starts this: then nothing is shown in a cell
    execution = Execution(
        pipeline, arguments, run_id=record.run_id, token=token, run_name=run_name,
        echo=scope is None or scope.run.echo,
    )  # fmt: skip
    execution.policy = _policy(pipeline)
    execution.models = models_for(execution, record.created_at, scope)
    live = _live(pipeline.name, plan.graph)
    execution.listener = live.update if live is not None else None
    record.parameters = _recorded(arguments, execution)
    if (blobs := recorder.blobs) is not None:
        execution.keeper = _keeper(execution, blobs, recorder)
        execution.reuse = reuse_for(execution, plan, recorder, wish)
    try:
        outcome, ended = _tracked(execution, record, recorder, live)
    except BaseException:
        # An interrupt between our own lines: the record must not stay "running".
        if record.status == "running":
            record.status, record.finished_at = "cancelled", now()
        _safely(recorder.finish, record, execution.take())
        raise
    return _checked(ended, outcome)


def _tracked(
    execution: Execution, record: RunRecord, recorder: Recorder, live: Any
) -> tuple[Outcome, Run]:
    """Execute, and keep ``recorder`` and the display up to date."""
    _safely(recorder.start, record)
    recorder.follow(execution)
    reporter().add(execution, recorder)
    try:
        outcome = execute(
            execution.pipeline, execution.arguments, run_id=record.run_id, execution=execution
        )
    finally:
        reporter().remove(execution)
        recorder.unfollow(execution)
        if live is not None and sys.exc_info()[0] is not None:
            live.done()
    record.error = outcome.error
    record.started_at, record.finished_at = outcome.started_at, outcome.finished_at
    record.status = outcome.status
    if outcome.status == "succeeded":
        record.outputs = _recorded(outcome.outputs, execution)
    ended = Run.from_outcome(record, outcome)
    if live is not None:
        live.done(ended)
        ended.shown = True
    _safely(recorder.finish, record, _rest(execution, record))
    return outcome, ended


def _keeper(execution: Execution, blobs: Path, recorder: Recorder) -> Keeper:
    from warmcell.artifacts.keeping import Keeper

    run_id = execution.run_id
    return Keeper(execution, blobs, lambda late: recorder.detail(run_id, RunDetail(versions=late)))


def _policy(pipeline: Pipeline) -> ArtifactPolicy | None:
    """Which artifacts its own settings keep; None, and all are kept, where they say nothing."""
    rules = (pipeline.options.settings or {}).get("artifacts")
    if not rules:
        return None
    from warmcell.artifacts.policy import ArtifactPolicy

    return ArtifactPolicy(rules)


def _rest(execution: Execution, record: RunRecord) -> RunDetail:
    """What was not sent yet, once the artifacts are written, or that takes too long."""
    keeper = execution.keeper
    if keeper is None:
        return _with_code(execution.take(), execution)
    keeper.settle(failed=record.status != "succeeded")
    if not keeper.flush(FLUSH_SECONDS):
        log.warning("Artifacts of run %s are still being written.", record.run_id)
    detail = execution.take()
    detail.versions += keeper.close()
    return _with_code(detail, execution)


def _with_code(detail: RunDetail, execution: Execution) -> RunDetail:
    """Add what was executed: of this run there is no snapshot that has it. Cells may name in plain
    text what is to be masked."""
    pipeline, shown = execution.pipeline, execution.redaction.text
    parts: list[Any] = [*pipeline.steps, pipeline]
    source = msgspec.json.encode(
        [
            {
                "name": one.name,
                "kind": one.kind,
                "source": shown(one.source.text),
                "cell": one.source.cell,
            }
            for one in parts
        ]
    )
    detail.code = [CodeRecord(hashlib.sha256(source).hexdigest(), msgspec.Raw(source))]
    return detail


def _recorded(values: Mapping[str, Any], execution: Execution) -> msgspec.Raw:
    from warmcell.artifacts import recorded

    data, redaction = recorded(values), execution.redaction
    return msgspec.Raw(redaction.json(data) if redaction.active else data)


def _safely(call: Any, *arguments: Any) -> None:
    """A run is worth more than its record: what the store cannot take is said, not raised."""
    try:
        call(*arguments)
    except WarmcellError as error:
        log.warning("This run is not kept in the history: %s", error)


def _checked(ended: Run, outcome: Outcome) -> Run:
    """``ended``, or the error of a run that did not succeed."""
    if outcome.status == "succeeded":
        return ended
    cause = outcome.exception
    if isinstance(cause, KeyboardInterrupt):
        raise RunInterrupted(f"Run {ended.id} of `{ended.pipeline}` was cancelled.") from None
    step = outcome.error.step if outcome.error is not None else None
    where = f" in step `{step}`" if step else ""
    kinds = {"cancelled": RunCancelled, "timed_out": RunTimedOut}
    words = {"cancelled": "was cancelled", "timed_out": "timed out"}
    if outcome.status in kinds:
        message = f"Run {ended.id} of `{ended.pipeline}` {words[outcome.status]}{where}."
        if isinstance(cause, RunTimedOut):
            message = f"{message} {cause.message}"
        raise kinds[outcome.status](message, run_id=ended.id, step=step) from None
    told = f"{outcome.error.type}: {outcome.error.message}" if outcome.error else ""
    raise RunFailed(
        f"Run {ended.id} of `{ended.pipeline}` failed{where}: {told}", run_id=ended.id, step=step
    ) from cause


def _live(name: str, graph: Any) -> Any:
    """A display of the run in its cell; None outside a kernel's cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel") or current.get() is not None:
        return None
    try:
        from warmcell_widgets import live_run
    except ImportError:
        return None
    return live_run(name, graph)
