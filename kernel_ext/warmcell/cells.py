"""From the text of a cell to a function: what ``%%step`` and ``%%pipeline`` do with their body.

The body stays ordinary notebook Python: IPython's own transforms run first, so ``!cmd``, ``%line``
and ``await`` work, and the code is compiled under the cell's name with the cell's line numbers, so
that a traceback shows the line that one sees. Nothing is registered anywhere: a definition is a
variable of the notebook, a cell that fails leaves the variables as they were, and re-running a
cell is assigning again.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from warmcell.cellcode import assigned, needs_await, read_too_early, returns
from warmcell.errors import DefinitionError, UsageError
from warmcell.options import PipelineOptions, StepOptions, close_match
from warmcell.pool import loop
from warmcell.signatures import CellSignature
from warmcell.source import Source
from warmcell.steps import Step

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from warmcell.pipelines import Pipeline

__all__ = ["Cell", "define_pipeline", "define_plain", "define_step", "run_here"]

_Made = TypeVar("_Made")
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass(frozen=True)
class Cell:
    """A cell that begins with a magic: ``text`` with its first line, ``body`` without it."""

    shell: InteractiveShell
    text: str
    body: str
    filename: str
    label: str

    @classmethod
    def of(cls, shell: InteractiveShell, magic: str, line: str, body: str) -> Cell:
        """Name the cell that runs now, and let tracebacks find its lines."""
        text = f"%%{magic} {line}".rstrip() + "\n" + body
        filename = shell.compile.cache(text, shell.execution_count, raw_code=text)
        return cls(shell, text, body, filename, f"In[{shell.execution_count}]")

    @property
    def source(self) -> Source:
        """The whole cell."""
        return Source(self.text, self.label, self.filename, 1)

    @property
    def python(self) -> Source:
        """The cell as Python that can be parsed, at the same line numbers."""
        try:
            text = "\n" + self.body
            ast.parse(text)
        except SyntaxError:
            text = self.code()
        return Source(text, self.label, self.filename, 1)

    def code(self) -> str:
        """The body after IPython's transforms, at the line numbers that it has in the cell."""
        rest = self.body.lstrip("\n")
        above = 1 + len(self.body) - len(rest)
        transformed: str = self.shell.transform_cell(rest)
        return "\n" * above + transformed

    def tree(self) -> ast.Module:
        """Parse the body. Raises ``SyntaxError`` that names the cell and its line."""
        tree = self.shell.compile.ast_parse(self.code(), self.filename)
        if not isinstance(tree, ast.Module):
            raise DefinitionError(f"The cell {self.label} is not a block of statements.")
        transformed: ast.Module = self.shell.transform_ast(tree)
        return transformed

    def compiled(self, tree: ast.Module | ast.Interactive, mode: str) -> types.CodeType:
        compiler = self.shell.compile
        flags = compiler.flags | _AWAIT  # with the notebook's own `from __future__` imports
        code: types.CodeType = compile(tree, self.filename, mode, flags, dont_inherit=True)
        return code


def define_step(cell: Cell, name: str | None, options: StepOptions) -> Step:
    """Run a cell of definitions; its last top-level function becomes a step.

    Raises :class:`DefinitionError` for a cell without a function.
    """

    def make(function: Callable[..., Any]) -> Step:
        if isinstance(function, Step):
            raise DefinitionError(
                f"`{function.name}` ({cell.label}) is a step already.",
                hint="Use %%step or @step, not both.",
            )
        return Step(function, name=name, options=options, source=cell.source)

    return _define_last(cell, "step", make)


def define_pipeline(cell: Cell, name: str | None, options: PipelineOptions) -> Pipeline:
    """Run a cell of definitions; its last top-level function becomes a pipeline.

    Raises :class:`DefinitionError` for a cell without a function.
    """
    from warmcell.pipelines import Pipeline

    def make(function: Callable[..., Any]) -> Pipeline:
        if isinstance(function, Pipeline):
            raise DefinitionError(
                f"`{function.name}` ({cell.label}) is a pipeline already.",
                hint="Use %%pipeline or @pipeline, not both.",
            )
        # its text is what says whether the graph is static, so it must parse
        return Pipeline(function, name=name, options=options, source=cell.python)

    return _define_last(cell, "pipeline", make)


