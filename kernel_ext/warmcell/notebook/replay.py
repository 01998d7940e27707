"""What ``%replay`` and ``%%replay`` do: a run of the history among the notebook's variables."""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from warmcell.context import current
from warmcell.errors import UsageError
from warmcell.notebook.cell import Cell
from warmcell.notebook.cellcode import assigned
from warmcell.notebook.cells import execute
from warmcell.notebook.names import literal
from warmcell.notebook.unrolled import failed_line, unrolled
from warmcell.replayed import Replay
from warmcell.replaying import replay as begin

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from warmcell.repeating import Path

__all__ = ["by_hand", "replay", "values_of"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_RETURNED, _YIELDED = "__replay_returned__", "__replay_yielded__"

_latest: tuple[Replay, _Variables] | None = None


def replay(
    shell: InteractiveShell, run_id: str, values: Mapping[Path, Any], **options: Any
) -> Replay:
    """Replay a run, with its inputs and what its steps gave as variables, and the source of the
    step that waits in a new cell. The replay itself is the variable ``replay``.

    Raises what :func:`warmcell.replaying.replay` raises.
    """
    global _latest
    variables = _Variables(shell.user_ns, _latest[1] if _latest is not None else None)
    made = begin(run_id, values, bind=variables.bind, **options)
    made.replaced = variables.replaced
    _latest = made, variables
    variables.bind("replay", made, "run")
    if made.next is not None:
        shell.set_next_input(_cell_of(made), replace=False)
    return made


def values_of(shell: InteractiveShell, pairs: Sequence[str]) -> dict[Path, Any]:
    """Read ``--set name=value`` and ``customer.password=variable``."""
    found: dict[Path, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--set takes NAME=VALUE, and '{pair}' is none.")
        parts = (int(part) if part.isdecimal() else part for part in name.split("."))
        found[tuple(parts)] = literal(shell.user_ns, text, f"--set {name}=")
    return found


class _Variables:
    """The notebook's variables. Data may be replaced, which ``replaced`` keeps; code never is.
    What those ``before`` made is no loss."""

    def __init__(self, namespace: dict[str, Any], before: _Variables | None = None) -> None:
        self._namespace = namespace
        self._own: dict[str, Any] = {} if before is None else before._own
        self.replaced: dict[str, Any] = {}

    def bind(self, name: str, value: Any, suffix: str) -> str:
        """Make a variable of that name, or of that name and ``suffix`` where it means code."""
        name = re.sub(r"\W", "_", name)
        found = self._namespace.get(name)
        if callable(found) or isinstance(found, types.ModuleType):
            name = f"{name}_{suffix}"
            found = self._namespace.get(name)
        ours = isinstance(found, Replay) or found is self._own.get(name, self)
        if name in self._namespace and not ours and found is not value:
            self.replaced.setdefault(name, found)
        self._namespace[name] = self._own[name] = value
        return name


# -- the step that waits, as a cell ----------------------------------------------------------


def _cell_of(replay: Replay) -> str:
    """The cell that has the lines of the step that waits."""
    held, run = replay.held, replay.run
    error = next((s["error"] for s in run.steps if s.name == held.name and s.get("error")), None)
    if error is None and (run.error or {}).get("step") == held.name:
        error = run.error
    line, remark = None, ""
    if error:
        line = failed_line(held.step, error.get("traceback") or "")
        remark = f"In the run this raised {error['type']}: {error['message']}"
    names = f" with its inputs {', '.join(held.arguments)}" if held.arguments else ""
    about = [
        f"%%replay {held.name}",
        f"# Step {held.name} of snapshot {replay.snapshot}{names}, as it waits in the replay of",
        f"# run {run.id}. The first line gives this cell the names",
        "# that the snapshot sees; without it, it sees the notebook's.",
    ]
    body = unrolled(held.step, _result_of(held.name), line=line, remark=remark)
    if remark and line is None:
        about.append(f"# {' '.join(remark.split())}")
    return "\n".join([*about, body])


def _result_of(step: str) -> str:
    return f"{re.sub(r'[^0-9A-Za-z_]', '_', step)}_output"


def by_hand(cell: Cell, step: str | None) -> None:
    """Run a ``%%replay`` cell: with the names of the step that waits. What it assigns is there in
    the next such cell, and in the notebook."""
    if _latest is None:
        raise UsageError(
            "There is no replay in this kernel.", hint="Begin one: %replay RUN_ID, as %runs shows."
        )
    replay, variables = _latest
    held = replay.held
    if step is not None and step != held.name:
        raise UsageError(
            f"Step {step!r} does not wait in this replay, {held.name!r} does.",
            hint="replay.step() executes that one.",
        )
    space = replay.space()
    tree = _Unfunctioned().visit(cell.tree())
    result = _result_of(held.name)
    yielded: list[Any] = []
    space |= {_RETURNED: _Returned, _YIELDED: _shown(yielded)}
    names = assigned(tree.body)
    reset = current.set(replay.context())
    try:
        execute(cell, tree.body, space)
    except _Returned as returned:
        space[result] = returned.value
        names.add(result)
        cell.shell.displayhook(returned.value)
    finally:
        current.reset(reset)
        if yielded:
            space[result] = yielded
            names.add(result)
        for name in names & space.keys():
            variables.bind(name, space[name], "value")


class _Returned(BaseException):
    """A ``return`` of a body that is run as a cell; no Exception, so that the body's own handlers
    do not catch it."""

    def __init__(self, value: Any = None) -> None:
        self.value = value


def _shown(yielded: list[Any]) -> Callable[..., None]:
    def take(value: Any = None, *, each: bool = False) -> None:
        for one in value if each else (value,):
            yielded.append(one)
            print(f"yields {one!r}")

    return take


class _Unfunctioned(ast.NodeTransformer):
    """Lets what only a function may contain stand in a cell: returns and yields."""

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, _FUNCTIONS):
            return node
        return super().visit(node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        value = [node.value] if node.value is not None else []
        return _placed(ast.Raise(_called(_RETURNED, value), None), node)

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        value = [self.visit(node.value)] if node.value is not None else []
        return _placed(_called(_YIELDED, value), node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.AST:
        each = ast.keyword("each", ast.Constant(True))
        return _placed(_called(_YIELDED, [self.visit(node.value)], [each]), node)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        return _placed(ast.Pass(), node)


def _called(name: str, arguments: list[ast.expr], keywords: Sequence[ast.keyword] = ()) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), arguments, list(keywords))


def _placed(new: ast.AST, old: ast.AST) -> ast.AST:
    return ast.fix_missing_locations(ast.copy_location(new, old))
