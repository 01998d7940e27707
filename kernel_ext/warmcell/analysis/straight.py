"""Bodies whose graph never changes: step calls on inputs, constants and results, and a return."""

from __future__ import annotations

import ast

from warmcell.analysis.meaning import Definition
from warmcell.analysis.reading import RESULT, Reading
from warmcell.steps import Step


def straight(reading: Reading, definition: Definition) -> bool:
    """Whether the body is only step calls on inputs, constants and results, then a return."""
    if definition.args.vararg is not None or definition.args.kwarg is not None:
        return False
    *first, last = definition.body
    return all(_statement(reading, one) for one in first) and (
        _statement(reading, last) or _last(reading, last)
    )


def _statement(reading: Reading, node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=func) as call):
            return reading.step(func) is not None and _simple(reading, call)
        case ast.Assign(value=value, targets=targets):
            return all(_names_only(target) for target in targets) and _simple(reading, value)
        case ast.AnnAssign(target=ast.Name(), value=ast.expr() as value):
            return _simple(reading, value)
    return False


def _last(reading: Reading, node: ast.stmt) -> bool:
    return isinstance(node, ast.Return) and (node.value is None or _simple(reading, node.value))


def _simple(reading: Reading, node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name in reading.local
        case ast.Call(func=func, args=args, keywords=keywords):
            return (
                isinstance(reading.meaning(func), Step)
                and all(_simple(reading, arg) for arg in args)
                and all(k.arg is not None and _simple(reading, k.value) for k in keywords)
            )
        case ast.Attribute(value=value):
            return reading.kind(value) == RESULT and _simple(reading, value)
        case ast.Subscript(value=value, slice=ast.Constant()):
            return reading.kind(value) == RESULT and _simple(reading, value)
        case ast.List(elts=elts) | ast.Tuple(elts=elts):
            return all(_simple(reading, item) for item in elts)
        case ast.Dict(keys=keys, values=values):
            return all(isinstance(key, ast.Constant) for key in keys) and all(
                _simple(reading, value) for value in values
            )
    return False


def _names_only(target: ast.expr) -> bool:
    if isinstance(target, ast.Tuple | ast.List):
        return all(isinstance(part, ast.Name) for part in target.elts)
    return isinstance(target, ast.Name)
