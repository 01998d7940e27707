"""The graph of a run: which step takes what from where.

Values that are not there yet are named: :class:`Input` is a parameter of the pipeline,
:class:`Ref` the result of a node (or a part of it), :class:`Pack` a list, tuple or dict that holds
such names. Everything else in a node's arguments is the value itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from warmcell.errors import GraphError


class Values(Protocol):
    """The values of nodes, by index."""

    def __getitem__(self, index: int, /) -> Any: ...


Inputs: TypeAlias = Mapping[str, Any]
Getter: TypeAlias = Callable[[Values, Inputs], Any]


class Input(NamedTuple):
    """A parameter of the pipeline, by name."""

    name: str


class Part(NamedTuple):
    """One step into a value: ``kind`` is ``"item"`` for ``[key]`` and ``"field"`` for ``.key``."""

    kind: str
    key: Any


class Ref(NamedTuple):
    """The result of node ``node``, or the part of it at the end of ``path``."""

    node: int
    path: tuple[Part, ...] = ()


class Pack(NamedTuple):
    """A container (``kind`` is list, tuple or dict) with references inside; made anew per run."""

    kind: type
    items: tuple[Any, ...]
    keys: tuple[Any, ...] = ()


class Node:
    """One call of a step. ``inputs`` maps each parameter to where its value comes from, in the
    notation of :class:`warmcell.records.StepRecord`; ``upstream`` are the indexes, ``names`` the
    names of the nodes that it takes results of."""

    __slots__ = ("args", "index", "inputs", "kwargs", "name", "names", "step", "upstream")

    def __init__(
        self,
        index: int,
        name: str,
        step: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        inputs: dict[str, str],
        upstream: Sequence[int],
        names: Sequence[str] = (),
    ) -> None:
        self.index = index
        self.name = name
        self.step = step
        self.args = tuple(args)
        self.kwargs = dict(kwargs)
        self.inputs = inputs
        self.upstream = tuple(upstream)
        self.names = tuple(names)

    def __repr__(self) -> str:
        return f"Node({self.index}, {self.name!r}, upstream={list(self.upstream)})"


class Graph:
    """Nodes in an order in which they can run. ``result`` is what the pipeline returns, with
    references inside. Raises :class:`GraphError` for a cycle or an unknown node."""

    def __init__(self, nodes: Sequence[Node], result: Any = None) -> None:
        self.nodes = tuple(nodes)
        self.result = result
        self.order = _ordered(self.nodes)

    @property
    def levels(self) -> list[list[int]]:
        """Node indexes by level: the nodes of one level do not depend on each other."""
        depth: dict[int, int] = {}
        levels: list[list[int]] = []
        for index in self.order:
            level = 1 + max((depth[up] for up in self.nodes[index].upstream), default=-1)
            depth[index] = level
            if level == len(levels):
                levels.append([])
            levels[level].append(index)
        return levels

    @property
    def linear(self) -> bool:
        """Whether no two nodes could ever run at the same time."""
        return all(len(level) == 1 for level in self.levels)

    @property
    def edges(self) -> list[tuple[str, str]]:
        """Pairs of node names: from, to."""
        return [(self.nodes[up].name, node.name) for node in self.nodes for up in node.upstream]

    def __repr__(self) -> str:
        return f"Graph({[node.name for node in self.nodes]}, edges={self.edges})"


def _ordered(nodes: Sequence[Node]) -> tuple[int, ...]:
    """A topological order, stable: where it can, by index."""
    for node in nodes:
        for up in node.upstream:
            if not 0 <= up < len(nodes):
                raise GraphError(f"Step `{node.name}` depends on a step that is not in the graph.")
    if all(up < node.index for node in nodes for up in node.upstream):
        return tuple(range(len(nodes)))
    order: list[int] = []
    done: set[int] = set()
    left = list(range(len(nodes)))
    while left:
        free = [i for i in left if all(up in done for up in nodes[i].upstream)]
        if not free:
            names = " -> ".join(f"`{nodes[i].name}`" for i in left)
            raise GraphError(
                f"These steps wait for each other: {names}.",
                hint="Break the cycle: a step can only take results of steps before it.",
            )
        order += free
        done.update(free)
        left = [i for i in left if i not in done]
    return tuple(order)


# -- references inside arguments -------------------------------------------------------------


def refs(value: Any) -> Iterator[Ref]:
    """Every :class:`Ref` inside ``value``."""
    if type(value) is Ref:
        yield value
    elif type(value) is Pack:
        for item in value.items:
            yield from refs(item)


def follow(value: Any, path: Sequence[Part]) -> Any:
    """The part of ``value`` at the end of ``path``."""
    for kind, key in path:
        value = value[key] if kind == "item" else getattr(value, key)
    return value


def resolve(value: Any, values: Values, inputs: Inputs) -> Any:
    """``value`` with every reference inside replaced by what it stands for."""
    kind = type(value)
    if kind is Ref:
        result = values[value.node]
        return follow(result, value.path) if value.path else result
    if kind is Input:
        return inputs[value.name]
    if kind is Pack:
        items = [resolve(item, values, inputs) for item in value.items]
        if value.kind is dict:
            return dict(zip(value.keys, items, strict=True))
        return items if value.kind is list else tuple(items)
    return value


def getter(value: Any) -> Getter:
    """:func:`resolve` for one value, prepared: for a graph that is executed again and again."""
    kind = type(value)
    if kind is Input:
        name = value.name
        return lambda values, inputs: inputs[name]
    if kind is Ref and not value.path:
        node = value.node
        return lambda values, inputs: values[node]
    if kind is Ref or kind is Pack:
        return lambda values, inputs: resolve(value, values, inputs)
    return lambda values, inputs: value
