"""The models of one run: which versions its pipeline and its steps work on."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from warmcell.errors import LinkError, UsageError, WarmcellError
from warmcell.model.model import Model
from warmcell.model.templates import fill, has_places
from warmcell.model.version import ModelVersion

if TYPE_CHECKING:
    from warmcell.context import Scope
    from warmcell.graph import Node
    from warmcell.pipelines import Pipeline
    from warmcell.runner.execution import Execution
    from warmcell.steps import Step

__all__ = [
    "RunModels",
    "check_may_make",
    "followed_by",
    "model_of",
    "model_option",
    "models_for",
    "pin_of",
    "pinned",
]

log = logging.getLogger("warmcell.model")

_pin: ContextVar[RunModels | None] = ContextVar("warmcell_followed", default=None)


class RunModels:
    """The versions that a run works on, each looked up or made once. Any thread may ask.

    Only a run that this kernel starts itself ``makes`` versions; a served one sees ``pinned``,
    which its deployment follows, else what is there.
    """

    def __init__(
        self,
        *,
        run_id: str = "",
        run_name: str | None = None,
        pipeline: str = "",
        time: int = 0,
        makes: bool = False,
        pinned: ModelVersion | None = None,
        alias: str = "",
        substitutions: Mapping[str, str] | None = None,
    ) -> None:
        self._places: dict[str, Any] = {
            "run_id": run_id, "run_name": run_name, "pipeline": pipeline, "time": time,
        }  # fmt: skip
        self._more = substitutions or {}  # for places of the user's own
        self._makes = makes
        self._pinned = pinned
        self._alias = alias
        self._found: dict[tuple[str, str], ModelVersion] = {}
        self._linked: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @property
    def told(self) -> dict[str, str] | None:
        """What a host is told of the version that is followed."""
        version = self._pinned
        if version is None:
            return None
        return {
            "model": version.model_name, "alias": self._alias, "id": version.id,
            "version": version.name,
        }  # fmt: skip

    def pinned(self, model: str, version: str) -> ModelVersion | None:
        """The version that is followed, where ``version`` of ``model`` means that one."""
        found = self._pinned
        if found is None or found.model_name != model or version != self._alias:
            return None
        return found

    def of(self, model: Model, step: Step | None = None) -> Model:
        """``model``, of a step or of the pipeline, with its version in this run. Raises
        :class:`~warmcell.errors.NotFound` for one that must be there and is not, and
        :class:`UsageError` for a place in its name that cannot be filled in."""
        model = self._filled(model, step)
        pinned = self._pinned
        if pinned is not None and pinned.model_name == model.name:
            return model.found(pinned)
        key = model.name, str(model.version)
        with self._lock:
            if key not in self._found:
                self._found[key] = self._find(model)
            return model.found(self._found[key])

    def _filled(self, model: Model, step: Step | None) -> Model:
        """``model`` with nothing left to fill in. A run that makes no version has no name for a
        new one: there the newest is meant."""
        more = dict(self._more)
        if step is not None:
            more |= step.options.substitutions or {}
        changed: dict[str, Any] = {}
        if has_places(model.name):
            changed["name"] = fill(model.name, **self._places, more=more)
        if model.templated:
            label = fill(str(model.version), **self._places, more=more) if self._makes else None
            changed["version"] = label
        return dataclasses.replace(model, **changed) if changed else model

    def _find(self, model: Model) -> ModelVersion:
        from warmcell.client import Client

        client = Client()
        version = None if model.version is None else str(model.version)
        if not (self._makes and model.makes):
            # Asked by the run, not by the code of a step: that code may only log about it.
            return client._found_version(model.name, version or "latest")
        return client._make_model_version(model, version, self._places["run_id"])

    def began(self, run: Execution, node: Node) -> None:
        """A step begins: in a run that makes versions, one with a model of its own is of that."""
        model = node.step.options.model
        if model is None or not self._makes:
            return
        try:
            found = model_option(model, f"step `{node.name}`")
            if found is not None:
                self.link(found, node.name, node.step)
        except WarmcellError as error:
            # What a step does is worth more than to which model it belongs.
            run.log("log", f"Step `{node.name}` is not linked to its model: {error}\n", node.name)

    def link(self, model: Model, called: str | None = None, step: Step | None = None) -> None:
        """Say that the run, or the step run ``called`` of it, is one of the version's."""
        version = self.of(model, step).model_version
        run_id = self._places["run_id"]
        subject = f"{run_id}/{called}" if called else run_id
        with self._lock:
            if (version.id, subject) in self._linked:
                return
            self._linked.add((version.id, subject))
        version.link("step" if called else "run", subject)


