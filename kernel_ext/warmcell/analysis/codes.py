"""From the text of a body to its code object and back: which instruction is which call."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from warmcell.analysis.meaning import Definition

__all__ = ["compiled", "definition_of", "same", "sites"]


def definition_of(function: Callable[..., Any], text: str) -> Definition | None:
    """The definition of ``function`` in ``text``: the last one of its name, or None."""
    if text.startswith("%%"):  # a cell with its magic: its lines keep their numbers
        text = "\n" + text.partition("\n")[2]
    try:
        tree = ast.parse(textwrap.dedent(text))
    except (SyntaxError, ValueError):
        return None
    name = getattr(function, "__name__", "")
    found: Definition | None = None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            found = node
    return found


def compiled(definition: Definition, free: tuple[str, ...]) -> CodeType | None:
    """The code object that ``definition`` compiles to, with ``free`` names free."""
    bare = type(definition)(**{**_fields(definition), "decorator_list": []})
    bare.returns = None
    outer = ast.parse("def _outer():\n    pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    cells = [ast.parse(f"{name} = None").body[0] for name in free]
    outer.body = [*cells, ast.copy_location(bare, definition)]
    module = ast.Module([outer], [])
    ast.fix_missing_locations(module)
    try:
        code = compile(module, "<analysis>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    (outer_code,) = _codes(code)
    return next((inner for inner in _codes(outer_code) if inner.co_name == bare.name), None)


def _fields(node: ast.AST) -> dict[str, Any]:
    return dict(ast.iter_fields(node))


def _codes(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def same(one: CodeType, other: CodeType) -> bool:
    return (
        one.co_code == other.co_code
        and one.co_names == other.co_names
        and one.co_varnames == other.co_varnames
        and len(_codes(one)) == len(_codes(other))
        and all(map(same, _codes(one), _codes(other)))
    )


def sites(
    twin: CodeType, code: CodeType, calls: list[ast.Call]
) -> Iterator[tuple[CodeType, frozenset[int]]]:
    """Offsets of the instructions that belong to ``calls``, found by their positions."""
    places = {(c.lineno, c.end_lineno, c.col_offset, c.end_col_offset) for c in calls}
    yield (
        code,
        frozenset(2 * index for index, place in enumerate(twin.co_positions()) if place in places),
    )
    for inner_twin, inner in zip(_codes(twin), _codes(code), strict=True):
        yield from sites(inner_twin, inner, calls)
