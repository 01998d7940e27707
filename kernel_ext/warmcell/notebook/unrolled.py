"""The body of a step as the lines of a cell, to be run one by one."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import TYPE_CHECKING

from warmcell.source import Source

if TYPE_CHECKING:
    from warmcell.steps import Step

__all__ = ["failed_line", "unrolled"]

_FRAME = re.compile(r'^ *File "[^"\n]*", line (\d+), in (\S+)$', re.MULTILINE)


def failed_line(step: Step, traceback: str) -> int | None:
    """The line of the step's own function in a formatted ``traceback``, counted as in its file;
    None where that is not in it."""
    code = getattr(inspect.unwrap(step.function), "__code__", None)
    name = getattr(code, "co_name", None)
    for line, where in _FRAME.findall(traceback):
        if where == name:
            return int(line)
    return None


def unrolled(step: Step, result: str, *, line: int | None = None, remark: str = "") -> str:
    """The statements of the function of ``step``, without the ``def`` around them.

    A ``return`` at the end becomes an assignment to ``result``. Above the statement that ``line``
    (as :func:`failed_line` counts) is in stands ``remark`` as a comment. Where the function cannot
    be found in its source, all of that is returned.
    """
    source = step.source
    if not source.text:
        return "# Its source is not known.\n"
    text = source.text if source.text.endswith("\n") else source.text + "\n"
    tree, text = _parsed(text)
    definition = _definition(step, source, tree)
    if tree is None:
        return text
    body: list[ast.stmt] = tree.body
    if definition is not None:
        body = definition.body
        if isinstance(body[0], ast.Expr) and _is_text(body[0].value):
            body = body[1:]
    if not body:
        return "pass\n"
    marked = None if line is None else line - source.lineno + 1
    return _Lines(text, body).written(result, marked, remark, returns=definition is not None)


def _parsed(text: str) -> tuple[ast.Module | None, str]:
    """The tree of a cell or function, and the text whose lines it counts; magics of IPython are
    translated."""
    if text.startswith("%%"):
        text = "\n" + text.partition("\n")[2]
    try:
        return ast.parse(text), text
    except SyntaxError:
        pass
    try:
        from IPython.core.inputtransformer2 import TransformerManager

        first = len(text) - len(text.lstrip("\n"))
        text = "\n" * first + TransformerManager().transform_cell(text.lstrip("\n"))
        return ast.parse(text), text
    except (SyntaxError, ImportError):
        return None, text


def _definition(
    step: Step, source: Source, tree: ast.Module | None
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The function in its source; None for a cell whose statements are the step itself."""
    code = getattr(inspect.unwrap(step.function), "__code__", None)
    if tree is None or code is None:
        return None
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name
    ]
    wanted = code.co_firstlineno - source.lineno + 1
    for node in found:
        if wanted in (node.lineno, *(d.lineno for d in node.decorator_list)):
            return node
    return found[-1] if found else None


class _Lines:
    """Statements and the lines of text that they are."""

    def __init__(self, text: str, body: list[ast.stmt]) -> None:
        self.text = text.splitlines()
        self.body = body
        self.first = min([body[0].lineno, *(d.lineno for d in _decorators(body[0]))])
        self.indent = body[0].col_offset
        self.inside = _inside_texts(body)

    def written(self, result: str, marked: int | None, remark: str, *, returns: bool) -> str:
        last = self.body[-1]
        end = last.end_lineno or last.lineno
        lines = {number: self._plain(number) for number in range(self.first, end + 1)}
        if self.first == self.body[0].lineno and self.text[self.first - 1][: self.indent].strip():
            # `def f(x): return x`: what stands before the body goes
            lines[self.first] = self.text[self.first - 1].encode()[self.indent :].decode()
        after = []
        if returns and isinstance(last, ast.Return):
            before, _, rest = lines[last.lineno].partition("return")
            rest = rest.strip() or "None"
            lines[last.lineno] = f"{before}{result} = {rest}"
            after = [result]
        if marked is not None and remark:
            statement = _innermost(self.body, marked)
            if statement is not None and statement.lineno in lines:
                shown = lines[statement.lineno]
                space = shown[: len(shown) - len(shown.lstrip())]
                comment = textwrap.indent(f"# {' '.join(remark.split())}", space)
                lines[statement.lineno] = f"{comment}\n{shown}"
        return "\n".join([*lines.values(), *after]) + "\n"

    def _plain(self, number: int) -> str:
        line = self.text[number - 1]
        if number in self.inside:
            return line
        margin = line[: self.indent]
        return line[self.indent :] if not margin.strip() else line.lstrip()


def _innermost(body: list[ast.stmt], line: int) -> ast.stmt | None:
    """The smallest statement that ``line`` is in."""
    found: ast.stmt | None = None
    for statement in body:
        for node in ast.walk(statement):
            if (
                isinstance(node, ast.stmt)
                and node.lineno <= line <= (node.end_lineno or node.lineno)
                and (found is None or node.lineno >= found.lineno)
            ):
                found = node
    return found


def _inside_texts(body: list[ast.stmt]) -> set[int]:
    """The lines that begin inside of a text, whose spaces belong to it."""
    inside: set[int] = set()
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.JoinedStr) or _is_text(node):
                assert isinstance(node, ast.expr)
                inside.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return inside


def _decorators(node: ast.stmt) -> list[ast.expr]:
    return list(getattr(node, "decorator_list", []))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
