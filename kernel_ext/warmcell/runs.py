"""Run: one run as its user sees it, of this kernel or from the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.ids import rfc3339
from warmcell.metadata.values import restored
from warmcell.records import RunDetail, RunRecord, StepRecord

if TYPE_CHECKING:
    from collections.abc import Generator

    from warmcell.client import Client
    from warmcell.compared import RunComparison
    from warmcell.lineage import Lineage
    from warmcell.remote.outputs import StepOutput, StepOutputs
    from warmcell.remote.transport import Transport
    from warmcell.runner import Outcome

__all__ = ["Run", "StepRun"]


class StepRun(Mapping[str, Any]):
    """One step run, as a mapping and by attributes: ``step``, ``status``, ``duration`` (seconds),
    ``attempts``, ``upstream``, ``inputs``, ``error``, …"""

    def __init__(self, described: Mapping[str, Any], run: Run | None = None) -> None:
        self._described = dict(described)
        self._run = run

    def __getitem__(self, key: str) -> Any:
        return self._described[key]

    def __iter__(self) -> Any:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_described"][name]
        except KeyError:
            raise AttributeError(f"A step run has no {name!r}.") from None

    @property
    def id(self) -> str:
        """Id of the step run: the run's, a slash, its name."""
        return f"{self._described['run_id']}/{self._described['step']}"

    @property
    def name(self) -> str:
        """Name of the step in its run."""
        return str(self._described["step"])

    @property
    def outputs(self) -> StepOutputs:
        """The artifact versions that it made, by the name of the output: those of a run that kept
        them. Each can be loaded, ``run.steps["train"].outputs["model"].load()``, and handed on to a
        step."""
        from warmcell.remote.outputs import outputs_of

        return outputs_of(self._run, self.name) if self._run is not None else {}

    @property
    def output(self) -> StepOutput:
        """Its only output. Raises :class:`~warmcell.errors.UsageError` where it has none, or
        several."""
        from warmcell.remote.outputs import only

        return only(self.name, self.outputs)

    def __repr__(self) -> str:
        return f"<step run {self.name}: {self._described['status']}>"


class RunSnapshot(int):
    """The number of a snapshot, with its ``id``, as ``churn/3``, and ``pipeline``. Callable for
    who reads it so: gives itself."""

    pipeline: str

    @classmethod
    def of(cls, pipeline: str, number: int) -> RunSnapshot:
        """Snapshot ``number`` of ``pipeline``."""
        made = cls(number)
        made.pipeline = pipeline
        return made

    @property
    def id(self) -> str:
        """The pipeline, a slash and the number."""
        return f"{self.pipeline}/{int(self)}"

    def __call__(self) -> RunSnapshot:
        return self


class StepRuns(list[StepRun]):
    """The step runs of a run, by position and by name."""

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for step in self:
            if step.name == key:
                return step
        raise KeyError(key)


