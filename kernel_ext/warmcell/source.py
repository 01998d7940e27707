"""The source text of a definition, kept with it: it travels where the file or cell does not."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Source:
    """Where a definition comes from. ``text`` is its cell or its function, ``cell`` a label such as
    ``In[4]`` and ``lineno`` the line of ``filename`` at which ``text`` begins."""

    text: str = ""
    cell: str | None = None
    filename: str = ""
    lineno: int = 1

    @property
    def place(self) -> str:
        """A short name of the place, for messages."""
        if self.cell:
            return self.cell
        return f"{self.filename}:{self.lineno}" if self.filename else "an unknown place"

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Source:
        """The source of ``function`` as far as it can be found; empty text where it cannot."""
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is None:
            return cls()
        filename = code.co_filename
        try:
            lines, lineno = inspect.getsourcelines(function)
        except (OSError, TypeError, IndexError, SyntaxError):
            return cls(cell=label_of(filename), filename=filename, lineno=code.co_firstlineno)
        text = textwrap.dedent("".join(lines))
        return cls(text, label_of(filename), filename, lineno)


def label_of(filename: str) -> str | None:
    """The label of a notebook cell, such as ``In[4]``, from its file name; None for a file."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return None
    name = shell.compile.format_code_name(filename)
    return name[1] if name else None
