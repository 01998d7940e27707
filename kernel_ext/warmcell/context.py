"""What code sees while it runs inside a run: the context of its step, or of its pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from warmcell import tracing
from warmcell.errors import StepContextError

if TYPE_CHECKING:
    from types import FrameType

    from warmcell.model.model import Model
    from warmcell.model.version import ModelVersion
    from warmcell.pipelines import Pipeline
    from warmcell.runner.execution import Execution
    from warmcell.runner.notes import OutputNotes
    from warmcell.steps import Step
    from warmcell.stepviews import StepInput, StepRunView


class Scope(Protocol):
    """Where code of a user runs: inside a step, or inside the body of a pipeline."""

    run: Execution
    pending: dict[str, str] | None  # output that does not make a line yet, by stream

    @property
    def step_name(self) -> str | None:
        """The step that runs; None in the body of a pipeline."""

    def call(
        self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> Any:
        """A step was called here."""


current: ContextVar[Scope | None] = ContextVar("warmcell_scope", default=None)


class Cancelled:
    """Whether the run was cancelled: true or false, and callable for who reads it so."""

    __slots__ = ("_run",)

    def __init__(self, run: Execution) -> None:
        self._run = run

    def __bool__(self) -> bool:
        return self._run.token.reason is not None

    def __call__(self) -> bool:
        return bool(self)

    def __repr__(self) -> str:
        return repr(bool(self))


class _Context:
    __slots__ = ("run",)

    run: Execution

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.run.run_id

    @property
    def run_name(self) -> str | None:
        """Name of the run, if it has one."""
        return self.run.run_name

    @property
    def pipeline_name(self) -> str:
        """Name of the pipeline."""
        return self.run.pipeline.name

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline itself."""
        return self.run.pipeline

    @property
    def deployment(self) -> str | None:
        """Name of the deployment that serves this run; None in a batch run."""
        return self.run.deployment

    @property
    def snapshot(self) -> int | None:
        """Number of the snapshot that this run executes; None in a batch run."""
        return self.run.snapshot

    @property
    def traceparent(self) -> str:
        """W3C ``traceparent`` to send along with requests that this code makes."""
        run = self.run
        return tracing.current() or run.traceparent or tracing.derive(run.run_id)

    @property
    def pipeline_state(self) -> Any:
        """What the pipeline's ``on_init`` returned."""
        return self.run.state

    @property
    def model(self) -> Model:
        """The model of the step, else of the pipeline, with the version that it has in this run.

        Raises :class:`UsageError` where there is none, and
        :class:`~warmcell.errors.NotFound` where there is no such version.
        """
        from warmcell.model.inrun import model_of

        return model_of(self.run, getattr(self, "step", None))

    @property
    def model_version(self) -> ModelVersion:
        """The version of :attr:`model` as the store has it."""
        return self.model.model_version

    @property
    def cancelled(self) -> Cancelled:
        """Whether the run was cancelled or has timed out: long work should look at it."""
        return Cancelled(self.run)


