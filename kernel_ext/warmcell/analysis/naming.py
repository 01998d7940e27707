"""What the outputs of a pipeline are called, read from its ``return`` statements.

One returned result has the name of its output; several have one each; a returned dict of results
gives its keys; anything else is ``output``. Known without running, so a schema can be made of it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmcell.analysis.meaning import Definition
from warmcell.steps import OutputSpec, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = "output"


@dataclass(frozen=True)
class Shape:
    """What a body returns. ``kind`` is ``"none"``, ``"one"``, ``"tuple"`` or ``"dict"``."""

    kind: str
    outputs: tuple[OutputSpec, ...] = ()

    def name(self, value: Any) -> dict[str, Any]:
        """Outputs by name, of a body that returned ``value``."""
        names = [output.name for output in self.outputs]
        if self.kind == "one":
            return {names[0]: value}
        if self.kind == "none" and value is None:
            return {}
        if self.kind == "dict" and isinstance(value, dict):
            return {str(key): item for key, item in value.items()}
        if self.kind == "tuple" and isinstance(value, tuple | list) and len(value) == len(names):
            return dict(zip(names, value, strict=True))
        return {DEFAULT: value}


ONE = Shape("one", (OutputSpec(DEFAULT),))
NONE = Shape("none")


def shape_of(definition: Definition, step_of: Callable[[ast.expr], Step | None]) -> Shape:
    """The shape of what ``definition`` returns; ``step_of`` knows which step a name means."""
    reader = _Reader(definition, step_of)
    returned = [node.value for node in _returns(definition) if node.value is not None]
    if not returned:
        return NONE
    shapes = [reader.shape(value).shape for value in returned]
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    if all(shape.kind == "one" for shape in shapes):
        names = {shape.outputs[0].name for shape in shapes}
        return Shape("one", (OutputSpec(names.pop()),)) if len(names) == 1 else ONE
    return ONE


def _returns(node: ast.AST) -> list[ast.Return]:
    """The return statements of a function, without those of functions inside."""
    found: list[ast.Return] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Return):
            found.append(child)
        elif not isinstance(
            child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
        ):
            found += _returns(child)
    return found


@dataclass(frozen=True)
class _Found:
    """A shape, and the step whose result it is, if it is one's."""

    shape: Shape
    step: str | None = None


_OTHER = _Found(ONE)


class _Reader:
    def __init__(
        self,
        definition: Definition,
        step_of: Callable[[ast.expr], Step | None],
    ) -> None:
        self.step_of = step_of
        self.bound: dict[str, list[tuple[ast.expr, int | None, int]]] = {}
        self.stores: dict[str, int] = {}
        for node in ast.walk(definition):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.stores[node.id] = self.stores.get(node.id, 0) + 1
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    self.assigned(target, node.value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self.assigned(node.target, node.value)

    def assigned(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.bound.setdefault(target.id, []).append((value, None, 0))
        elif isinstance(target, ast.Tuple | ast.List):
            for index, part in enumerate(target.elts):
                if isinstance(part, ast.Name):
                    place = (value, index, len(target.elts))
                    self.bound.setdefault(part.id, []).append(place)

    def shape(self, node: ast.expr, depth: int = 8) -> _Found:
        """The shape of an expression."""
        if depth == 0:
            return _OTHER
        match node:
            case ast.Await(value=value):
                return self.shape(value, depth - 1)
            case ast.Call():
                return self.call(node, depth)
            case ast.Name(id=name):
                return self.variable(name, depth)
            case ast.Subscript(value=value, slice=ast.Constant(value=int(index))):
                return self.item(self.shape(value, depth - 1), index)
            case ast.Dict(keys=keys, values=values) if keys:
                return self.mapping(keys, values, depth)
            case ast.Tuple(elts=elts) if elts and not any(
                isinstance(item, ast.Starred) for item in elts
            ):
                return _Found(several([self.shape(item, depth - 1) for item in elts]))
        return _OTHER

    def call(self, node: ast.Call, depth: int) -> _Found:
        func = node.func
        step = self.step_of(func)
        if step is None and isinstance(func, ast.Attribute):
            if func.attr in ("result", "load"):
                return self.shape(func.value, depth - 1)
            step = self.step_of(func.value) if func.attr == "submit" else None
        if step is None:
            return _OTHER
        if len(step.outputs) > 1:
            return _Found(Shape("tuple", step.outputs), step.name)
        return _Found(Shape("one", step.outputs or (OutputSpec(DEFAULT),)), step.name)

    def variable(self, name: str, depth: int) -> _Found:
        places = self.bound.get(name, [])
        if self.stores.get(name) != len(places) or not places:
            return _OTHER
        found = []
        for value, index, count in places:
            shape = self.shape(value, depth - 1)
            if index is not None:
                if shape.shape.kind != "tuple" or len(shape.shape.outputs) != count:
                    return _OTHER
                shape = self.item(shape, index)
            found.append(shape)
        return found[0] if all(one.shape == found[0].shape for one in found) else _OTHER

    def item(self, found: _Found, index: int) -> _Found:
        outputs = found.shape.outputs
        if found.shape.kind == "tuple" and -len(outputs) <= index < len(outputs):
            return _Found(Shape("one", (outputs[index],)), found.step)
        return _OTHER

    def mapping(
        self, keys: Sequence[ast.expr | None], values: list[ast.expr], depth: int
    ) -> _Found:
        found = [self.shape(value, depth - 1) for value in values]
        names = [key.value for key in keys if isinstance(key, ast.Constant)]
        if len(names) != len(keys) or not all(isinstance(name, str) for name in names):
            return _OTHER
        if all(one.step is None for one in found):
            return _OTHER
        outputs = [
            OutputSpec(str(name), one.shape.outputs[0].annotation if one.step else None)
            for name, one in zip(names, found, strict=True)
        ]
        return _Found(Shape("dict", tuple(outputs)))


def several(found: list[_Found]) -> Shape:
    """The shape of a returned tuple: a name for each item, and no name twice."""
    plain = [
        one.shape.outputs[0].name if one.step and one.shape.kind == "one" else None for one in found
    ]
    outputs: list[OutputSpec] = []
    taken: set[str] = set()
    for index, (one, name) in enumerate(zip(found, plain, strict=True)):
        label = name if name is not None else f"{DEFAULT}_{index}"
        if name is not None and plain.count(name) > 1:
            label = f"{one.step}.{name}"
        count = 1
        while label in taken:
            count += 1
            label = f"{one.step}_{count}.{name}" if name else f"{DEFAULT}_{index}_{count}"
        taken.add(label)
        annotation = one.shape.outputs[0].annotation if name is not None else None
        outputs.append(OutputSpec(label, annotation))
    return Shape("tuple", tuple(outputs))
