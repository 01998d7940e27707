"""Installed libraries that the notebook changed, or that will see its classes twice.

A snapshot reaches libraries by name. What the notebook set on them is therefore live, and a fresh
process does not have it.
"""

from __future__ import annotations

import dis
import functools
import types
from collections.abc import Iterator
from typing import Any

from warmcell.snapshots.homes import home_of_class, home_of_function, importable
from warmcell.snapshots.survey import Survey

# Their hooks only look at the class: to run twice changes nothing.
_HARMLESS = frozenset(
    {
        "abc", "collections", "enum", "msgspec", "numpy", "pandas", "pydantic", "sklearn", "string",
        "torch", "traitlets", "typing", "typing_extensions", "warmcell",
    }
)  # fmt: skip


def about(survey: Survey) -> list[str]:
    """Sentences about library functions and methods that the notebook replaced, and about library
    classes that act when a class derives from them."""
    found: dict[str, None] = {}
    for place, name, value in (*_in_modules(survey), *_in_classes(survey)):
        if name in _stored_attributes(survey):
            continue  # the pipeline's own code sets it, in `on_init` say, wherever it runs
        found[
            f"`{place}.{name}` was replaced by notebook code (`{value.__qualname__}`): "
            "the deployment follows it live, and a restored one does not have it. Call "
            f"`{value.__qualname__}` itself in the step, or set `{place}.{name}` in `on_init`."
        ] = None
    for cls, base in _hooked(survey):
        found[
            f"`{cls.__qualname__}` derives from `{base.__module__}.{base.__qualname__}`, whose "
            "`__init_subclass__` runs again for the snapshot's copy: if it keeps a register, that "
            f"has both. Put `{cls.__qualname__}` into an installed package to prevent it."
        ] = None
    return list(found)


def _in_modules(survey: Survey) -> Iterator[tuple[str, str, Any]]:
    for place, module in survey.libraries.items():
        for name, value in list(vars(module).items()):
            mine = _of_notebook(value)
            if mine is not None:
                yield place, name, mine


def _in_classes(survey: Survey) -> Iterator[tuple[str, str, Any]]:
    for cls in _library_classes(survey):
        for name, value in list(cls.__dict__.items()):
            mine = _of_notebook(value)
            if mine is not None:
                yield cls.__qualname__, name, mine


def _library_classes(survey: Survey) -> list[type]:
    """The importable classes that can be changed: of all objects, and in all modules, that the
    pipeline reaches."""
    seen: dict[type, None] = {}
    for target in survey.objects.values():
        seen[target if isinstance(target, type) else type(target)] = None
    for module in survey.libraries.values():
        seen.update((v, None) for v in list(vars(module).values()) if isinstance(v, type))
    every = {base: None for cls in seen for base in type.mro(cls)} if seen else {}
    return [c for c in every if home_of_class(c) == "installed" and importable(c)]


def _of_notebook(value: Any) -> Any:
    """The function or class of the notebook that a value is or wraps, or None."""
    for _ in range(10):
        if isinstance(value, types.FunctionType):
            if home_of_function(value) == "notebook":
                return value
            inner: Any = vars(value).get("__wrapped__")
        elif isinstance(value, type):
            return value if home_of_class(value) == "notebook" else None
        elif isinstance(value, staticmethod | classmethod):
            inner = value.__func__
        elif isinstance(value, property):
            inner = value.fget
        elif isinstance(value, functools.partial):
            inner = value.func
        elif type(value) is _CACHE_TYPE:
            inner = value.__wrapped__
        else:
            return None
        value = inner
    return None


_CACHE_TYPE = type(functools.lru_cache(lambda: None))


def _stored_attributes(survey: Survey) -> set[str]:
    """The attributes that the pipeline's own code assigns."""
    found: set[str] = set()
    pending = [function.__code__ for function in survey.functions]
    while pending:
        code = pending.pop()
        found |= {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_ATTR"}
        pending += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return found


def _hooked(survey: Survey) -> Iterator[tuple[type, type]]:
    for key in survey.code:
        cls = survey.objects[key]
        if not isinstance(cls, type):
            continue
        for base in cls.__mro__[1:]:
            top = base.__module__.partition(".")[0]
            if (
                "__init_subclass__" in base.__dict__
                and top not in _HARMLESS
                and home_of_class(base) == "installed"
                and base is not object
            ):
                yield cls, base
