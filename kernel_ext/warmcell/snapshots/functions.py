"""How functions, cells and the wrappers around them are written."""

from __future__ import annotations

import functools
import sys
import types
import typing
from typing import Any

from cloudpickle import cloudpickle as private

from warmcell.snapshots import rebuild
from warmcell.snapshots.homes import home_of_function, importable, is_code, is_own_variable
from warmcell.snapshots.survey import Survey

_DISPATCH: Any = functools.singledispatch(lambda _: None)


def reduce_function(function: types.FunctionType, survey: Survey) -> Any:
    """A function by value, in two parts so that it can refer to itself; its namespace and its
    cells are objects of their own, shared with other functions."""
    if home_of_function(function) == "installed" and importable(function):
        return NotImplemented
    if function.__code__ is _DISPATCH.__code__ and hasattr(function, "registry"):
        return _reduce_single_dispatch(function)
    closure = function.__closure__
    installed = home_of_function(function) == "installed"
    space = {} if installed else survey.globals_of(function)
    contents = tuple(_content(c) for c in closure or ())
    arguments = (function.__code__, function.__globals__, function.__name__, closure)
    slots = {
        "__qualname__": function.__qualname__,
        "__annotations__": function.__annotations__,
        "__kwdefaults__": function.__kwdefaults__,
        "__defaults__": function.__defaults__,
        "__module__": function.__module__,
        "__doc__": function.__doc__,
    }
    if hasattr(function, "__type_params__"):
        slots["__type_params__"] = function.__type_params__
    values = [*space.values(), *(c[0] for c in contents if c)]
    submodules = private._find_imported_submodules(function.__code__, values)
    state = (dict(function.__dict__), slots, space, contents, submodules)
    return (rebuild.function, arguments, state, None, None, rebuild.fill_function)


def _reduce_single_dispatch(function: Any) -> Any:
    registry = list(function.registry.items())
    own = ("register", "dispatch", "registry", "_clear_cache")
    attributes = {k: v for k, v in vars(function).items() if k not in own}
    return (
        rebuild.single_dispatch,
        (function.registry[object],),
        (registry, attributes),
        None,
        None,
        rebuild.fill_single_dispatch,
    )


def reduce_cell(cell: types.CellType, survey: Survey) -> Any:
    """A cell. What is in it comes with the functions that close over it: it may hold them."""
    content = _content(cell)
    if id(cell) in survey.cells or not content:
        return (rebuild.empty_cell, ())
    return (rebuild.empty_cell, (), content, None, None, rebuild.filled_cell)


def reduce_cache(wrapper: Any) -> Any:
    """A ``functools.lru_cache`` wrapper, cold; those of libraries by name."""
    if importable(wrapper) and not is_code(wrapper.__wrapped__):
        return NotImplemented
    own = ("__wrapped__", "cache_parameters")
    parameters = wrapper.cache_parameters()
    return (
        rebuild.cached,
        (wrapper.__wrapped__, parameters["maxsize"], parameters["typed"]),
        {k: v for k, v in vars(wrapper).items() if k not in own},
        None,
        None,
        rebuild.fill_attributes,
    )


def reduce_variable(variable: Any) -> Any:
    """A type variable: by name where a library has it, else a new one."""
    if not is_own_variable(variable):
        return (getattr, (sys.modules[variable.__module__], variable.__name__))
    if not isinstance(variable, typing.TypeVar):
        return (rebuild.other_variable, (type(variable), variable.__name__))
    return (
        rebuild.type_variable,
        (
            variable.__name__,
            variable.__bound__,
            variable.__constraints__,
            variable.__covariant__,
            variable.__contravariant__,
        ),
    )


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()