def model_option(given: Any, owner: str) -> Model | None:
    """The option ``model`` of a pipeline or a step. Raises :class:`UsageError` for what is none."""
    if given is None or isinstance(given, Model):
        return given
    if isinstance(given, str):
        return Model(given)
    raise UsageError(
        f"`model` of {owner} takes a Model, not {given!r}.",
        hint='Write for example model=Model(name="churn").',
    )


def models_for(run: Execution, time: int, outer: Scope | None = None) -> RunModels | None:
    """The models of a run that is about to start here, each made or found by now; None where
    neither the pipeline nor a step of it has one. Inside of a served call (``outer``) none is made.

    Raises :class:`~warmcell.errors.NotFound` for a version that must be there and is not.
    """
    pipeline = run.pipeline
    if outer is not None and outer.run.deployment is not None:
        return None
    own = model_option(pipeline.options.model, f"pipeline `{pipeline.name}`")
    steps = pipeline.plan().analysis.steps
    others = [(model_option(s.options.model, f"step `{s.name}`"), s) for s in steps]
    if own is None and not any(other for other, _ in others):
        return None
    models = RunModels(
        run_id=run.run_id, run_name=run.run_name, pipeline=pipeline.name, time=time, makes=True,
        substitutions=pipeline.options.substitutions,
    )  # fmt: skip
    try:
        if own is not None:
            models.link(own)
        for other, step in others:
            if other is not None:
                models.of(other, step)
    except LinkError as error:  # without a host nothing of the run is kept either
        log.warning("This run is not linked to its model: %s", error)
    return models


def model_of(run: Execution, step: Step | None = None) -> Model:
    """The model of a step or of its pipeline, with the version that it has in this run.

    Raises :class:`UsageError` where neither has one, :class:`~warmcell.errors.NotFound` where there
    is no such version.
    """
    given = step.options.model if step is not None else None
    owner = f"step `{step.name}`" if step is not None and given else f"`{run.pipeline.name}`"
    model = model_option(given or run.pipeline.options.model, owner)
    if model is None:
        raise UsageError(
            f"Pipeline `{run.pipeline.name}` has no model.",
            hint='Write @pipeline(model=Model(name="churn")).',
        )
    if run.models is None:
        run.models = RunModels(
            run_id=run.run_id, run_name=run.run_name, pipeline=run.pipeline.name,
            substitutions=run.pipeline.options.substitutions,
        )  # fmt: skip
    return run.models.of(model, step if given else None)


def followed_by(pipeline: Pipeline, alias: str | None) -> RunModels | None:
    """The version of a pipeline's model that a deployment which follows ``alias`` serves now; None
    where it follows none.

    Raises :class:`UsageError` for a pipeline without a model, :class:`~warmcell.errors.NotFound`
    where no version is there.
    """
    if alias is None:
        return None
    from warmcell.client import Client

    model = model_option(pipeline.options.model, f"pipeline `{pipeline.name}`")
    if model is None:
        raise UsageError(
            f"follow='{alias}' needs a model, and pipeline `{pipeline.name}` has none.",
            hint=f'Write @pipeline(model=Model(name="churn", version="{alias}")).',
        )
    return RunModels(pinned=Client().get_model_version(model.name, alias), alias=alias)


@contextmanager
def pinned(models: RunModels | None) -> Iterator[None]:
    """While this lasts, what ``models`` follows is the version which it found, also when that is
    moved meanwhile: for ``on_init``."""
    reset = _pin.set(models)
    try:
        yield
    finally:
        _pin.reset(reset)


def pin_of(model: str, version: str) -> ModelVersion | None:
    """The version that ``version`` of ``model`` means here, where that is pinned."""
    models = _pin.get()
    return models.pinned(model, version) if models is not None else None


def check_may_make() -> None:
    """Raise :class:`UsageError` inside of a served call, which never makes a model version."""
    from warmcell.context import current

    scope = current.get()
    run: Any = scope.run if scope is not None else None  # a body that is planned has no run
    if run is not None and run.deployment is not None:
        raise UsageError(
            "A served call never makes a model version.",
            hint="Make it in a run of your own: training is one, answering a call is none.",
        )
