"""Reading the body of a pipeline: can its step results be deferred?

They can while they are only passed to steps, returned, put into list, tuple or dict displays, or
taken apart by ``[i]`` and ``.field``. Then the graph is known before a step runs. Anything else
(``if``, ``len``, an f-string, ``==``, a call of another function) makes the run *eager*: each step
runs where it is called, and the body is plain Python.

The text is compared with the code object first. Where they differ, or where there is no text, the
pipeline is eager: that is always right, only not parallel by itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from warmcell.analysis.codes import compiled, definition_of, same, sites
from warmcell.analysis.meaning import (
    UNKNOWN,
    Definition,
    Names,
    bound_by,
    local_names,
    lookup,
    parameters,
)
from warmcell.analysis.reading import Eager, Reading
from warmcell.analysis.straight import straight
from warmcell.steps import Step


@dataclass
class Analysis:
    """What is known about a body. ``mode`` is ``"planned"`` (the graph never changes), ``"traced"``
    (anew for each run) or ``"eager"``, for ``reason``. ``sites`` says which call instructions may
    be deferred, per code object; ``resolved`` is what the names meant; ``definition`` and ``names``
    are there where the text is."""

    mode: str
    reason: str | None = None
    sites: dict[CodeType, frozenset[int]] = field(default_factory=dict)
    packs: bool = False
    resolved: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    definition: Definition | None = None
    names: Names | None = None

    def holds(self, function: Any) -> bool:
        """Whether the names still mean what they meant. On the path of every run."""
        scope = function.__globals__
        for name, value in self.resolved.items():
            if scope.get(name) is not value and lookup(function, name) is not value:
                return False
        return True


def analyse(function: Callable[..., Any], text: str, lineno: int = 1) -> Analysis:
    """Analyse the body of ``function`` whose source is ``text``, which begins at ``lineno``."""
    code = getattr(function, "__code__", None)
    definition = definition_of(function, text)
    if code is None or definition is None:
        return Analysis("eager", "its source is not at hand")
    twin = compiled(definition, code.co_freevars)
    reading = Reading(function, definition)
    analysis = Analysis("eager", definition=definition, names=reading)
    try:
        if isinstance(definition, ast.AsyncFunctionDef):
            raise Eager(definition, "it is an async function")
        reading.body(definition.body)
        analysis.mode = "planned" if straight(reading, definition) else "traced"
    except Eager as eager:
        line = getattr(eager.node, "lineno", definition.lineno) + lineno - 1
        analysis.reason = f"line {line}: {eager}"
    if analysis.mode != "eager":
        if twin is None or not same(twin, code):
            analysis.mode, analysis.reason = "eager", "its source is not at hand"
        else:
            analysis.sites = dict(sites(twin, code, reading.calls))
            analysis.packs = reading.packs
    analysis.resolved = {name: lookup(function, name) for name in reading.used}
    analysis.steps = reading.steps
    return analysis


def unknown_calls(function: Callable[..., Any], definition: Definition) -> list[ast.Name]:
    """Names that the body calls and that mean nothing now, outside of any ``try``."""
    names = Names(function, definition)
    found: list[ast.Name] = []
    left: list[ast.AST] = list(reversed(definition.body))
    while left:
        node = left.pop()
        if isinstance(node, ast.Try | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func
            if name.id not in names.local and names.meaning(name) is UNKNOWN:
                found.append(name)
        left.extend(reversed(list(ast.iter_child_nodes(node))))
    return found


def used_before_made(definition: Definition) -> ast.Name | None:
    """A variable that a plain statement of the body reads and only a later one assigns."""
    made = parameters(definition)
    later = local_names(definition) - made
    for statement in definition.body:
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        stored = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return):
            inner = stored - _targets(statement)  # bound by a comprehension or by `:=`
            for node in names:
                if isinstance(node.ctx, ast.Load) and node.id in later - made - inner:
                    return node
        made |= stored
        for part in ast.walk(statement):
            made |= bound_by(part)
    return None


def _targets(statement: ast.stmt) -> set[str]:
    """Names that a statement itself assigns."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    return {node.id for one in targets for node in ast.walk(one) if isinstance(node, ast.Name)}
