"""The cell that runs: its text, its name in tracebacks, and its code."""

from __future__ import annotations

import ast
import inspect
import linecache
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warmcell.errors import CellSyntaxError, DefinitionError
from warmcell.source import Source

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Cell"]

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
        filename = _running(shell) or shell.compile.cache(text, shell.execution_count)
        # from now on the lines of this file are those that one sees, not IPython's rewriting
        lines = [line + "\n" for line in text.splitlines()]
        linecache.cache[filename] = (len(text), None, lines, filename)
        named = shell.compile.format_code_name(filename)
        return cls(shell, text, body, filename, named[1] if named else "this cell")

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
        """Parse the body. Raises :class:`CellSyntaxError`."""
        with self._syntax():
            tree = self.shell.compile.ast_parse(self.code(), self.filename)
        if not isinstance(tree, ast.Module):
            raise DefinitionError(f"The cell {self.label} is not a block of statements.")
        transformed: ast.Module = self.shell.transform_ast(tree)
        return transformed

    def compiled(self, tree: ast.Module | ast.Interactive, mode: str) -> types.CodeType:
        compiler = self.shell.compile
        flags = compiler.flags | _AWAIT  # with the notebook's own `from __future__` imports
        with self._syntax():
            code: types.CodeType = compile(tree, self.filename, mode, flags, dont_inherit=True)
        return code

    @contextmanager
    def _syntax(self) -> Iterator[None]:
        """Show a syntax error at its place in the cell, without the frames that found it."""
        try:
            yield
        except SyntaxError as error:
            rendered = self.shell.SyntaxTB.structured_traceback(type(error), error, None)
            raise CellSyntaxError(
                f"{self.label}, line {error.lineno}: {error.msg}.", rendered=rendered
            ) from error


def _running(shell: InteractiveShell) -> str | None:
    """The file name of the cell that called the magic: IPython counts cells before they run in
    some versions and afterwards in others, so the count cannot tell."""
    frame = inspect.currentframe()
    while frame is not None:
        filename = frame.f_code.co_filename
        if frame.f_globals is shell.user_ns and shell.compile.format_code_name(filename):
            return filename
        frame = frame.f_back
    return None
