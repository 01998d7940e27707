"""The source of everything that a snapshot was made of: steps, and whole cells and files.

Steps and the like carry their own source. Beside them stand the cells that define or import a name
which their code uses, as typed, so that a snapshot can be opened as a notebook again.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.source import label_of

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline
    from warmcell.snapshots import Capture

__all__ = ["sources"]

_LABEL = re.compile(r"In\[(\d+)\]")


def sources(
    pipeline: Pipeline, captured: Mapping[str, Any], taken: Capture
) -> list[dict[str, Any]]:
    """What a snapshot was made of, each with ``name``, ``kind``, ``source`` and ``cell`` (a label
    such as ``In[4]``).

    First the steps, the pipeline and what is around it; then, of kind "cell", whole cells in the
    order in which they were run, and of kind "module" files, each named by what it defines.
    """
    parts: list[Any] = [*pipeline.steps, pipeline]
    found = [(part.kind, part.name, part.source) for part in parts]
    for kind, around in (("endpoint", "endpoints"), ("middleware", "middleware")):
        found += [(kind, part.name, part.source) for part in captured.get(around, [])]
    entries = [
        {"name": name, "kind": kind, "source": source.text, "cell": source.cell}
        for kind, name, source in found
    ]
    known = {str(entry["source"]).strip() for entry in entries}
    entries += [cell for cell in _cells(taken) if cell["source"].strip() not in known]
    return entries + list(_modules(taken))


def _cells(taken: Capture) -> list[dict[str, Any]]:
    """The cells whose code was taken, those that bind a name which it uses, and so on."""
    history = _history()
    chosen: dict[int, dict[str, None]] = {}
    loose: list[dict[str, Any]] = []
    pending: list[tuple[str, int]] = [(name, len(history)) for name in taken.names]
    for file, text in taken.files.items():
        label = label_of(file)
        match = _LABEL.fullmatch(label or "")
        number = int(match[1]) if match else -1
        if label is not None and 0 <= number < len(history) and history[number].strip():
            _choose(number, history, chosen, pending)
        elif label is not None and text:
            loose.append({"name": label, "kind": "cell", "source": text, "cell": label})
    seen: set[tuple[str, int]] = set()
    while pending:
        name, above = wanted = pending.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        for number in range(above - 1, -1, -1):
            if _binds(history[number], name):
                _choose(number, history, chosen, pending)[name] = None
                break
    cells = [
        {
            "name": ", ".join(chosen[number]) or f"In[{number}]",
            "kind": "cell",
            "source": history[number],
            "cell": f"In[{number}]",
        }
        for number in sorted(chosen)
    ]
    return loose + cells


def _choose(
    number: int,
    history: list[str],
    chosen: dict[int, dict[str, None]],
    pending: list[tuple[str, int]],
) -> dict[str, None]:
    """Take a cell, and look for the names that it needed when it ran; returns its own names."""
    if number not in chosen:
        chosen[number] = {}
        pending += [(name, number) for name in _bindings(history[number]).needed]
    return chosen[number]


def _modules(taken: Capture) -> Iterator[dict[str, Any]]:
    for file, text in taken.files.items():
        if label_of(file) is None and text and not file.startswith("<"):
            shown = os.path.relpath(file) if os.path.isabs(file) else file
            if shown.startswith(".."):
                shown = os.path.basename(file)  # where it is on this machine is nobody's business
            yield {"name": shown, "kind": "module", "source": text, "cell": None}


def _history() -> list[str]:
    """The cells that were run, as typed, by their numbers."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    manager = shell.history_manager if shell is not None else None
    return list(manager.input_hist_raw) if manager is not None else []


class _Bindings(NamedTuple):
    """What a cell does to names at its top level: binds them, imports all of modules (``stars``),
    and needs them, in decorators and bases too."""

    names: frozenset[str] = frozenset()
    stars: frozenset[str] = frozenset()
    needed: tuple[str, ...] = ()


def _binds(text: str, name: str) -> bool:
    found = _bindings(text)
    return name in found.names or any(
        hasattr(sys.modules.get(module), name) for module in found.stars
    )


@functools.lru_cache(maxsize=4096)
def _bindings(text: str) -> _Bindings:
    tree = _parsed(text)
    if tree is None:
        return _Bindings()
    names: set[str] = set()
    stars: set[str] = set()
    needed: dict[str, None] = {}
    pending: list[ast.AST] = list(reversed(tree.body))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
            pending += [*node.decorator_list, node.args]  # its body runs later
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _imported(node, names, stars)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                needed[node.id] = None
            else:
                names.add(node.id)
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            pending += [*node.decorator_list, *node.bases, *node.keywords]
            pending += [part for part in node.body if isinstance(part, ast.AnnAssign)]
        elif not isinstance(node, ast.Lambda):
            pending += reversed(list(ast.iter_child_nodes(node)))
    return _Bindings(frozenset(names), frozenset(stars), tuple(needed))


def _imported(node: ast.Import | ast.ImportFrom, names: set[str], stars: set[str]) -> None:
    for alias in node.names:
        if alias.name == "*":
            stars.add(getattr(node, "module", None) or "")
        elif isinstance(node, ast.Import):
            names.add(alias.asname or alias.name.partition(".")[0])
        else:
            names.add(alias.asname or alias.name)


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        pass
    try:
        from IPython.core.inputtransformer2 import TransformerManager

        return ast.parse(TransformerManager().transform_cell(text))
    except (SyntaxError, ValueError, ImportError):
        return None
