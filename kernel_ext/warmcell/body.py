"""The body of a pipeline while it runs: what a step call inside it does.

A call that the analysis knows is deferred: it becomes a node and returns a :class:`Deferred`. Any
other one runs at once and returns its value; what flowed is then known from the identity of values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from warmcell.attempts import perform
from warmcell.errors import DefinitionError, UsageError
from warmcell.futures import StepFuture, StepFutures
from warmcell.graph import Graph, Input, Node, Pack, Part, Ref, refs, resolve
from warmcell.options import close_match
from warmcell.scheduler import Scheduler, StepSkipped, Task
from warmcell.steps import Step, unmapped

if TYPE_CHECKING:
    from warmcell.execution import Execution
    from warmcell.pipelines import Pipeline

ITEMS = 64  # of a list or dict that a step returns, to recognise them later


class Body:
    """One run of a body. With ``run`` None it only plans: inputs are then :class:`Input`."""

    step_name = None
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
        if run is not None:
            self.run = run
        self._plans = run is None
        self.pending: dict[str, str] | None = None
        self.nodes: list[Node] = []
        self.tasks: list[Task] = []
        self._sites = sites
        self._packs = packs or run is None
        self._inputs = inputs
        self._named: dict[str, int] = {}
        self._scheduler: Scheduler | None = None
        self._known: dict[int, tuple[Any, int, str]] = {}
        self._known_inputs = {id(value): name for name, value in inputs.items()}
        self._constants = {
            id(const) for const in getattr(pipeline.function, "__code__", _NONE).co_consts
        }

    @classmethod
    def planning(cls, pipeline: Pipeline, sites: Mapping[CodeType, frozenset[int]]) -> Body:
        """A body that runs no step: its inputs are :attr:`symbols`."""
        return cls(pipeline, None, {}, sites)

    @property
    def symbols(self) -> dict[str, Symbol]:
        """A symbol for each parameter of the pipeline."""
        return {name: Symbol(name) for name in self.pipeline.inputs.parameters}

    # -- calls --

    def call(
        self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any], frame: FrameType
    ) -> Any:
        """A step was called in ``frame``."""
        sites = self._sites.get(frame.f_code)
        if sites is not None and frame.f_lasti in sites:
            return Deferred(self, Ref(self._defer(step, args, kwargs).index), len(step.outputs))
        if step.is_async and self.pipeline.is_async:
            return self.submit(step, args, kwargs)
        return self._now(step, args, kwargs)

    def _defer(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Node:
        after = self._after(step, kwargs)
        frozen = [self.freeze(arg) for arg in args]
        named = {name: self.freeze(value) for name, value in kwargs.items()}
        return self._node(step, frozen, named, after)

    def _now(self, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a step on this thread and return its value."""
        after = self._after(step, kwargs)
        args = tuple(self.real(arg) for arg in args)
        kwargs = {name: self.real(value) for name, value in kwargs.items()}
        node = self._node(step, args, kwargs, after)
        task = Task(node, lambda: (args, kwargs))
        task.started = True
        self.tasks.append(task)
        try:
            task.value = perform(self.run, node, args, kwargs)
        except BaseException as error:
            task.error = error
            raise
        finally:
            task.done = True
        return self.keep(task)

    def submit(self, step: Step, args: Sequence[Any], kwargs: Mapping[str, Any]) -> StepFuture:
        """Start a step once what it takes is there."""
        named = dict(kwargs)
        after = self._after(step, named)
        sources = [self.freeze(arg, futures=True) for arg in args]
        named = {name: self.freeze(value, futures=True) for name, value in named.items()}
        node = self._node(step, sources, named, after)
        task = self._schedule(node, help_now=True)
        return StepFuture(self.scheduler, task, self.keep)

    def map(self, step: Step, args: Sequence[Any], kwargs: Mapping[str, Any]) -> StepFutures:
        """Start a step once per item."""
        if self._sites:
            raise UsageError("`.map()` works in the body of a pipeline, not in a function of it.")
        columns = [*args, *kwargs.values()]
        lists = [
            None if isinstance(column, unmapped) else self._items(step, column)
            for column in columns
        ]
        lengths = {len(column) for column in lists if column is not None}
        if len(lengths) != 1:
            raise UsageError(
                f"`{step.name}.map()` needs iterables of one length, got "
                f"{sorted(lengths) or 'none'}.",
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
        if isinstance(column, StepFuture | Deferred):
            column = self.real(column)
        try:
            return list(column)
        except TypeError:
            raise UsageError(
                f"`{step.name}.map()` got a {type(column).__name__}, which has no items.",
                hint="Wrap what every call gets as it is: unmapped(value).",
            ) from None

    # -- nodes --

    def _node(
        self, step: Step, args: Sequence[Any], kwargs: dict[str, Any], after: Sequence[int]
    ) -> Node:
        upstream: dict[int, None] = dict.fromkeys(after)
        inputs: dict[str, str] = {}
        for name, value in self._bound(step, args, kwargs):
            source, ups = self._source(value)
            inputs[name] = source
            for up in ups:
                upstream[up] = None
        count = self._named[step.name] = self._named.get(step.name, 0) + 1
        name = step.name if count == 1 else f"{step.name}_{count}"
        ordered = sorted(upstream)
        node = Node(
            len(self.nodes), name, step, args, kwargs, inputs, ordered,
            [self.nodes[up].name for up in ordered],
        )  # fmt: skip
        self.nodes.append(node)
        return node

    def _bound(
        self, step: Step, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> list[tuple[str, Any]]:
        """Parameter names and values of a call; raises for one that does not fit."""
        names = step.positional
        if len(args) <= len(names):
            pairs = [*zip(names, args, strict=False), *kwargs.items()]
            given = dict(pairs)
            if len(given) == len(pairs) and step.fits(given):
                return pairs
        try:
            bound = step.inputs.bind(*args, **kwargs)
        except TypeError as error:
            wrong = next((name for name in kwargs if name not in step.inputs.parameters), None)
            hint = close_match(wrong, step.inputs.parameters) if wrong is not None else None
            raise DefinitionError(
                f"Pipeline `{self.pipeline.name}` ({self.pipeline.source.place}) calls step "
                f"`{step.name}` ({step.source.place}) in a way that does not fit: {error}.",
                hint=hint or f"It takes {step.name}{step.inputs}.",
            ) from error
        return list(bound.arguments.items())

    def _source(self, value: Any) -> tuple[str, list[int]]:
        """Where a value comes from, in the notation of records, and the nodes it comes from."""
        kind = type(value)
        if kind is Ref:
            return self._label(value), [value.node]
        if kind is Input:
            return f"${value.name}", []
        if kind is Pack:
            found = [self._source(item) for item in value.items]
            labels = dict.fromkeys(label for label, _ in found if label != "=")
            return ", ".join(labels) or "=", [up for _, ups in found for up in ups]
        return self._recognise(value)

    def _label(self, ref: Ref) -> str:
        node = self.nodes[ref.node]
        outputs = node.step.outputs
        path = list(ref.path)
        output = outputs[0].name if len(outputs) == 1 else None
        if len(outputs) > 1 and path and path[0].kind == "item":
            key = path[0].key
            if isinstance(key, int) and -len(outputs) <= key < len(outputs):
                output = outputs[key].name
                path = path[1:]
        label = f"{node.name}.{output}" if output else node.name
        return label + "".join(f"[{p.key!r}]" if p.kind == "item" else f".{p.key}" for p in path)

    def _recognise(self, value: Any, depth: int = 1) -> tuple[str, list[int]]:
        """A plain value: is it what a step returned, or an input? A constant is neither."""
        if id(value) in self._constants:
            return "=", []
        known = self._known.get(id(value))
        if known is not None:
            return known[2], [known[1]]
        name = self._known_inputs.get(id(value))
        if name is not None:
            return f"${name}", []
        if depth and self._known and type(value) in (list, tuple, dict) and len(value) <= ITEMS:
            items = value.values() if type(value) is dict else value
            found = [self._recognise(item, depth - 1) for item in items]
            labels = dict.fromkeys(label for label, _ in found if label != "=")
            if labels:
                return ", ".join(labels), [up for _, ups in found for up in ups]
        return "=", []

    def keep(self, task: Task) -> Any:
        """Remember the value of a task, to recognise it when it is passed on; returns it."""
        node, value = task.node, task.value
        outputs = node.step.outputs
        if len(outputs) == 1:
            self._remember(value, node, f"{node.name}.{outputs[0].name}")
        else:
            self._remember(value, node, node.name)
            for output, part in zip(outputs, value or (), strict=False):
                self._remember(part, node, f"{node.name}.{output.name}")
        if len(outputs) == 1 and type(value) in (list, tuple, dict) and len(value) <= ITEMS:
            pairs = value.items() if type(value) is dict else enumerate(value)
            for key, item in pairs:
                if id(item) not in self._known:
                    self._remember(item, node, f"{node.name}.{outputs[0].name}[{key!r}]")
        return value

    def _remember(self, value: Any, node: Node, label: str) -> None:
        if value is not None and value is not True and value is not False:
            self._known[id(value)] = (value, node.index, label)  # held: ids are not reused
        elif id(value) not in self._constants:
            self._known[id(value)] = (value, node.index, label)

    def _after(self, step: Step, kwargs: dict[str, Any]) -> list[int]:
        """Nodes named by ``after=``, which is ours unless the step has such a parameter."""
        if "after" not in kwargs or "after" in step.inputs.parameters:
            return []
        given = kwargs.pop("after")
        found = []
        for item in given if isinstance(given, list | tuple) else [given]:
            if isinstance(item, Deferred):
                found.append(item._ref.node)
            elif isinstance(item, StepFuture):
                self._scheduler and self.scheduler.until(item.task)
                found.append(item.task.node.index)
            else:
                ups = self._recognise(item)[1]
                if not ups:
                    raise DefinitionError(
                        f"`after` of step `{step.name}` takes the result of a step before it."
                    )
                found += ups
        return found

    # -- values --

    def freeze(self, value: Any, *, futures: bool = False) -> Any:
        """``value`` with references for what is not there yet."""
        kind = type(value)
        if kind is Deferred:
            return value._ref
        if kind is Symbol:
            return Input(value.name)
        if kind is StepFuture:
            return Ref(value.task.node.index) if futures else value.result()
        if kind is StepFutures:
            return self.freeze(list(value), futures=futures)
        if not (self._packs or futures) or kind not in (list, tuple, dict):
            return value
        if id(value) in self._known_inputs or id(value) in self._known:
            return value
        items = list(value.values()) if kind is dict else list(value)
        frozen = [self.freeze(item, futures=futures) for item in items]
        if self._plans and kind is not tuple:
            return Pack(kind, tuple(frozen), tuple(value) if kind is dict else ())
        if all(new is old for new, old in zip(frozen, items, strict=True)):
            return value
        return Pack(kind, tuple(frozen), tuple(value) if kind is dict else ())

    def real(self, value: Any) -> Any:
        """``value`` with everything in it that is not there yet waited for."""
        kind = type(value)
        if kind is Deferred:
            return resolve(value._ref, _Values(self), self._inputs)
        if kind is StepFuture or kind is StepFutures:
            return value.result()
        if kind in (list, tuple) and any(type(v) in _LATER for v in value):
            return kind(self.real(item) for item in value)
        if kind is dict and any(type(v) in _LATER for v in value.values()):
            return {key: self.real(item) for key, item in value.items()}
        return value

    def value(self, index: int) -> Any:
        """The value of a node, run now if it has not run yet."""
        task = self._start(index)
        self.scheduler.until(task)
        if task.error is not None:
            raise task.error
        return self.keep(task)

    def _start(self, index: int) -> Task:
        for task in self.tasks:
            if task.node.index == index:
                return task
        node = self.nodes[index]
        for up in node.upstream:
            self._start(up)
        return self._schedule(node)

    def _schedule(self, node: Node, *, help_now: bool = False) -> Task:
        by_index = {task.node.index: task for task in self.tasks}
        needed = [by_index[up] for up in node.upstream if up in by_index]

        def load() -> tuple[Any, dict[str, Any]]:
            values = _Values(self)
            return (
                [resolve(arg, values, self._inputs) for arg in node.args],
                {name: resolve(arg, values, self._inputs) for name, arg in node.kwargs.items()},
            )

        task = self.scheduler.add(node, load, needed, help_now=help_now)
        self.tasks.append(task)
        return task

    @property
    def scheduler(self) -> Scheduler:
        """What runs steps beside this body; made on first use."""
        if self._scheduler is None:
            self._scheduler = Scheduler(self.run)
        return self._scheduler

    def graph(self, returned: Any) -> Graph:
        """The graph of what was called, for a body that returned ``returned``."""
        return Graph(self.nodes, self.freeze(returned))

    @property
    def unstarted(self) -> list[Node]:
        """Nodes that were deferred and not forced."""
        started = {task.node.index for task in self.tasks}
        return [node for node in self.nodes if node.index not in started]

    def finish(self) -> BaseException | None:
        """Run what is left, wait for all; returns the first error of a step, if any."""
        for node in self.unstarted:
            self._schedule(node)
        if self._scheduler is not None:
            self._scheduler.drain()
            self._scheduler.close()
        errors = (task.error for task in self.tasks)
        return next((e for e in errors if e is not None and not isinstance(e, StepSkipped)), None)

    def give_up(self) -> None:
        """The body raised: start nothing more, and wait for a bounded time for what runs."""
        started = {task.node.index for task in self.tasks}
        for node in self.nodes:
            if node.index not in started:
                self.run.skipped(node)
        if self._scheduler is not None:
            self._scheduler.stop()
            self._scheduler.drain()
            self._scheduler.close()

    def settle(self, returned: Any) -> Any:
        """What the body returned, with everything in it that was not there yet."""
        return resolve(self.freeze(returned, futures=True), _Values(self), self._inputs)


class _Values:
    """The values of a body's nodes, by index, for :func:`warmcell.graph.resolve`."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __getitem__(self, index: int) -> Any:
        for task in self._body.tasks:
            if task.node.index == index and task.done and task.error is None:
                return task.value
        return self._body.value(index)


class Symbol:
    """Stands for an input while a body is planned."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _NoCode:
    co_consts = ()


_NONE = _NoCode()


class Deferred:
    """The result of a step that has not run yet.

    ``[i]`` and ``.field`` of it are deferred too. Anything else that needs the value runs the step
    first: the analysis keeps such bodies from being deferred, and this is the net below it.
    """

    __slots__ = ("_body", "_count", "_ref")

    _body: Body
    _ref: Ref
    _count: int

    def __init__(self, body: Body, ref: Ref, count: int = 1) -> None:
        object.__setattr__(self, "_body", body)
        object.__setattr__(self, "_ref", ref)
        object.__setattr__(self, "_count", count)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            return getattr(_value(self), name)
        return Deferred(self._body, Ref(self._ref.node, (*self._ref.path, Part("field", name))))

    def __getitem__(self, key: Any) -> Deferred:
        return Deferred(self._body, Ref(self._ref.node, (*self._ref.path, Part("item", key))))

    def __iter__(self) -> Any:
        if self._count > 1:
            return iter([self[index] for index in range(self._count)])
        return iter(_value(self))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_value(self), name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(_value(self)) if not self._body._plans else Deferred

    def __hash__(self) -> int:
        return hash(_value(self))


_LATER = (Deferred, StepFuture, StepFutures)


def _value(deferred: Deferred) -> Any:
    return deferred._body.real(deferred)


def _forced(name: str) -> Callable[..., Any]:
    def method(self: Deferred, *args: Any) -> Any:
        import operator

        value = _value(self)
        args = tuple(_value(arg) if type(arg) is Deferred else arg for arg in args)
        if name in ("__repr__", "__str__", "__format__", "__bool__"):
            return {"__repr__": repr, "__str__": str, "__format__": format, "__bool__": bool}[name](
                value, *args
            )
        if name.startswith("__r") and name not in ("__round__", "__reversed__", "__rshift__"):
            return getattr(operator, f"__{name[3:]}")(args[0], value)
        if hasattr(operator, name):
            return getattr(operator, name)(value, *args)
        return getattr(value, name)(*args)

    method.__name__ = name
    return method


for _name in (
    "repr str format bool len contains call int float complex index round reversed "
    "eq ne lt le gt ge add sub mul truediv floordiv mod pow matmul and or xor lshift rshift "
    "radd rsub rmul rtruediv rfloordiv rmod rpow rmatmul rand ror rxor rlshift rrshift "
    "neg pos abs invert setitem delitem enter exit next array bytes fspath"
).split():
    setattr(Deferred, f"__{_name}__", _forced(f"__{_name}__"))
