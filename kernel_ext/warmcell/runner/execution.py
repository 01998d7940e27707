"""One run while it goes on: what is known about it, and what is kept of it."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.errors import DefinitionError, RunTimedOut, StepCancelled
from warmcell.ids import now
from warmcell.records import (
    ArtifactRecord,
    ErrorInfo,
    LogRecord,
    RunDetail,
    StepRecord,
    StepStatus,
    UseRecord,
)
from warmcell.redaction import MASK, NONE, Redaction
from warmcell.runner.cancellation import CancelToken
from warmcell.runner.errorinfo import error_info
from warmcell.runner.notes import Noted, OutputNotes
from warmcell.utf8 import storable

if TYPE_CHECKING:
    from warmcell.artifacts.keeping import Keeper
    from warmcell.artifacts.policy import ArtifactPolicy
    from warmcell.caching.reuse import Reuse
    from warmcell.graph import Node
    from warmcell.model.inrun import RunModels
    from warmcell.options import Retry
    from warmcell.pipelines import Pipeline
    from warmcell.runner.feed import Feed
    from warmcell.steps import Step
    from warmcell.tags import Tag
    from warmcell.tracing import RunSpans

LOG_LIMIT = 1 << 20  # characters of captured output that are kept of one run

Listener = Callable[[dict[str, Any]], object]
_note_lock = threading.Lock()  # two branches of a run may note something first

Gate = Callable[["Node", Any, dict[str, Any]], object]  # waits until a step may begin


@functools.cache
def _describe() -> Callable[[str, str, Any], ArtifactRecord]:
    from warmcell.artifacts import describe

    return describe


class Yielded(NamedTuple):
    """A value that a generator step yielded; ``data`` is its JSON where somebody follows, without
    what is to be masked. ``output`` is the name of the step's output."""

    time: int
    step: str
    attempt: int
    number: int
    value: Any
    data: bytes | None
    output: str