class Run:
    """One run: its state, what went in and came out, and its parts.

    Of a run of this kernel, ``outputs`` are the objects themselves; of one from the history, their
    JSON form. Times are aware datetimes.
    """

    def __init__(
        self,
        described: Mapping[str, Any] | Callable[[], dict[str, Any]],
        transport: Transport | None = None,
    ) -> None:
        self._source = described
        self._transport = transport  # to where it came from; else to this kernel's host
        self._outputs: dict[str, Any] | None = None
        self._value: Any = None
        self.shown = False  # live, in the output of the cell that started it

    @cached_property
    def _described(self) -> dict[str, Any]:
        # Made when someone looks: most runs of a loop are never looked at.
        return self._source() if callable(self._source) else dict(self._source)

    @classmethod
    def from_json(cls, described: Mapping[str, Any], transport: Transport | None = None) -> Run:
        """Make a run of the JSON that ``GET api/v1/runs/{id}`` or the list of runs gives."""
        return cls(described, transport)

    @classmethod
    def from_outcome(cls, record: RunRecord, outcome: Outcome) -> Run:
        """Make a run of one that just ended in this kernel."""
        run = cls(partial(_json, record, outcome.detail))
        run._outputs, run._value = outcome.outputs, outcome.value
        return run

    @property
    def id(self) -> str:
        """Id of the run, a UUIDv7."""
        return str(self._described["run_id"])

    run_id = id

    @property
    def name(self) -> str | None:
        """Name of the run, if it was given one."""
        return self._described.get("run_name")

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return str(self._described["pipeline"])

    @property
    def status(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``failed``, ``cancelled``, ``timed_out`` or
        ``lost``."""
        return str(self._described["status"])

    @property
    def trigger(self) -> str | None:
        """What started the run: ``cell``, ``call``, …"""
        return self._described.get("trigger")

    @property
    def deployment(self) -> str | None:
        """Name of the deployment that was called, if one was."""
        return self._described.get("deployment")

    @property
    def snapshot(self) -> RunSnapshot | None:
        """Number of the snapshot that was executed, if one was; it has an ``id`` and a
        ``pipeline`` as well."""
        number = self._described.get("snapshot")
        return None if number is None else RunSnapshot.of(self.pipeline, number)

    @property
    def origin(self) -> str | None:
        """Id of the run that this one repeats, if it does."""
        return self._described.get("origin")

    @property
    def created_at(self) -> datetime | None:
        """When the run was asked for."""
        return _time(self._described.get("created_at"))

    @property
    def started_at(self) -> datetime | None:
        """When it began to execute."""
        return _time(self._described.get("started_at"))

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return _time(self._described.get("finished_at"))

    @property
    def duration(self) -> float | None:
        """Seconds between its beginning and its end."""
        if (duration := self._described.get("duration")) is not None:
            return float(duration)
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def parameters(self) -> dict[str, Any]:
        """What the pipeline was called with, in JSON form."""
        return dict(self._described.get("parameters") or {})

    @property
    def outputs(self) -> dict[str, Any]:
        """What came out, by name."""
        if self._outputs is not None:
            return self._outputs
        return dict(self._described.get("outputs") or {})

    @property
    def output(self) -> Any:
        """What came out: the value itself where there is one output, else what the body returned.

        Of a run from the history with several outputs: the dict of them.
        """
        outputs = self.outputs
        if len(outputs) == 1:
            return next(iter(outputs.values()))
        return self._value if self._value is not None else (outputs or None)

    @property
    def steps(self) -> StepRuns:
        """The step runs, in the order of their calls; also by name, ``run.steps["train"]``."""
        described = self._described
        return StepRuns(
            StepRun(
                {**step, "run_id": self.id, "run_metadata": _of_step(described, step["step"])}, self
            )
            for step in described.get("steps") or ()
        )

    def get_step(self, step: str) -> StepRun:
        """The step run called ``step``. Raises :class:`~warmcell.errors.NotFound`."""
        from warmcell.errors import NotFound

        try:
            found: StepRun = self.steps[step]
            return found
        except KeyError:
            known = ", ".join(one.name for one in self.steps)
            raise NotFound(
                f"Run {self.id} has no step {step!r}.", hint=f"It has {known or 'none'}."
            ) from None

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        """What the steps returned, described."""
        return list(self._described.get("artifacts") or ())

    @property
    def logs(self) -> list[dict[str, Any]]:
        """Captured output: ``time``, ``stream``, ``text``, ``step``, ``level``."""
        return list(self._described.get("logs") or ())

    @property
    def error(self) -> dict[str, Any] | None:
        """Why the run did not succeed: ``type``, ``message``, ``step``, ``traceback``."""
        return self._described.get("error")

    @property
    def metadata(self) -> dict[str, Any]:
        """What ``log_metadata`` kept, by name; of a step as ``step.name``."""
        found = {}
        for one in self._described.get("metadata") or ():
            name = f"{one['step']}.{one['key']}" if one["step"] else one["key"]
            found[name] = restored(one["value"], one["type"])
        for artifact in self.artifacts:  # of a store of an earlier version
            if artifact.get("kind") == "metadata":
                step = artifact.get("step")
                found[f"{step}.{artifact['name']}" if step else artifact["name"]] = artifact.get(
                    "value"
                )
        return found

    @property
    def run_metadata(self) -> dict[str, Any]:
        """What was logged about the run itself, by key."""
        return _of_step(self._described, None)

    @property
    def tags(self) -> list[str]:
        """The tags of the run."""
        return list(self._described.get("tags") or ())

    def rerun(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
        snapshot: int | str = "own",
        wait: bool = True,
        timeout: float | None = None,
    ) -> Run:
        """Run it once more, as a call of its deployment, and return the run that this made, however
        it ended.

        Args:
            parameters: replace single parameters of the run; with ``replace`` they are all.
            snapshot: ``"own"``, ``"newest"`` (of its pipeline) or a number. One that is not warm is
                restored for this.
            wait: for its end, at most ``timeout`` seconds.

        Raises:
            Conflict: it was no call of a deployment.
            ParameterError: its input was not recorded as it was, or does not fit.
            SnapshotError: the snapshot cannot be restored.
            TimeoutError: it goes on after ``timeout``.
        """
        from warmcell.client import Client
        from warmcell.rerun import rerun

        transport = self._transport or Client()._transport
        return rerun(
            transport, self.id, parameters, replace=replace, snapshot=snapshot, wait=wait,
            timeout=timeout,
        )  # fmt: skip

    def compare(self, other: Run | str, *, tolerance: float | None = None) -> RunComparison:
        """Return what differs from this run to ``other``, or the run of that id: inputs, outputs,
        steps. Numbers at most ``tolerance`` apart count as the same."""
        from warmcell.rerun import compare

        return compare(self, other, tolerance=tolerance)

    def lineage(self, *, direction: Any = "both", depth: int = 20) -> Lineage:
        """What its steps took, where that came from, and what was made of what they gave; see
        :meth:`~warmcell.client.Client.get_lineage`."""
        return self._client().get_lineage(run=self, direction=direction, depth=depth)

    def openlineage(self, *, namespace: str = "warmcell") -> list[dict[str, Any]]:
        """The run as OpenLineage events; see
        :meth:`~warmcell.client.Client.get_openlineage_events`."""
        return self._client().get_openlineage_events(self, namespace=namespace)

    def _client(self) -> Client:
        from warmcell.client import Client

        return Client() if self._transport is None else Client.of(self._transport)

    def to_json(self) -> dict[str, Any]:
        """The run as ``GET api/v1/runs/{id}`` describes it."""
        return dict(self._described)

    def __await__(self) -> Generator[Any, None, Run]:
        # So that `await pipeline(...)` works as well: the run has ended.
        return self
        yield

    def __repr__(self) -> str:
        seconds = f" in {self.duration:.3g} s" if self.duration is not None else ""
        text = f"<run {self.id} of {self.pipeline}: {self.status}{seconds}>"
        if self.error:
            where = f" in step {self.error['step']}" if self.error.get("step") else ""
            text += f" {self.error.get('type')}{where}: {self.error.get('message')}"
        return text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if self.shown:  # the cell shows it already
            self.shown = False
            return {"text/plain": repr(self)}
        from warmcell_widgets.render import run_html, run_text

        return {"text/plain": run_text(self._described), "text/html": run_html(self._described)}


def _json(record: RunRecord, detail: RunDetail) -> dict[str, Any]:
    """A record as the API gives it."""
    described: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(msgspec.Raw,))
    for key in ("parameters", "outputs"):
        if (raw := getattr(record, key)) is not None:
            described[key] = msgspec.json.decode(raw)
    described = dict.fromkeys(record.__struct_fields__) | described
    _times(described, record.started_at, record.finished_at)
    if record.created_at:
        described["created_at"] = rfc3339(record.created_at)
    described["steps"] = _steps(detail.steps)
    described["metadata"] = [
        {
            "step": one.step,
            "key": one.key,
            "value": msgspec.json.decode(one.value),
            "type": one.type,
            "time": rfc3339(one.time),
        }
        for one in {(one.step, one.key): one for one in detail.metadata}.values()
        if one.kind in ("run", "step")
    ]
    described["tags"] = _tags(record.run_id, detail)
    described["artifacts"] = [
        {
            **{name: getattr(artifact, name) for name in artifact.__struct_fields__},
            "value": None if artifact.value is None else msgspec.json.decode(artifact.value),
        }
        for artifact in detail.artifacts
    ]
    described["logs"] = [
        {**{name: getattr(log, name) for name in log.__struct_fields__}, "time": rfc3339(log.time)}
        for log in detail.logs
    ]
    return described


def _of_step(described: Mapping[str, Any], step: str | None) -> dict[str, Any]:
    found = described.get("metadata") or ()
    return {one["key"]: restored(one["value"], one["type"]) for one in found if one["step"] == step}


def _tags(run_id: str, detail: RunDetail) -> list[str]:
    """The tags of a run by its own last words."""
    last = {one.tag: one for one in detail.tags if one.kind == "run" and one.subject == run_id}
    return sorted(tag for tag, one in last.items() if not one.remove)


def _steps(records: Sequence[StepRecord]) -> list[dict[str, Any]]:
    last = {record.index: record for record in records}
    steps = []
    for index in sorted(last):
        described: dict[str, Any] = {
            name: getattr(last[index], name) for name in StepRecord.__struct_fields__
        }
        described["upstream"] = list(last[index].upstream)
        described["error"] = msgspec.to_builtins(last[index].error)
        _times(described, last[index].started_at, last[index].finished_at)
        steps.append(described)
    return steps


def _times(described: dict[str, Any], started: int | None, finished: int | None) -> None:
    described["started_at"] = None if started is None else rfc3339(started)
    described["finished_at"] = None if finished is None else rfc3339(finished)
    known = started is not None and finished is not None
    described["duration"] = (finished - started) / 1e6 if known else None  # type: ignore[operator]


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else text
