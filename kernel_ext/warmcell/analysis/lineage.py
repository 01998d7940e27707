"""Where the arguments of a step come from, in the notation of :class:`warmcell.records.StepRecord`.

References say it themselves. In an eager body there are only values, so a value is recognised by
identity: it is what a step returned, a part of that, or an input. A constant of the body is never
recognised, as the same object may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmcell.graph import Input, Node, Pack, Ref

__all__ = ["Lineage"]

ITEMS = 64  # of a list or dict, to look at

Origin = tuple[list[str], list[int]]  # labels, and the indexes of the nodes they stand for


class Lineage:
    """What is known about the values of one run of a body."""

    def __init__(self, function: Any, inputs: Mapping[str, Any], nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._known: dict[int, tuple[Any, str, int]] = {}  # holds the value: ids are not reused
        self._inputs = {id(value): name for name, value in inputs.items()}
        code = getattr(function, "__code__", None)
        self._constants = {id(const) for const in code.co_consts} if code is not None else set()

    def knows(self, value: Any) -> bool:
        """Whether ``value`` is an input or what a step returned."""
        return id(value) in self._inputs or id(value) in self._known

    def origin(self, value: Any) -> tuple[str, list[int]]:
        """Where a value or a reference comes from, and from which nodes; ``"="`` for a literal or
        something unknown, several labels with commas for a collection."""
        labels, nodes = self._origin(value)
        return ", ".join(dict.fromkeys(labels)) or "=", nodes

    def _origin(self, value: Any) -> Origin:
        kind = type(value)
        if kind is Ref:
            return [self._label(value)], [value.node]
        if kind is Input:
            return [f"${value.name}"], []
        if kind is Pack:
            return _joined([self._origin(item) for item in value.items])
        return self._recognised(value)

    def _label(self, ref: Ref) -> str:
        node = self._nodes[ref.node]
        outputs, path = node.step.outputs, ref.path
        label = f"{node.name}.{outputs[0].name}" if len(outputs) == 1 else str(node.name)
        if len(outputs) > 1 and path and path[0].kind == "item":
            key = path[0].key
            if isinstance(key, int) and -len(outputs) <= key < len(outputs):
                label, path = f"{node.name}.{outputs[key].name}", path[1:]
        return label + "".join(f"[{p.key!r}]" if p.kind == "item" else f".{p.key}" for p in path)

    def _recognised(self, value: Any, *, inside: bool = True) -> Origin:
        if id(value) in self._constants:
            return [], []
        if (known := self._known.get(id(value))) is not None:
            return [known[1]], [known[2]]
        if (name := self._inputs.get(id(value))) is not None:
            return [f"${name}"], []
        if inside and self._known and type(value) in (list, tuple, dict) and len(value) <= ITEMS:
            items = value.values() if type(value) is dict else value
            return _joined([self._recognised(item, inside=False) for item in items])
        return [], []

    def returned(self, node: Node, value: Any) -> None:
        """A step returned ``value``: recognise it, its outputs, and the items of a small one."""
        outputs = node.step.outputs
        if len(outputs) > 1:
            self._remember(value, node, node.name)
            for output, part in zip(outputs, value, strict=False):
                self._remember(part, node, f"{node.name}.{output.name}")
            return
        label = f"{node.name}.{outputs[0].name}" if outputs else node.name
        self._remember(value, node, label)
        if type(value) in (list, tuple, dict) and len(value) <= ITEMS:
            pairs = value.items() if type(value) is dict else enumerate(value)
            for key, item in pairs:
                if not self.knows(item):
                    self._remember(item, node, f"{label}[{key!r}]")

    def _remember(self, value: Any, node: Node, label: str) -> None:
        self._known[id(value)] = (value, label, node.index)


def _joined(origins: list[Origin]) -> Origin:
    """The origin of a collection."""
    return (
        [label for labels, _ in origins for label in labels],
        [node for _, nodes in origins for node in nodes],
    )