class StepContext(_Context):
    """The step that runs."""

    __slots__ = ("_args", "_kwargs", "_sources", "_taken", "pending", "step", "step_name")

    def __init__(
        self,
        run: Execution,
        step: Step,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.run = run
        self.step = step
        self.step_name = name
        self._args = args
        self._kwargs = kwargs
        self._sources = sources  # where the arguments come from, as a StepRecord has it
        self._taken: dict[str, str] = {}
        self.pending: dict[str, str] | None = None

    def given(self, args: Any, kwargs: dict[str, Any]) -> None:
        """What the step is really called with, where that was not known before."""
        self._args, self._kwargs = args, kwargs

    def took(self, name: str, version: str) -> None:
        """An argument is the artifact version of that id."""
        self._taken = {**self._taken, name: version}

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the step, by name."""
        return dict(self.step.inputs.bind(*self._args, **self._kwargs).arguments)

    @property
    def inputs(self) -> dict[str, StepInput]:
        """The arguments of the step as stored values, by name: each with ``value``, ``id`` and
        ``run_metadata``."""
        from warmcell.stepviews import input_of

        sources = self._sources or {}
        return {
            name: input_of(self.run, name, value, sources.get(name, "="), self._taken.get(name))
            for name, value in self.arguments.items()
        }

    @property
    def step_run(self) -> StepRunView:
        """The step run: its ``id``, ``name`` and ``config.parameters``."""
        from warmcell.stepviews import StepConfiguration, StepRunView

        bound = self.step.inputs.bind(*self._args, **self._kwargs)
        bound.apply_defaults()
        sources = self._sources or {}
        made = {name for name, source in sources.items() if source[:1] not in ("$", "=")}
        made |= self._taken.keys()
        given = {name: value for name, value in bound.arguments.items() if name not in made}
        config = StepConfiguration(self.step_name, given, dict(self.step.options.extra or {}))
        return StepRunView(f"{self.run.run_id}/{self.step_name}", self.step_name, config)

    def call(
        self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> Any:
        """A step called inside a step is the plain function."""
        return step.function(*args, **kwargs)

    def log_metadata(self, metadata: dict[str, Any]) -> None:
        """Keep ``metadata`` with this step run. Raises :class:`UsageError` for values that cannot
        be kept."""
        from warmcell.metadata.values import check

        self.run.metadata(self.step_name, check(metadata))

    @property
    def pipeline_run(self) -> PipelineContext:
        """The run: its ``id``, ``name``, …"""
        return PipelineContext(self.run)

    def output_name(self, name: str | None = None) -> str:
        """The output called ``name``, or the only one. Raises :class:`StepContextError` for another
        name, or for none where there are several."""
        names = [output.name for output in self.step.outputs]
        if name in names:
            return str(name)
        known = f"Outputs of `{self.step_name}`: {', '.join(names) or 'none'}."
        if name is not None:
            raise StepContextError(f"Step `{self.step_name}` has no output {name!r}.", hint=known)
        if len(names) != 1:
            raise StepContextError(f"Which output of step `{self.step_name}` is meant?", hint=known)
        return names[0]

    def add_output_metadata(self, metadata: dict[str, Any], output_name: str | None = None) -> None:
        """Keep ``metadata`` with the artifact version that an output becomes."""
        from warmcell.metadata.values import check

        self._notes(output_name).metadata.update(check(metadata))

    def get_output_metadata(self, output_name: str | None = None) -> dict[str, Any]:
        """What was added to an output by now."""
        return dict(self._notes(output_name).metadata)

    def add_output_tags(self, tags: Any, output_name: str | None = None) -> None:
        """Put tags on the artifact version that an output becomes."""
        from warmcell.tags import as_tags

        self._notes(output_name).tags.update({tag.name: tag for tag in as_tags(tags)})

    def get_output_tags(self, output_name: str | None = None) -> list[str]:
        """The tags that were added to an output by now."""
        return list(self._notes(output_name).tags)

    def remove_output_tags(self, tags: Any, output_name: str | None = None) -> None:
        """Take tags away that were added to an output."""
        from warmcell.tags import as_tags

        notes = self._notes(output_name).tags
        for tag in as_tags(tags):
            notes.pop(tag.name, None)

    def get_output_artifact_uri(self, output_name: str | None = None) -> str:
        """Raises :class:`StepContextError`: where an output is written follows from what it is."""
        raise StepContextError(
            f"Output `{self.output_name(output_name)}` of `{self.step_name}` has no place before "
            "it is written: its files are called by what is in them.",
            hint="Return a pathlib.Path, or a tuple with one, to keep files beside a value.",
        )

    def _notes(self, output_name: str | None) -> OutputNotes:
        return self.run.notes_of(self.step_name, self.output_name(output_name))

    def report_progress(
        self, done: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Say how far this step is: ``done`` of ``total``, in any unit."""
        self.run.progress(self.step_name, done, total, message)

    def __repr__(self) -> str:
        return f"StepContext({self.step_name!r}, run_id={self.run_id!r})"


class PipelineContext(_Context):
    """The pipeline whose body runs."""

    __slots__ = ()

    def __init__(self, run: Execution) -> None:
        self.run = run

    @property
    def extra(self) -> dict[str, Any]:
        """What ``@pipeline(extra=…)`` says."""
        return dict(self.run.pipeline.options.extra or {})

    @property
    def id(self) -> str:
        """Id of the run."""
        return self.run.run_id

    @property
    def name(self) -> str | None:
        """Name of the run, if it has one."""
        return self.run.run_name

    def log_metadata(self, metadata: dict[str, Any]) -> None:
        """Keep ``metadata`` with this run. Raises :class:`UsageError` for values that cannot be
        kept."""
        from warmcell.metadata.values import check

        self.run.metadata("", check(metadata))

    def __repr__(self) -> str:
        return f"PipelineContext({self.pipeline_name!r}, run_id={self.run_id!r})"


def get_step_context() -> StepContext:
    """The context of the step that runs. Raises :class:`StepContextError` outside a step."""
    scope = current.get()
    if isinstance(scope, StepContext):
        return scope
    raise StepContextError(
        "get_step_context() works only while a step of a run executes.",
        hint="Call it inside the body of a step, and run the step as part of a pipeline.",
    )


def get_pipeline_context() -> PipelineContext:
    """The context of the run. Raises :class:`StepContextError` outside a run."""
    scope = current.get()
    if scope is None:
        raise StepContextError(
            "get_pipeline_context() works only while a pipeline runs.",
            hint="Call it inside the body of a pipeline or of one of its steps.",
        )
    return PipelineContext(scope.run)


def looks_up(what: str) -> None:
    """The code that runs asks for ``what``, which may be another thing next time: the results of
    its step are not taken again. Does nothing outside of a step that might be cached."""
    scope = current.get()
    step = None if scope is None else scope.step_name
    if scope is not None and step is not None and scope.run.reuse is not None:
        scope.run.reuse.asked(step, what)


def report_progress(done: float, total: float | None = None, message: str | None = None) -> None:
    """Say how far the step that runs is; does nothing outside a run, so that the step can also be
    called as a plain function."""
    scope = current.get()
    if isinstance(scope, StepContext):
        scope.report_progress(done, total, message)
