"""What a code object uses: global names, imports, and the names in string annotations."""

from __future__ import annotations

import ast
import contextlib
import dis
import functools
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from warmcell.snapshots.homes import (
    is_local_file,
    is_local_module,
)

_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_STORES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})

_MACHINERY = frozenset({"__builtins__", "__loader__", "__spec__", "__cached__"})


class Import(NamedTuple):
    """One import statement inside a function."""

    name: str
    level: int
    names: tuple[str, ...]


class Facts(NamedTuple):
    """What a code object and all code nested in it use, each in order of first use."""

    loads: tuple[str, ...]
    stores: tuple[str, ...]
    imports: tuple[Import, ...]


@functools.lru_cache(maxsize=4096)
def facts(code: types.CodeType) -> Facts:
    """Names that ``code`` reads and writes globally, and what it imports."""
    loads: dict[str, None] = {}
    stores: dict[str, None] = {}
    imports: dict[Import, None] = {}
    constants: list[Any] = [0, None]
    for instruction in dis.get_instructions(code):
        name = instruction.opname
        if name in _LOADS:
            loads[instruction.argval] = None
        elif name in _STORES:
            stores[instruction.argval] = None
        elif name == "IMPORT_NAME":
            level, names = constants[-2:]
            imports[
                Import(
                    str(instruction.argval),
                    level if isinstance(level, int) else 0,
                    tuple(names) if isinstance(names, tuple) else (),
                )
            ] = None
        if name in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants.append(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = facts(constant)
            loads.update(dict.fromkeys(inner.loads))
            stores.update(dict.fromkeys(inner.stores))
            imports.update(dict.fromkeys(inner.imports))
    return Facts(tuple(loads), tuple(stores), tuple(imports))


def attribute_names(code: types.CodeType) -> set[str]:
    """All names in ``code`` and nested code, attributes included."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= attribute_names(constant)
    return found


@functools.lru_cache(maxsize=4096)
def names_in_text(text: str) -> tuple[str, ...]:
    """The names that an annotation written as text refers to; none if it cannot be parsed."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return ()
    return tuple(dict.fromkeys(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)))


def annotation_names(annotations: dict[str, Any]) -> Iterator[str]:
    """Names in annotations that are text, also inside ``list["Node"]``."""
    pending = list(annotations.values())
    for _ in range(10_000):
        if not pending:
            return
        item = pending.pop()
        if isinstance(item, str):
            yield from names_in_text(item)
        elif isinstance(item, typing.ForwardRef):
            yield from names_in_text(item.__forward_arg__)
        elif not isinstance(item, type):
            pending.extend(a for a in typing.get_args(item) if not isinstance(a, type))


def own_annotations(target: Any) -> dict[str, Any]:
    """The annotations of a function or class itself, not of its bases."""
    if sys.version_info >= (3, 14):  # annotations are computed on demand there
        import annotationlib

        found = annotationlib.get_annotations(target, format=annotationlib.Format.FORWARDREF)
        return dict(found)
    return inspect.get_annotations(target)


def globals_of(function: types.FunctionType) -> dict[str, Any]:
    """The part of a function's globals that its code and its annotations name."""
    found = facts(function.__code__)
    names = dict.fromkeys((*found.loads, *found.stores))
    names.update(dict.fromkeys(annotation_names(own_annotations(function))))
    space = function.__globals__
    return {n: space[n] for n in names if n in space and n not in _MACHINERY}


def module_state(module: types.ModuleType) -> dict[str, Any]:
    """The contents of a module without the import machinery's own entries."""
    return {k: v for k, v in list(module.__dict__.items()) if k not in _MACHINERY}


def modules_of_import(statement: Import, namespace: dict[str, Any]) -> list[types.ModuleType]:
    """The modules that an import statement inside a function would bind, imported if need be.

    Raises whatever the modules' own code raises.
    """
    name = absolute_name(statement.name, statement.level, namespace)
    if name is None:
        return []
    top = name.partition(".")[0]
    loaded = sys.modules.get(top)
    if loaded is not None:
        if not is_local_module(loaded):
            return []
    elif not _found_locally(top):
        return []
    found = [import_module(name)]
    for part in statement.names:
        inner = sys.modules.get(f"{name}.{part}")
        if isinstance(inner, types.ModuleType):
            found.append(inner)
    return [m for m in found if is_local_module(m)]


def imported(function: types.FunctionType) -> dict[str, Any]:
    """What a function gets from local modules by import statements within it, each by a name
    such as ``import helpers.scale``. What cannot be imported is left out."""
    found: dict[str, Any] = {}
    space = function.__globals__
    for statement in facts(function.__code__).imports:
        modules: list[types.ModuleType] = []
        with contextlib.suppress(Exception):  # of the module's own code: the step will meet it
            modules = modules_of_import(statement, space)
        if not modules:
            continue
        name = str(absolute_name(statement.name, statement.level, space))
        if not statement.names:
            found[f"import {name}"] = sys.modules.get(name.partition(".")[0], modules[0])
            continue
        module = sys.modules.get(name, modules[0])
        for part in statement.names:
            found[f"import {name}.{part}"] = getattr(module, part, None)
    return found


def _found_locally(top: str) -> bool:
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    return spec is not None and is_local_file(spec.origin) and str(spec.origin).endswith(".py")


def absolute_name(name: str, level: int, namespace: dict[str, Any] | None) -> str | None:
    """``name`` of an import statement made absolute; None where its package is unknown."""
    if level == 0:
        return name
    package = (namespace or {}).get("__package__") or ""
    if not package:
        package = str((namespace or {}).get("__name__") or "").rpartition(".")[0]
    parts = str(package).split(".")
    if not package or level > len(parts):
        return None
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{name}" if name else base
