"""Questions about the statements of a cell that is to become the body of a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

__all__ = ["assigned", "needs_await", "read_too_early", "returns"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def needs_await(body: Sequence[ast.AST]) -> bool:
    """Say whether the statements themselves await something: the function must be async."""
    return any(
        isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)
        or (isinstance(node, ast.comprehension) and node.is_async)
        for node in _own(body)
    )


def returns(body: Sequence[ast.AST]) -> ast.Return | ast.Yield | ast.YieldFrom | None:
    """Find a ``return`` or ``yield`` that no function surrounds."""
    for node in _own(body):
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom):
            return node
    return None


def assigned(body: Sequence[ast.AST]) -> set[str]:
    """Collect the names that the statements bind, in any way."""
    names: set[str] = set()
    for node in _own(body):
        names.update(_bound(node))
    return names


def read_too_early(body: Sequence[ast.stmt], inputs: Sequence[str]) -> tuple[str, int] | None:
    """Find a name that is read first and assigned later: in a cell the notebook's variable, in a
    function an error. Returns the name and its line; looks at straight code only, no branches."""
    local = assigned(body) - set(inputs)
    for node in _own(body):
        if isinstance(node, ast.Global):
            local -= set(node.names)
    known: set[str] = set()
    for statement in body:
        for name in _reads(statement, known):
            if name.id in local:
                return name.id, name.lineno
        known |= assigned([statement])
    return None


def _reads(statement: ast.stmt, known: set[str]) -> Iterator[ast.Name]:
    """Yield the names that ``statement`` certainly reads before it binds them."""
    parts: list[ast.AST] = []
    if isinstance(statement, ast.If | ast.While):
        parts = [statement.test]
    elif isinstance(statement, ast.For | ast.AsyncFor):
        parts = [statement.iter]
    elif isinstance(statement, ast.AugAssign):
        parts = [statement.value]
        if isinstance(statement.target, ast.Name) and statement.target.id not in known:
            yield statement.target
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        parts = [statement.value] if statement.value is not None else []
    elif isinstance(statement, ast.Expr | ast.Assert | ast.Delete):
        parts = [statement]
    inner = assigned(parts)
    for part in parts:
        for node in _own([part], comprehensions=False):
            if isinstance(node, ast.Name) and node.id not in known and node.id not in inner:
                yield node


def _own(body: Sequence[ast.AST], *, comprehensions: bool = True) -> Iterator[ast.AST]:
    """Walk the nodes that run in the scope of ``body`` itself."""
    todo = list(reversed(body))
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, _COMPREHENSIONS) and not comprehensions:
            todo.append(node.generators[0].iter)  # the one part that runs outside
        elif isinstance(node, _SCOPES):
            todo.extend(reversed(_outside(node)))
        else:
            todo.extend(reversed(list(ast.iter_child_nodes(node))))


def _outside(node: ast.AST) -> list[ast.AST]:
    """The parts of a definition that run where it stands: decorators, defaults, bases."""
    parts: list[ast.AST] = list(getattr(node, "decorator_list", []))
    if isinstance(node, ast.ClassDef):
        return [*parts, *node.bases, *node.keywords]
    arguments: ast.arguments = node.args  # type: ignore[attr-defined]
    return [*parts, *arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]


def _bound(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id] if isinstance(node.ctx, ast.Store | ast.Del) else []
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [node.name] if node.name else []
    if isinstance(node, ast.MatchMapping):
        return [node.rest] if node.rest else []
    return []