class Execution:
    """The state of one run, shared by the threads that work on it.

    Lists only grow, so :meth:`take` can read them while others append.
    """

    __slots__ = (
        "_logged",
        "_noted",
        "_taken",
        "arguments",
        "artifacts",
        "at",
        "deployment",
        "echo",
        "environs",
        "failed_step",
        "failure",
        "feed",
        "figures",
        "gate",
        "keep",
        "keeper",
        "listener",
        "logs",
        "models",
        "noted",
        "pipeline",
        "policy",
        "redaction",
        "retry",
        "reuse",
        "run_id",
        "run_name",
        "running",
        "snapshot",
        "state",
        "steps",
        "token",
        "traceparent",
        "tracing",
        "uses",
        "yields",
    )  # fmt: skip

    def __init__(
        self,
        pipeline: Pipeline,
        arguments: Mapping[str, Any],
        *,
        run_id: str,
        token: CancelToken,
        run_name: str | None = None,
        deployment: str | None = None,
        snapshot: int | None = None,
        state: Any = None,
        keep: bool = True,
        echo: bool = False,
        listener: Listener | None = None,
        traceparent: str | None = None,
        redact: tuple[str, ...] | None = None,
        policy: ArtifactPolicy | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.policy = policy  # which outputs are kept; without one all of a batch run
        self.redaction = _redaction(pipeline, redact).of(arguments)
        self.arguments = arguments
        self.run_id = run_id
        self.run_name = run_name
        self.deployment = deployment
        self.snapshot = snapshot
        self.state = state
        self.token = token
        self.keep = keep
        self.echo = echo
        self.listener = listener
        self.feed: Feed | None = None
        self.gate: Gate | None = None
        self.keeper: Keeper | None = None  # where outputs are kept as artifacts
        self.reuse: Reuse | None = None  # where steps may take the results of earlier runs
        self.uses: list[UseRecord] = []
        self.models: RunModels | None = None  # where its pipeline or a step has a model
        self.traceparent = traceparent
        self.tracing: RunSpans | None = None
        tags = pipeline.options.tags
        self.noted: Noted | None = Noted.of(self, tags) if tags else None
        self.retry: Retry | None = pipeline.options.retry
        self.environs = bool(pipeline.options.environment or pipeline.options.secrets)
        self.steps: list[StepRecord] = []
        self.artifacts: list[ArtifactRecord] = []
        self.logs: list[LogRecord] = []
        self.yields: list[Yielded] = []
        self.running: dict[int, tuple[Node, int]] = {}
        self.failure: BaseException | None = None
        self.failed_step: str | None = None
        self.at: str | None = None
        self.figures: OrderedDict[int, Any] | None = None
        self._logged = 0
        self._taken = (0, 0, 0)
        self._noted = (0, 0)

    # -- what happens --

    def began(self, node: Node, started: int) -> None:
        """A step starts."""
        self.running[node.index] = (node, started)
        if self.models is not None:
            self.models.began(self, node)
        if self.tracing is not None:
            self.tracing.began(node, started)
        if self.listener is not None:
            self._tell(node, "running", started)
        if self.feed is not None:
            self.feed.news()

    def succeeded(self, node: Node, started: int, value: Any, attempts: int = 1) -> None:
        """A step ended well."""
        ended = now()
        if self.keep:
            self._describe_outputs(node, value)
            if self.noted is not None:
                self.noted.kept(self, node.name)
            if self.reuse is not None:
                self.reuse.succeeded(node)
        if self.tracing is not None:
            self.tracing.ended(node, "succeeded", ended)
        self._record(node, "succeeded", started, ended, attempts)

    def reused(
        self, node: Node, started: int, run_id: str, outputs: Iterable[ArtifactRecord]
    ) -> None:
        """A step, which began, takes the ``outputs`` that it gave in an earlier run."""
        ended = now()
        if self.keep:
            for record in outputs:
                self._artifact(record)
            if self.noted is not None:
                self.noted.kept(self, node.name)
        if self.tracing is not None:
            self.tracing.ended(node, "succeeded", ended)
        self._record(node, "succeeded", started, ended, 0, cached=run_id)

    def ended(self, node: Node, started: int, error: BaseException, attempts: int = 1) -> None:
        """A step ended otherwise."""
        ended = now()
        self.at = node.name
        status: StepStatus = "failed"
        info: ErrorInfo | None = None
        if isinstance(error, StepCancelled | KeyboardInterrupt):
            status = "timed_out" if self.token.reason == "timed_out" else "cancelled"
        else:
            if isinstance(error, RunTimedOut) and error.step == node.name:
                status = "timed_out"
            info = self.redaction.error(error_info(error, node.name))
            if self.failure is None:
                self.failure, self.failed_step = error, node.name
        if self.tracing is not None:
            self.tracing.ended(node, status, ended, error)
        self._record(node, status, started, ended, attempts, info)

    def skipped(self, node: Node) -> None:
        """A step was not started, because of what happened before it."""
        self._record(node, "skipped", None, None, 0)

    def _record(
        self,
        node: Node,
        status: StepStatus,
        started: int | None,
        ended: int | None,
        attempts: int,
        error: ErrorInfo | None = None,
        cached: str | None = None,
    ) -> None:
        self.running.pop(node.index, None)
        if self.keep or self.feed is not None:
            step = _step(node, status, started, ended, attempts, error)
            if self.reuse is not None:
                step.cached = cached
                step.uncached = self.reuse.why(node.index) if cached is None else None
            self.steps.append(step)
        if self.listener is not None:
            more = {"cached": cached} if cached is not None else {}
            self._tell(node, status, started, ended, **more)
        if self.feed is not None:
            self.feed.news()

    def _describe_outputs(self, node: Node, value: Any) -> None:
        outputs = node.step.outputs
        try:
            if len(outputs) == 1:
                self._output(node, 0, value)
            elif outputs:
                for number, part in enumerate(value):
                    self._output(node, number, part)
        except Exception as error:
            # A value whose own code fails while it is looked at must not fail its run.
            self.log("log", f"An output of `{node.name}` cannot be described: {error!r}\n")

    def _output(self, node: Node, number: int, value: Any) -> None:
        record = _describe()(node.name, node.step.outputs[number].name, value)
        if self.keeper is not None:  # first: once it is in the list, it may be sent
            self.keeper.keep(node, number, record, value)
        self._artifact(record)
        if self.reuse is not None:
            self.reuse.gave(node, number, record)

    def _artifact(self, record: ArtifactRecord) -> None:
        redaction = self.redaction
        self.artifacts.append(redaction.artifact(record) if redaction.active else record)

    def log(
        self, stream: str, text: str, step: str | None = None, level: str | None = None
    ) -> None:
        """Keep a piece of output, up to a limit per run."""
        feed = self.feed
        if not (self.keep or feed is not None) or self._logged > LOG_LIMIT:
            return
        self._logged += len(text)
        if self._logged > LOG_LIMIT:
            text = text[:1000] + f"\n[more than {LOG_LIMIT} characters: the rest was dropped]\n"
        text = storable(self.redaction.text(text))
        self.logs.append(LogRecord(now(), stream, text, step, level))
        if feed is not None:
            feed.news()

    def yielded(
        self, node: Node, attempt: int, number: int, value: Any
    ) -> Callable[[], object] | None:
        """A generator step yielded its value ``number``, counted from 0. Returns what to call to
        wait for whoever follows the run, where that is too far behind."""
        feed = self.feed
        name = node.step.outputs[0].name if node.step.outputs else ""
        data = feed.encode(value, name) if feed is not None else None
        self.yields.append(Yielded(now(), node.name, attempt, number, value, data, name))
        if self.listener is not None:
            covered = self.redaction.active and self.redaction.covers(name, value)
            text = MASK if covered else self.redaction.text(_text(node.name, value))
            flows = isinstance(value, str)
            self.event("output", step=node.name, index=number, text=text, flows=flows)
        return feed.pressed() if feed is not None else None

    def metadata(self, step: str, metadata: Mapping[str, Any]) -> None:
        """Keep metadata with a step, or with the run where ``step`` is empty."""
        kind, subject = ("step", f"{self.run_id}/{step}") if step else ("run", self.run_id)
        self._noting().log(self, kind, subject, step, metadata)

    def tag(self, tags: Iterable[Tag], *, remove: bool = False) -> None:
        """Put tags on the run, or take them away."""
        self._noting().tag("run", self.run_id, self.run_id, tags, remove=remove)

    def notes_of(self, step: str, output: str) -> OutputNotes:
        """What a step said of one of its outputs, to be added to."""
        return self._noting().output(step, output)

    def made(self, version: str) -> bool:
        """Whether a step of this run made the artifact version of that id."""
        return any(artifact.version == version for artifact in self.artifacts)

    def metadata_of(self, version: str, metadata: Mapping[str, Any]) -> None:
        """Keep metadata with an artifact version that this run made."""
        self._noting().log(self, "artifact_version", version, "", metadata)

    def tag_version(self, version: str, tags: Iterable[Tag], *, remove: bool = False) -> None:
        """Put tags on an artifact version that this run made, or take them away."""
        noted = self._noting()
        noted.tag("artifact_version", version, self.run_id, tags, remove=remove)

    def _noting(self) -> Noted:
        noted = self.noted
        if noted is None:
            with _note_lock:
                noted = self.noted = self.noted or Noted()
        return noted

    def progress(self, step: str, done: float, total: float | None, message: str | None) -> None:
        """A step says how far it is."""
        if message is not None:
            message = self.redaction.text(str(message))
        self.event("progress", step=step, done=done, total=total, message=message)
        if self.feed is not None:
            self.feed.progress(step, done, total, message)

    def event(self, kind: str, **fields: Any) -> None:
        """Tell the listener, if there is one."""
        if self.listener is not None:
            self.listener({"kind": kind, "run_id": self.run_id, "time": now(), **fields})

    def _tell(
        self,
        node: Node,
        status: StepStatus,
        started: int | None,
        ended: int | None = None,
        **more: Any,
    ) -> None:
        self.event(
            "step",
            step=node.name,
            index=node.index,
            status=status,
            upstream=node.names,
            started_at=started,
            finished_at=ended,
            **more,
        )

    # -- what is known --

    def detail(self) -> RunDetail:
        """Everything kept so far."""
        found = RunDetail(self.steps, self.artifacts, self.logs, uses=self.uses)
        if self.noted is not None:
            found.metadata, found.tags = self.noted.metadata, self.noted.tags
        return found

    def take(self) -> RunDetail:
        """What is new since the last call, with the steps that run now."""
        steps, artifacts, logs = self._taken
        self._taken = (len(self.steps), len(self.artifacts), len(self.logs))
        new = RunDetail(
            self.steps[steps : self._taken[0]],
            self.artifacts[artifacts : self._taken[1]],
            self.logs[logs : self._taken[2]],
        )
        if (noted := self.noted) is not None:
            metadata, tags = self._noted
            self._noted = (len(noted.metadata), len(noted.tags))
            new.metadata = noted.metadata[metadata : self._noted[0]]
            new.tags = noted.tags[tags : self._noted[1]]
        if self.reuse is not None:  # before the versions: what it says of them is to be known
            new.cache = self.reuse.take()
        if self.keeper is not None:
            new.versions = self.keeper.take()
        if self.uses:
            uses, self.uses = self.uses, []
            new.uses = uses
        for node, started in list(self.running.values()):
            new.steps.append(_step(node, "running", started, None, 1))
        return new


def _redaction(pipeline: Pipeline, redact: tuple[str, ...] | None) -> Redaction:
    """Of a served call what its deployment says, else what the pipeline's own settings say."""
    if redact is None:
        settings = pipeline.options.settings
        redact = settings.get("redact") if settings else None
    return Redaction(redact) if redact else NONE


def _step(
    node: Node,
    status: StepStatus,
    started: int | None,
    ended: int | None,
    attempts: int,
    error: ErrorInfo | None = None,
) -> StepRecord:
    return StepRecord(
        node.name, node.index, status, started, ended, attempts, node.names, node.inputs, error
    )


def _text(step: str, value: Any) -> str:
    """A value for people to read."""
    if isinstance(value, str):
        return value
    found = _describe()(step, "", value)
    return found.preview or (found.type if found.value is None else bytes(found.value).decode())


def check_outputs(step: Step, name: str, value: Any) -> None:
    """Raise :class:`DefinitionError` if ``value`` does not have the outputs of ``step``."""
    count = len(step.outputs)
    if count > 1 and not (isinstance(value, tuple | list) and len(value) == count):
        got = f"{len(value)} values" if isinstance(value, tuple | list) else type(value).__name__
        names = ", ".join(output.name for output in step.outputs)
        raise DefinitionError(
            f"Step `{name}` ({step.source.place}) declares {count} outputs ({names}) but "
            f"returned {got}.",
            hint="Return a tuple with one value for each output.",
        )
