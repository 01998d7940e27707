"""From the text of a cell to a function: what ``%%step``, ``%%pipeline`` and ``%%endpoint`` do.

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
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from warmcell.errors import DefinitionError, UsageError
from warmcell.notebook.cell import Cell
from warmcell.notebook.cellcode import assigned, needs_await, read_too_early, returns
from warmcell.notebook.signatures import CellSignature
from warmcell.options import PipelineOptions, StepOptions, close_match
from warmcell.runner.loop import loop
from warmcell.steps import Step

if TYPE_CHECKING:
    from warmcell.around.endpoints import Endpoint
    from warmcell.pipelines import Pipeline

__all__ = ["define_endpoint", "define_pipeline", "define_plain", "define_step", "execute"]

_Made = TypeVar("_Made")


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


def define_endpoint(cell: Cell, method: str, path: str, **options: Any) -> Endpoint:
    """Run a cell of definitions; its last top-level function becomes a custom endpoint.

    Raises :class:`DefinitionError` for a cell without a function and a path that cannot be served.
    """
    from warmcell.around.endpoints import Endpoint

    def make(function: Callable[..., Any]) -> Endpoint:
        return Endpoint(path, method, function, source=cell.source, **options)

    return _define_last(cell, "endpoint", make)


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
        execute(cell, tree.body[: last + 1])
        made = namespace[name] = make(namespace[name])
        execute(cell, tree.body[last + 1 :])
    return made


_NO_FUNCTION = {
    "step": "Write a `def` in it, or name its inputs and outputs on the first line: "
    "%%step score(features) -> probability",
    "pipeline": "Write a `def` in it that calls your steps.",
    "endpoint": "Write a `def` in it that answers the request.",
}


def define_plain(
    cell: Cell,
    signature: CellSignature,
    name: str | None,
    options: StepOptions,
    *,
    run: bool = False,
) -> Step:
    """Make a step of a cell of statements, with the inputs and outputs of ``signature``.

    Without named outputs the value of the last expression is the output. With ``run`` it is also
    called with the notebook's variables of its inputs' names, and its outputs are bound.
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
    with _all_or_nothing(namespace):
        namespace[signature.name] = step
        if run:
            _run_here(cell, signature, step)
    return step


def _run_here(cell: Cell, signature: CellSignature, step: Step) -> None:
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
    with _own_traceback(cell):
        result = step(**arguments)
        if hasattr(result, "__await__"):
            result = _finish(result)
    names = [output.name for output in signature.outputs]
    if len(names) == 1:
        namespace[names[0]] = result
    elif names:
        namespace.update(zip(names, result, strict=True))


# -- parts -----------------------------------------------------------------------------------


def execute(cell: Cell, body: list[ast.stmt], space: dict[str, Any] | None = None) -> None:
    """Run statements as IPython does, among the notebook's names or those of ``space``: the value
    of a last expression is displayed."""
    shown = [body[-1]] if body and isinstance(body[-1], ast.Expr) else []
    quiet = body[: len(body) - len(shown)]
    if quiet:
        _run(cell, cell.compiled(ast.Module(quiet, []), "exec"), space)
    if shown:
        _run(cell, cell.compiled(ast.Interactive(list(shown)), "single"), space)


def _run(cell: Cell, code: types.CodeType, space: dict[str, Any] | None) -> None:
    names = cell.shell.user_ns if space is None else space
    with _own_traceback(cell):
        result = eval(code, names)  # noqa: S307 - the user's own cell
        if isinstance(result, types.CoroutineType):  # it has a top-level await
            _finish(result)


@contextmanager
def _own_traceback(cell: Cell) -> Iterator[None]:
    """Have IPython show an error from the cell's own frame on, as if no magic were there."""
    try:
        yield
    except Exception as error:
        _shorten(error, cell)
        raise


def _shorten(error: Exception, cell: Cell) -> None:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != cell.filename:
        trace = trace.tb_next
    if trace is None or hasattr(error, "_render_traceback_"):
        return
    show = cell.shell.InteractiveTB.structured_traceback
    with suppress(AttributeError):  # a class with slots keeps the long form
        error._render_traceback_ = lambda: show(type(error), error, trace, tb_offset=0)  # type: ignore[attr-defined]


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
