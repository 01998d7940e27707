"""What the names in the body of a pipeline mean: which of them are steps."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

from warmcell.steps import Step

__all__ = ["UNKNOWN", "Definition", "Names", "local_names", "lookup"]

Definition = ast.FunctionDef | ast.AsyncFunctionDef
UNKNOWN = object()


def lookup(function: Callable[..., Any], name: str) -> Any:
    """What ``name`` means inside ``function`` now: a closure cell, a global or a builtin, or an
    attribute of a module (``"module.name"``). :data:`UNKNOWN` if it means nothing."""
    name, _, attribute = name.partition(".")
    value = _plain(function, name)
    while attribute:
        part, _, attribute = attribute.partition(".")
        value = getattr(value, part, UNKNOWN) if isinstance(value, ModuleType) else UNKNOWN
    return value


def _plain(function: Any, name: str) -> Any:
    code: CodeType = function.__code__
    if code.co_freevars and name in code.co_freevars:
        try:
            return function.__closure__[code.co_freevars.index(name)].cell_contents
        except ValueError:
            return UNKNOWN
    scope: dict[str, Any] = function.__globals__
    value = scope.get(name, UNKNOWN)
    return getattr(builtins, name, UNKNOWN) if value is UNKNOWN else value


class Names:
    """The names of one body. ``used`` are those from outside of it, with dots for attributes of
    modules; ``steps`` the steps among what they mean, in the order of the text."""

    def __init__(self, function: Callable[..., Any], definition: Definition) -> None:
        self.function = function
        self.local = local_names(definition)
        self.used: dict[str, None] = {}
        self.steps: list[Step] = []
        for node in ast.walk(definition):
            if isinstance(node, ast.Name | ast.Attribute):
                value = self.meaning(node)
                if isinstance(value, Step) and not any(value is step for step in self.steps):
                    self.steps.append(value)

    def meaning(self, node: ast.expr) -> Any:
        """What a name, or an attribute of a module, means outside the body."""
        name = self._dotted(node)
        if name is None or name.partition(".")[0] in self.local:
            return UNKNOWN
        if "." in name and not isinstance(
            lookup(self.function, name.rpartition(".")[0]), ModuleType
        ):
            return UNKNOWN
        self.used[name] = None
        return lookup(self.function, name)

    def _dotted(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute) and (owner := self._dotted(node.value)) is not None:
            return f"{owner}.{node.attr}"
        return None

    def step(self, node: ast.expr) -> Step | None:
        """The step that ``node`` names, also as ``step.with_options(...)``."""
        value = self.meaning(node)
        if isinstance(value, Step):
            return value
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "with_options"
        ):
            return self.step(node.func.value)
        return None


def local_names(definition: Definition) -> set[str]:
    """Names that the body binds, parameters included."""
    names = parameters(definition)
    declared: set[str] = set()
    for node in ast.walk(definition):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            declared.update(node.names)
        elif node is not definition:
            names |= bound_by(node)
    return names - declared


def parameters(definition: Definition) -> set[str]:
    """Names of the parameters."""
    args = definition.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return {arg.arg for arg in every if arg is not None}


def bound_by(node: ast.AST) -> set[str]:
    """Names that an import, a definition or an ``except`` binds."""
    if isinstance(node, ast.alias):
        return {(node.asname or node.name).split(".")[0]}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.ExceptHandler) and node.name:
        return {node.name}
    return set()
