"""Pipeline: steps composed by a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, overload

from warmcell.analysis import (
    Analysis,
    analyse,
    unknown_calls,
    used_before_made,
)
from warmcell.analysis.naming import ONE, Shape, shape_of
from warmcell.context import current
from warmcell.errors import DefinitionError, GraphError
from warmcell.graph import Getter, Graph, Node, Values, getter
from warmcell.options import PipelineOptions, change, close_match, make
from warmcell.runner.body import Body
from warmcell.source import Source
from warmcell.steps import (
    OutputSpec,
    Step,
    check_name,
    function_name,
    return_annotation,
    return_name,
)

if TYPE_CHECKING:
    from warmcell.backtests import Backtest
    from warmcell.changes import SnapshotDiff, Snapshots
    from warmcell.config import DeploymentSettings
    from warmcell.runs import Run

__all__ = ["Pipeline", "PipelineOptions", "Plan", "pipeline"]

Link = tuple[Node, tuple[Getter, ...], tuple[tuple[str, Getter], ...]]


@dataclass
class Plan:
    """How a pipeline is executed, worked out once. ``graph`` is there when it never changes,
    ``chain`` when nothing in it can run at the same time. A run needs nothing but the chain if the
    plan is ``quick``, or ``hookless`` and the state is there already."""

    analysis: Analysis
    shape: Shape
    graph: Graph | None = None
    chain: list[Link] = field(default_factory=list)
    hookless: bool = False
    quick: bool = False
    result: Callable[[Values, Mapping[str, Any]], Any] = lambda values, inputs: None


class Pipeline:
    """A function that composes steps.

    Calling it is a tracked run. Re-made from its own state, so that a snapshot can take it along:
    its steps are found in the function's own globals and closure.
    """

    kind: ClassVar[str] = "pipeline"

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        options: PipelineOptions | None = None,
        source: Source | None = None,
        doc: str | None = None,
    ) -> None:
        if isinstance(function, Step | Pipeline) or not callable(function):
            raise DefinitionError(
                f"A pipeline is made from a function, not from a {type(function).__name__}.",
                hint="Write `@pipeline` above a `def`.",
            )
        self.function = function
        self.name: str = check_name(name or function_name(function), "pipeline")
        self.options = options or PipelineOptions()
        self.source = source or Source.of(function)
        self.doc = doc if doc is not None else inspect.getdoc(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise DefinitionError(
                f"Pipeline `{self.name}` ({self.source.place}) is a generator.",
                hint="Return a list instead of using `yield`.",
            )
        self._prepare()

    def _prepare(self) -> None:
        """Work out what follows from the function. None of it is part of the state."""
        function = self.function
        self.inputs = inspect.signature(function)
        self.is_async = inspect.iscoroutinefunction(function)
        self.count = len(self.inputs.parameters)
        self._plan: Plan | None = None
        self.__doc__ = self.doc
        self.__name__ = self.name
        self.__qualname__ = getattr(function, "__qualname__", self.name)
        self.__module__ = getattr(function, "__module__", __name__)

    def __getstate__(self) -> dict[str, Any]:
        return {key: self.__dict__[key] for key in ("function", "name", "options", "source", "doc")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __getattr__(self, attribute: str) -> Any:
        # A pipeline that was just unpickled: its function may not have been filled in before now.
        if attribute in ("inputs", "is_async", "count", "_plan"):
            self._prepare()
            return self.__dict__[attribute]
        if attribute == "__wrapped__" and "function" in self.__dict__:
            return self.__dict__["function"]
        raise AttributeError(f"Pipeline has no attribute `{attribute}`.")

    # -- running --

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pipeline, tracked, and return its :class:`Run`. Raises :class:`RunError`, with
        the step's own error as its cause, when the run does not succeed. Inside the body of
        another pipeline its steps become part of that run instead."""
        if isinstance(current.get(), Body):
            return self.function(*args, **kwargs)
        return self.run(*args, **kwargs)

    def run(self, *args: Any, **kwargs: Any) -> Run:
        """Run the pipeline, tracked; see :meth:`__call__`.

        Beside its parameters, unless it has some of these names: ``enable_cache`` (for all steps of
        this run), ``cache_policy`` (for those that have none of their own), ``from_step`` (the name
        of a step: it and all that depend on it run, those before it are taken from earlier runs
        where they are the same) and ``run_name``.
        """
        from warmcell.batch import run
        from warmcell.caching.wiring import wish_of

        wish, run_name = wish_of(self, kwargs)
        return run(self, self.bind(args, kwargs), run_name=run_name, wish=wish)

    def resume(
        self,
        run_id: str | Run,
        *,
        from_step: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Run:
        """Go on with a run of this pipeline that failed: what it was given is given again, and
        steps that succeeded are taken from it; see :func:`warmcell.caching.resuming.resume`."""
        from warmcell.caching.resuming import resume

        return resume(run_id, from_step=from_step, parameters=parameters, pipeline=self)

    def configure(self, **options: Any) -> Pipeline:
        """Change options of this pipeline itself; :meth:`with_options` makes another one."""
        self.options = change(self.options, options, f"Pipeline `{self.name}`")
        self._plan = None
        return self

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, defaults filled in. Raises :class:`DefinitionError` naming what is
        missing or too much."""
        try:
            bound = self.inputs.bind(*args, **kwargs)
        except TypeError as error:
            raise DefinitionError(
                f"Pipeline `{self.name}` cannot be called like this: {error}.",
                hint=f"It takes {self.name}{self.inputs}.",
            ) from None
        bound.apply_defaults()
        return bound.arguments

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """``arguments`` with defaults filled in."""
        return self.bind((), dict(arguments))

    def arguments(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """What to call the function with."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in self.inputs.parameters.values():
            value = given[parameter.name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                args.extend(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs.update(value)
            elif parameter.kind is parameter.KEYWORD_ONLY:
                kwargs[parameter.name] = value
            else:
                args.append(value)
        return args, kwargs

    # -- what it is made of --

    def plan(self) -> Plan:
        """How to execute this pipeline; worked out again when a name means something else now.

        Raises :class:`DefinitionError` for a body that cannot run.
        """
        plan = self._plan
        if plan is None or not plan.analysis.holds(self.function):
            plan = self._plan = self._planned()
        return plan

    def _planned(self) -> Plan:
        analysis = analyse(self.function, self.source.text, self.source.lineno)
        self._check(analysis)
        shape = self._shape(analysis)
        plan = Plan(analysis, shape)
        if analysis.mode != "planned":
            return plan
        body = Body(self, None, {}, analysis.sites)
        reset = current.set(body)
        try:
            args, kwargs = self.arguments(body.symbols)
            plan.graph = graph = body.graph(self.function(*args, **kwargs))
        finally:
            current.reset(reset)
        plan.result = getter(graph.result)
        if graph.linear or all(
            node.index - 1 in node.upstream for node in graph.nodes if node.index
        ):
            plan.chain = [
                (
                    node,
                    tuple(getter(arg) for arg in node.args),
                    tuple((name, getter(arg)) for name, arg in node.kwargs.items()),
                )
                for node in graph.nodes
            ]
        options = self.options
        hooks = (options.on_start, options.on_end, options.on_success, options.on_failure)
        plan.hookless = bool(plan.chain) and not any(hooks)
        plan.quick = plan.hookless and not (options.on_init or options.on_cleanup)
        return plan

    def _check(self, analysis: Analysis) -> None:
        """What is certain to fail is an error before anything runs."""
        if analysis.definition is None:
            return
        place, above = self.source.place, self.source.lineno - 1
        early = used_before_made(analysis.definition)
        if early is not None:
            raise GraphError(
                f"Pipeline `{self.name}` ({place}, line {above + early.lineno}) uses "
                f"`{early.id}` before the step that makes it: the steps wait for each other.",
                hint="A step can only take results of steps before it.",
            )
        for name in unknown_calls(self.function, analysis.definition):
            scope = getattr(self.function, "__globals__", {})
            known = [key for key, value in scope.items() if isinstance(value, Step)]
            raise DefinitionError(
                f"Pipeline `{self.name}` ({place}, line {above + name.lineno}) calls "
                f"`{name.id}`, which is not defined.",
                hint=close_match(name.id, known) or "Run the cell that defines this step first.",
            )

    def _shape(self, analysis: Analysis) -> Shape:
        shape = ONE
        if analysis.definition is not None and analysis.names is not None:
            shape = shape_of(analysis.definition, analysis.names.step)
        annotation = return_annotation(self.function, self.inputs)
        if shape.kind == "one":
            known = shape.outputs[0]
            name = return_name(annotation) or known.name
            kind = known.annotation if annotation is inspect.Signature.empty else annotation
            return Shape("one", (OutputSpec(name, kind),))
        return shape

    @property
    def steps(self) -> list[Step]:
        """The steps that the body names, where the graph is known in its order."""
        plan = self.plan()
        known = plan.analysis.steps
        if plan.graph is None:
            return list(known)
        order = {id(node.step): node.index for node in reversed(plan.graph.nodes)}
        return sorted(known, key=lambda step: order.get(id(step), len(order)))

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """Names and types of what a run returns, as far as the body tells."""
        return self.plan().shape.outputs

    def graph(self) -> Graph | None:
        """The graph, where it does not depend on the inputs; else None."""
        return self.plan().graph

    def check(self) -> None:
        """Raise :class:`DefinitionError` if this pipeline cannot run."""
        self.plan()

    # -- other forms --

    def with_options(self, **options: Any) -> Pipeline:
        """The same pipeline with other options; takes those of :func:`pipeline`."""
        name = options.pop("name", None) or self.name
        changed = change(self.options, options, f"Pipeline `{self.name}`")
        return Pipeline(self.function, name=name, options=changed, source=self.source, doc=self.doc)

    def deploy(
        self,
        name: str | None = None,
        *,
        deployment_name: str | None = None,
        settings: Mapping[str, Any] | DeploymentSettings | None = None,
        **options: Any,
    ) -> Any:
        """Serve this pipeline as it is now under ``name``; see
        :func:`warmcell.deploying.deploy`."""
        from warmcell.deploying import deploy

        return deploy(self, name, deployment_name=deployment_name, settings=settings, **options)

    def backtest(self, name: str | None = None, *, last: int = 200, **options: Any) -> Backtest:
        """Replay the newest ``last`` calls of deployment ``name`` through this pipeline as it is
        now, and compare the answers. The steps are really executed; see
        :func:`warmcell.backtests.backtesting.backtest`."""
        from warmcell.backtests.backtesting import backtest

        return backtest(self, name, last=last, **options)

    def snapshots(self) -> Snapshots:
        """The snapshots of this pipeline, newest first: who deployed them, when, with which
        note."""
        from warmcell.client import Client

        return Client().list_snapshots(self.name)

    def diff(self, before: int | None = None, after: int | None = None) -> SnapshotDiff:
        """What changed from snapshot ``before`` (by default that which this kernel deployed last,
        else the newest) to snapshot ``after``, or to this pipeline as it is now. Raises
        :class:`~warmcell.errors.NotFound`."""
        from warmcell.drafting import diff

        return diff(self, before, after)

    def __repr__(self) -> str:
        return f"<pipeline {self.name}{self.inputs}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """The graph where there is one to draw; static, so that a saved notebook stays true."""
        try:
            plan = self.plan()
        except DefinitionError as error:
            return {"text/plain": f"{self!r}\n{error}"}
        if plan.graph is None:
            why = plan.analysis.reason or "its graph follows the inputs"
            return {"text/plain": f"{self!r} ({plan.analysis.mode}: {why})"}
        from warmcell_widgets.render import graph_html

        names = " -> ".join(node.name for node in plan.graph.nodes)
        return {
            "text/plain": f"{self!r}: {names}",
            "text/html": graph_html(plan.graph, title=self.name),
        }


@overload
def pipeline(function: Callable[..., Any], /) -> Pipeline: ...
@overload
def pipeline(
    *, name: str | None = None, **options: Any
) -> Callable[[Callable[..., Any]], Pipeline]: ...
def pipeline(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, **options: Any
) -> Pipeline | Callable[[Callable[..., Any]], Pipeline]:
    """Make a function a pipeline; the twin of ``%%pipeline``.

    Options: ``name``, ``on_init``, ``on_init_kwargs``, ``on_cleanup``, ``execution_mode``
    (``"continue_on_failure"``, ``"stop_on_failure"`` or ``"fail_fast"``), ``retry`` (for steps that
    name none), ``on_start``, ``on_end``, ``on_success``, ``on_failure``, ``tags``, ``model``,
    ``settings``, ``extra``, ``enable_cache``, ``cache_policy`` (for steps that say none),
    ``environment`` and ``secrets`` (of all its steps, see :func:`warmcell.step`). Raises
    :class:`DefinitionError` for any other.
    """

    def decorate(function: Callable[..., Any]) -> Pipeline:
        owner = f"Pipeline `{getattr(function, '__name__', function)}`"
        return Pipeline(function, name=name, options=make(PipelineOptions, options, owner))

    return decorate if function is None else decorate(function)