def _define_last(cell: Cell, magic: str, make: Callable[[Callable[..., Any]], _Made]) -> _Made:
    """Run the cell; bind the name of its last function to the result as soon as it is defined, so
    that the rest of the cell can use it."""
    tree = cell.tree()
    functions = [
        index
        for index, node in enumerate(tree.body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    if not functions:
        raise DefinitionError(
            f"The %%{magic} cell {cell.label} defines no function.",
            hint=_NO_FUNCTION[magic],
        )
    last = functions[-1]
    name = tree.body[last].name  # type: ignore[attr-defined]
    namespace = cell.shell.user_ns
    with _all_or_nothing(namespace):
        _execute(cell, tree.body[: last + 1])
        made = namespace[name] = make(namespace[name])
        _execute(cell, tree.body[last + 1 :])
    return made


_NO_FUNCTION = {
    "step": "Write a `def` in it, or name its inputs and outputs on the first line: "
    "%%step score(features) -> probability",
    "pipeline": "Write a `def` in it that calls your steps.",
}


def define_plain(
    cell: Cell, signature: CellSignature, name: str | None, options: StepOptions
) -> Step:
    """Make a step of a cell of statements, with the inputs and outputs of ``signature``.

    Without named outputs the value of the last expression is the output.
    """
    tree = cell.tree()
    _check_plain(cell, signature, tree.body)
    body = _with_result(tree.body, signature)
    function = signature.function(body, is_async=needs_await(tree.body))
    module = ast.fix_missing_locations(ast.Module([function], []))
    namespace = cell.shell.user_ns
    made_here: dict[str, Any] = {}
    exec(cell.compiled(module, "exec"), namespace, made_here)  # noqa: S102 - the user's own cell
    result = made_here[signature.name]
    types_of_outputs = result.__annotations__.get("return")
    if isinstance(types_of_outputs, tuple):
        result.__annotations__["return"] = types.GenericAlias(tuple, types_of_outputs)
    outputs = [output.name for output in signature.outputs] or None
    step = Step(result, name=name, options=options, outputs=outputs, source=cell.source)
    namespace[signature.name] = step
    return step


def run_here(cell: Cell, signature: CellSignature, function: Callable[..., Any]) -> None:
    """Call ``function`` with the notebook's variables of its inputs' names; bind its outputs."""
    namespace = cell.shell.user_ns
    arguments: dict[str, Any] = {}
    for parameter in signature.inputs:
        if parameter in namespace:
            arguments[parameter] = namespace[parameter]
        elif parameter not in signature.optional:
            raise UsageError(
                f"--run of {signature.name!r} ({cell.label}) needs the variable {parameter!r}, "
                "which is not defined.",
                hint=f"Assign {parameter} first, or leave --run away.",
            )
    result = function(**arguments)
    if hasattr(result, "__await__"):
        result = _finish(result)
    names = [output.name for output in signature.outputs]
    if len(names) == 1:
        namespace[names[0]] = result
    elif names:
        namespace.update(zip(names, result, strict=True))


# -- parts -----------------------------------------------------------------------------------


def _execute(cell: Cell, body: list[ast.stmt]) -> None:
    """Run statements as IPython does: the value of a last expression is displayed."""
    __tracebackhide__ = "__ipython_bottom__"  # IPython's mark: show no frame above this one
    namespace = cell.shell.user_ns
    shown = [body[-1]] if body and isinstance(body[-1], ast.Expr) else []
    quiet = body[: len(body) - len(shown)]
    if quiet:
        _run(cell.compiled(ast.Module(quiet, []), "exec"), namespace)
    if shown:
        _run(cell.compiled(ast.Interactive(list(shown)), "single"), namespace)


def _run(code: types.CodeType, namespace: dict[str, Any]) -> None:
    result = eval(code, namespace)  # noqa: S307 - the user's own cell
    if isinstance(result, types.CoroutineType):  # it has a top-level await
        _finish(result)


def _finish(awaitable: Awaitable[Any]) -> Any:
    """Await something from a magic, which cannot: on the loop that runs all async steps."""

    async def whole() -> Any:
        return await awaitable

    future = loop().start(whole())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


@contextmanager
def _all_or_nothing(namespace: dict[str, Any]) -> Iterator[None]:
    """Undo the assignments of a cell that fails. Others may read the namespace meanwhile."""
    before = dict(namespace)
    try:
        yield
    except BaseException:
        for name in [name for name in namespace if name not in before]:
            del namespace[name]
        for name, value in before.items():
            if namespace.get(name, namespace) is not value:
                namespace[name] = value
        raise


def _check_plain(cell: Cell, signature: CellSignature, body: list[ast.stmt]) -> None:
    who = f"Step {signature.name!r} ({cell.label})"
    stray = returns(body)
    if stray is not None:
        raise DefinitionError(
            f"{who}: line {stray.lineno} of the cell has a `{type(stray).__name__.lower()}`, but "
            "the cell is not a function.",
            hint=f"Assign the output: %%step {signature.name}(...) -> result, and result = ...",
        )
    names = assigned(body)
    for output in signature.outputs:
        if output.name not in names and output.name not in signature.inputs:
            raise DefinitionError(
                f"{who} names the output {output.name!r}, but the cell never assigns it.",
                hint=close_match(output.name, names) or f"Write {output.name} = ... in the cell.",
            )
    early = read_too_early(body, signature.inputs)
    if early is not None:
        name, line = early
        inputs = ", ".join([*signature.inputs, name])
        raise DefinitionError(
            f"{who}: line {line} of the cell reads {name!r} before the cell assigns it.",
            hint=f"Make it an input: %%step {signature.name}({inputs}) ..., or use another name.",
        )


def _with_result(body: list[ast.stmt], signature: CellSignature) -> list[ast.stmt]:
    last = body[-1] if body else None
    if not signature.outputs:
        if isinstance(last, ast.Expr):
            return [*body[:-1], ast.copy_location(ast.Return(last.value), last)]
        return body or [ast.Pass()]
    line = getattr(last, "end_lineno", None) or 1
    names: list[ast.expr] = [ast.Name(output.name, ast.Load()) for output in signature.outputs]
    value = names[0] if len(names) == 1 else ast.Tuple(names, ast.Load())
    result = ast.Return(value)
    for node in ast.walk(result):
        if isinstance(node, ast.expr | ast.stmt):
            node.lineno = node.end_lineno = line
            node.col_offset = node.end_col_offset = 0
    return [*body, result]
