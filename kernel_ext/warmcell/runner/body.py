"""The body of a pipeline while it runs: what a step call inside it does.

A call that the analysis knows is deferred: it becomes a node and returns a
:class:`~warmcell.analysis.deferred.Deferred`. Any other one runs at once and returns its value.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from warmcell.analysis.deferred import Deferred, Symbol, ref_of
from warmcell.analysis.lineage import Lineage
from warmcell.errors import DefinitionError, StepCancelled, UsageError
from warmcell.graph import Graph, Input, Node, Pack, Ref, resolve
from warmcell.options import close_match
from warmcell.runner.attempts import perform
from warmcell.runner.futures import StepFuture, StepFutures
from warmcell.runner.kept import Kept
from warmcell.runner.scheduler import Scheduler, Task
from warmcell.steps import Step, check_name, unmapped

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline
    from warmcell.runner.execution import Execution

__all__ = ["Body"]

_LATER = (Deferred, StepFuture, StepFutures)


class Body:
    """One run of a body. One without ``run`` only plans: its inputs are :attr:`symbols`."""

    run: Execution

    def __init__(
        self,
        pipeline: Pipeline,
        run: Execution | None,
        inputs: Mapping[str, Any],
        sites: Mapping[CodeType, frozenset[int]],
        *,
        packs: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self.plans = run is None
        if run is not None:
            self.run = run
        self.pending: dict[str, str] | None = None
        self.nodes: list[Node] = []
        self.tasks: dict[int, Task] = {}
        self.lineage = Lineage(pipeline.function, inputs, self.nodes)
        self._inputs = inputs
        self._sites = sites
        self._packs = packs or self.plans
        self._counts: dict[str, int] = {}
        self._ids: set[str] = set()
        self._lock = threading.RLock()
        self._scheduler: Scheduler | None = None

    @property
    def step_name(self) -> str | None:
        """None: no step runs here."""
        return None

    @property
    def symbols(self) -> dict[str, Symbol]:
        """A stand-in for each parameter of the pipeline."""
        return {name: Symbol(name) for name in self.pipeline.inputs.parameters}

    @property
    def scheduler(self) -> Scheduler:
        """What runs steps beside this body; made on first use."""
        with self._lock:
            if self._scheduler is None:
                self._scheduler = Scheduler(self.run)
            return self._scheduler

    # -- calls --

    def call(
        self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> Any:
        """A step was called in ``frame``."""
        sites = self._sites.get(frame.f_code)
        if sites is not None and frame.f_lasti in sites:
            after, called = self._after(step, kwargs), self._called(step, kwargs)
            frozen = [self.freeze(arg) for arg in args]
            named = {name: self.freeze(value) for name, value in kwargs.items()}
            node = self._node(step, frozen, named, after, called)
            return Deferred(self, Ref(node.index), len(step.outputs))
        if step.is_async and self.pipeline.is_async:
            return self.submit(step, args, kwargs)
        return self._now(step, args, kwargs)

    def _now(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a step on this thread and return its value."""
        after, called = self._after(step, kwargs), self._called(step, kwargs)
        given = [self.real(arg) for arg in args]
        named = {name: self.real(value) for name, value in kwargs.items()}
        node = self._node(step, given, named, after, called)
        task = self.tasks[node.index] = Task(node, lambda: (given, named))
        task.started = True
        try:
            again = partial(perform, self.run, node, given, named)
            reuse = self.run.reuse
            kept = reuse.step(node, again) if reuse is not None else None
            task.value = again() if kept is None else kept
        except BaseException as error:
            task.error = error
            raise
        finally:
            task.done = True
        return self._kept(task)

    def submit(self, step: Step, args: Sequence[Any], kwargs: Mapping[str, Any]) -> StepFuture:
        """Start a step as soon as what it takes is there."""
        named = dict(kwargs)
        after, called = self._after(step, named), self._called(step, named)
        frozen = [self.freeze(arg, futures=True) for arg in args]
        named = {name: self.freeze(value, futures=True) for name, value in named.items()}
        node = self._node(step, frozen, named, after, called)
        return StepFuture(self.scheduler, self._schedule(node, help_now=True), self._kept)

    def map(self, step: Step, args: Sequence[Any], kwargs: Mapping[str, Any]) -> StepFutures:
        """Start a step once per item."""
        columns = [*args, *kwargs.values()]
        lists = [None if isinstance(c, unmapped) else self._items(step, c) for c in columns]
        lengths = {len(items) for items in lists if items is not None}
        if len(lengths) != 1:
            found = " and ".join(map(str, sorted(lengths))) or "none"
            raise UsageError(
                f"`{step.name}.map()` needs iterables of one length, but got {found}.",
                hint="Wrap what every call gets as it is: unmapped(value).",
            )
        futures = []
        for index in range(lengths.pop()):
            row = [
                column.value if items is None else items[index]
                for column, items in zip(columns, lists, strict=True)
            ]
            named = dict(zip(kwargs, row[len(args) :], strict=True))
            futures.append(self.submit(step, row[: len(args)], named))
        return StepFutures(futures)

    def _items(self, step: Step, column: Any) -> list[Any]:
        if type(column) is not StepFutures:
            column = self.real(column)
        try:
            return list(column)
        except TypeError:
            raise UsageError(
                f"`{step.name}.map()` got a {type(column).__name__}, which has no items.",
                hint="Wrap what every call gets as it is: unmapped(value).",
            ) from None

    def _after(self, step: Step, kwargs: dict[str, Any]) -> list[int]:
        """Nodes named by ``after=``, which is ours unless the step has such a parameter."""
        if "after" not in kwargs or "after" in step.inputs.parameters:
            return []
        given = kwargs.pop("after")
        found = []
        for item in given if isinstance(given, list | tuple) else [given]:
            if isinstance(item, str):
                ups = [node.index for node in self.nodes if node.name == item]
            else:
                ups = self.lineage.origin(self.freeze(item, futures=True))[1]
            if not ups:
                known = ", ".join(node.name for node in self.nodes) or "none"
                raise DefinitionError(
                    f"`after` of step `{step.name}` takes what a step before it returned, or its "
                    f"name, not {item!r}.",
                    hint=f"Steps before it: {known}.",
                )
            found += ups
        return found

    def _called(self, step: Step, kwargs: dict[str, Any]) -> str | None:
        """The name of this call by ``id=``, which is ours unless the step has such a parameter."""
        if "id" not in kwargs or "id" in step.inputs.parameters:
            return None
        if any(p.kind is p.VAR_KEYWORD for p in step.inputs.parameters.values()):
            return None
        name = check_name(str(kwargs.pop("id")), "step")
        with self._lock:
            if any(node.name == name for node in self.nodes):
                raise DefinitionError(
                    f"Pipeline `{self.pipeline.name}` calls two steps `{name}`.",
                    hint="Give each its own `id`.",
                )
            self._ids.add(name)
        return name

    # -- nodes --

    def _node(
        self,
        step: Step,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        after: Sequence[int],
        called: str | None = None,
    ) -> Node:
        upstream: dict[int, None] = dict.fromkeys(after)
        inputs: dict[str, str] = {}
        for name, value in self._bound(step, args, kwargs):
            inputs[name], found = self.lineage.origin(value)
            upstream.update(dict.fromkeys(found))
        ordered = sorted(upstream)
        with self._lock:
            names = [self.nodes[up].name for up in ordered]
            name = called or self._next(step.name)
            node = Node(len(self.nodes), name, step, args, kwargs, inputs, ordered, names)
            self.nodes.append(node)
        return node

    def _next(self, name: str) -> str:
        """The name of one more call of the step ``name``; none that an ``id`` has."""
        while True:
            count = self._counts[name] = self._counts.get(name, 0) + 1
            found = name if count == 1 else f"{name}_{count}"
            if found not in self._ids:
                return found

    def _bound(
        self, step: Step, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        """Parameter names and values of a call. Raises :class:`DefinitionError` for one that does
        not fit."""
        if len(args) <= len(step.positional):
            pairs = [*zip(step.positional, args, strict=False), *kwargs.items()]
            if step.fits([name for name, _ in pairs]):
                return pairs
        parameters = step.inputs.parameters
        try:
            bound = step.inputs.bind(*args, **kwargs).arguments
            return [(name, _gathered(parameters[name], value)) for name, value in bound.items()]
        except TypeError as error:
            wrong = next((name for name in kwargs if name not in parameters), None)
            hint = close_match(wrong, parameters) if wrong is not None else None
            raise DefinitionError(
                f"Pipeline `{self.pipeline.name}` ({self.pipeline.source.place}) calls step "
                f"`{step.name}` ({step.source.place}) in a way that does not fit: {error}.",
                hint=hint or f"It takes {step.name}{step.inputs}.",
            ) from None

    # -- values --

    def freeze(self, value: Any, *, futures: bool = False) -> Any:
        """``value`` with references for what is not there yet. A future is waited for, unless
        ``futures`` may be references too."""
        kind = type(value)
        if kind is Deferred:
            return ref_of(value)
        if kind is Symbol:
            return Input(value.name)
        if kind is StepFuture:
            return Ref(value.task.node.index) if futures else value.result()
        if kind is StepFutures:
            return self.freeze(list(value), futures=futures)
        if kind not in (list, tuple, dict) or not (self._packs or futures):
            return value
        if self.lineage.knows(value):
            return value
        items = list(value.values()) if kind is dict else list(value)
        frozen = [self.freeze(item, futures=futures) for item in items]
        mutable = self.plans and kind is not tuple  # must be made anew in each run
        if not mutable and all(new is old for new, old in zip(frozen, items, strict=True)):
            return value
        return Pack(kind, tuple(frozen), tuple(value) if kind is dict else ())

    def real(self, value: Any) -> Any:
        """``value`` with everything in it that is not there yet waited for."""
        kind = type(value)
        if kind is Deferred:
            return resolve(ref_of(value), self, self._inputs)
        if kind is StepFuture or kind is StepFutures:
            return value.result()
        if kind in (list, tuple) and any(type(item) in _LATER for item in value):
            return kind(self.real(item) for item in value)
        if kind is dict and any(type(item) in _LATER for item in value.values()):
            return {key: self.real(item) for key, item in value.items()}
        return value

    def __getitem__(self, index: int) -> Any:
        """The value of a node; it runs now if it has not run yet."""
        task = self._started(index)
        if not task.done:
            self.scheduler.until(task)
        if task.error is not None:
            raise task.error
        return self._kept(task)

    def _started(self, index: int) -> Task:
        task = self.tasks.get(index)
        return task if task is not None else self._schedule(self.nodes[index])

    def _kept(self, task: Task) -> Any:
        if type(task.value) is Kept:
            task.value = task.value.value
        self.lineage.returned(task.node, task.value)
        return task.value

    def _schedule(self, node: Node, *, help_now: bool = False) -> Task:
        def load() -> tuple[list[Any], dict[str, Any]]:
            args = [resolve(arg, self, self._inputs) for arg in node.args]
            named = node.kwargs.items()
            return args, {name: resolve(arg, self, self._inputs) for name, arg in named}

        upstream = [self._started(up) for up in node.upstream]
        task = self.scheduler.add(node, load, upstream, help_now=help_now)
        self.tasks[node.index] = task
        return task

    # -- the end --

    def graph(self, returned: Any) -> Graph:
        """The graph of what was called, for a body that returned ``returned``."""
        return Graph(self.nodes, self.freeze(returned))

    def finish(self, returned: Any) -> Any:
        """Run what is left and wait for all of it. Returns what the body returned, with nothing in
        it that is not there; raises what the first failed step raised."""
        for node in self.nodes:
            self._started(node.index)
        if self._scheduler is not None:
            self._scheduler.drain()
            self._scheduler.close()
            raise_first([task for task in self._scheduler.tasks if not task.seen])
        return resolve(self.freeze(returned, futures=True), self, self._inputs)

    def give_up(self, error: BaseException) -> None:
        """The body raised: start nothing more, and wait for what runs to end, or to stop."""
        for node in self.nodes:
            if node.index not in self.tasks:
                self.run.skipped(node)
        if self._scheduler is None:
            return
        if isinstance(error, Exception) and self._scheduler.mode == "continue_on_failure":
            self._scheduler.drain()
        else:
            self._scheduler.abandon("failed" if isinstance(error, Exception) else "cancelled")
        self._scheduler.close()


def _gathered(parameter: inspect.Parameter, value: Any) -> Any:
    """The value of a ``*args`` or ``**kwargs`` parameter, so that what is inside is seen."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        return Pack(tuple, value)
    if parameter.kind is parameter.VAR_KEYWORD:
        return Pack(dict, tuple(value.values()), tuple(value))
    return value


def raise_first(tasks: Sequence[Task]) -> None:
    """Raise what went wrong first in ``tasks``: an error rather than that it was stopped or
    skipped."""
    errors = [task.error for task in tasks if task.error is not None]
    for error in errors:
        if not isinstance(error, StepCancelled):
            raise error
    if errors:
        raise errors[0]
