"""Local modules whose file is no longer what the kernel imported.

A snapshot takes along what the kernel has. Whoever edits the file and does not reload it would
deploy the old code without knowing.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from warmcell.snapshots import identity
from warmcell.snapshots.fingerprints import Hasher
from warmcell.snapshots.homes import is_local_file, is_local_module
from warmcell.snapshots.kinds import ATOMS
from warmcell.snapshots.survey import Survey

_OPTIMIZED = 0x1  # of a function, not of the body of a class or module


def stale(survey: Survey) -> dict[str, str]:
    """Names of the local modules that a pipeline uses and that differ from their files, with the
    files' own names."""
    modules = dict(survey.modules)
    for key in survey.code:
        target: Any = survey.objects[key]
        if isinstance(target, types.FunctionType):
            name = target.__globals__.get("__name__")
        else:
            name = getattr(target, "__module__", None)
        module = sys.modules.get(name) if isinstance(name, str) else None
        if isinstance(module, types.ModuleType) and is_local_module(module):
            modules[module.__name__] = module
    return {n: os.path.basename(str(m.__file__)) for n, m in modules.items() if differs(m)}


def about(found: dict[str, str]) -> list[str]:
    """A sentence for each local module that differs from its file."""
    return [
        f"`{name}` is not what {file} says now: what is deployed is what the kernel has. Reload "
        "it (`%autoreload`, `importlib.reload`) and deploy again."
        for name, file in found.items()
    ]


def differs(module: types.ModuleType) -> bool:
    """Whether the file of a local module defines other functions or constants than the module has.

    What only runs when the module is imported is not compared, nor comments and docstrings.
    """
    file = module.__dict__.get("__file__")
    if not isinstance(file, str) or not is_local_file(file):
        return False
    try:
        status = os.stat(file)
    except OSError:
        return False  # the snapshot does not need it any more
    defined = _defined(file, status.st_mtime_ns, status.st_size)
    if defined is None:
        return True  # it does not even compile
    for function in _functions(module, file):
        if _digest(function.__code__) not in defined.codes.get(function.__qualname__, ()):
            return True
    names = module.__dict__
    return any(name not in names for name in defined.functions) or any(
        name not in names or (type(names[name]) in ATOMS and names[name] != value)
        for name, value in defined.constants.items()
    )


class _Defined(NamedTuple):
    """What a file defines: hashes of functions by qualified name, names of functions of its top
    level, and constants."""

    codes: dict[str, set[str]]
    functions: set[str]
    constants: dict[str, Any]


@functools.lru_cache(maxsize=256)
def _defined(file: str, mtime: int, size: int) -> _Defined | None:
    """What the text of a file defines; None where it does not compile."""
    try:
        text = Path(file).read_bytes()
        tree = ast.parse(text, file)
        code = compile(text, file, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return None
    codes: dict[str, set[str]] = {}
    pending = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    while pending:
        inner = pending.pop()
        if inner.co_flags & _OPTIMIZED and "<" not in inner.co_qualname:
            codes.setdefault(inner.co_qualname, set()).add(_digest(inner))
        elif not inner.co_flags & _OPTIMIZED:  # the body of a class
            pending += [c for c in inner.co_consts if isinstance(c, types.CodeType)]
    once = _bound_once(tree)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = {n.name for n in tree.body if isinstance(n, kinds) and n.name in once}
    return _Defined(codes, functions, _constants(tree, once))


def _constants(tree: ast.Module, once: set[str]) -> dict[str, Any]:
    """Names that the top level binds once, to a plain value, and that no function assigns."""
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and target.id in once and node.value is not None:
            with contextlib.suppress(ValueError, TypeError, SyntaxError, RecursionError):
                value = ast.literal_eval(node.value)
                if type(value) in ATOMS:
                    found[target.id] = value
    return found


def _bound_once(tree: ast.Module) -> set[str]:
    counts: dict[str, int] = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names = [node.id]
        elif isinstance(node, ast.Global):
            names = [*node.names, *node.names]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.alias):
            names = [(node.asname or node.name).partition(".")[0]]
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return {name for name, count in counts.items() if count == 1}


def _functions(module: types.ModuleType, file: str) -> Iterator[types.FunctionType]:
    """The functions and methods that the module has from its file, by their own names."""
    spaces: list[tuple[str, dict[str, Any]]] = [("", dict(vars(module)))]
    while spaces:
        prefix, space = spaces.pop()
        for name, value in list(space.items()):
            plain = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            if isinstance(plain, property):
                plain = plain.fget
            if isinstance(plain, type) and plain.__module__ == module.__name__:
                if plain.__qualname__ == prefix + name:
                    spaces.append((f"{prefix}{name}.", dict(vars(plain))))
            elif (
                isinstance(plain, types.FunctionType)
                and plain.__code__.co_filename == file
                and plain.__code__.co_qualname == prefix + name
            ):
                yield plain


def _digest(code: types.CodeType) -> str:
    hasher = Hasher()
    identity.code(hasher, code)
    return hasher.hexdigest()
