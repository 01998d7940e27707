"""Names objects the way their author knows them: ``con <- lookup <- answer``."""

from __future__ import annotations

import types
from typing import Any, NamedTuple

from warmcell.snapshots import code as codes
from warmcell.snapshots.survey import Survey

_DEPTH = 100_000
_SHOWN = 80


class Place(NamedTuple):
    """Where an object is found. ``variable`` is the name that holds it or the object around it,
    ``owner`` the id of what that name is bound to, ``name`` the full expression, ``user`` the
    function or class that uses it, ``path`` all of them joined."""

    variable: str
    owner: int
    name: str
    user: str
    path: str


def place_of(survey: Survey, key: int) -> Place:
    """Where the survey first found the object with that id."""
    suffix = ""
    child = key
    for _ in range(_DEPTH):
        parent = survey.parents.get(child)
        if parent is None:
            break
        holder = survey.objects[parent]
        value = survey.objects[child]
        if isinstance(holder, types.CellType):
            child, variable = parent, ""
            above = survey.parents.get(parent)
            function = survey.objects[above] if above is not None else None
            if isinstance(function, types.FunctionType) and above is not None:
                variable = _cell_name(function, holder)
                return _place(survey, variable, id(value), suffix, above)
            continue
        variable = _variable(holder, value)
        if variable:
            return _place(survey, variable, child, suffix, parent)
        suffix = _step(holder, value, _instance_of(survey, parent)) + suffix
        child = parent
    return Place("", child, suffix.lstrip("."), "", suffix.lstrip("."))


def _place(survey: Survey, variable: str, owner: int, suffix: str, parent: int) -> Place:
    users = _users(survey, parent)
    name = variable + (suffix if len(suffix) <= _SHOWN else "…")
    return Place(variable, owner, name, users[0] if users else "", " <- ".join([name, *users]))


def _users(survey: Survey, key: int | None) -> list[str]:
    """Functions, classes and steps from an object up to the root."""
    found: list[str] = []
    for _ in range(_DEPTH):
        if key is None:
            break
        target: Any = survey.objects[key]
        name = ""
        if isinstance(target, types.FunctionType | type):
            name = target.__qualname__.replace(".<locals>", "")
        elif isinstance(target, types.ModuleType):
            name = target.__name__
        elif type(target).__module__.startswith("warmcell."):
            name = str(vars(target).get("name") or "") if hasattr(target, "__dict__") else ""
        if name and (not found or found[-1] != name):
            found.append(name)
        key = survey.parents.get(key)
    return found


def _variable(holder: object, value: object) -> str:
    """The name that binds ``value`` if ``holder`` is a function, a class or a module."""
    if isinstance(holder, types.FunctionType):
        for name, found in codes.globals_of(holder).items():
            if found is value:
                return name
        code = holder.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = holder.__defaults__ or ()
        for name, found in zip(names[len(names) - len(defaults) :], defaults, strict=True):
            if found is value:
                return name
        for name, found in (holder.__kwdefaults__ or {}).items():
            if found is value:
                return name
        return _key(vars(holder), value)
    if isinstance(holder, type | types.ModuleType):
        return _key(dict(vars(holder)), value)
    return ""


def _key(mapping: dict[Any, Any], value: object) -> str:
    return next((str(k) for k, v in list(mapping.items()) if v is value), "")


def _cell_name(function: types.FunctionType, cell: types.CellType) -> str:
    names = function.__code__.co_freevars
    pairs = zip(names, function.__closure__ or (), strict=True)
    return next((name for name, found in pairs if found is cell), "?")


def _instance_of(survey: Survey, key: int) -> object:
    """The object whose attributes a dictionary holds, or None."""
    above = survey.parents.get(key)
    candidate = survey.objects[above] if above is not None else None
    attributes = getattr(candidate, "__dict__", None)
    return candidate if attributes is survey.objects[key] else None


def _step(holder: Any, value: object, instance: object) -> str:
    """How ``value`` is reached from ``holder``, as an expression."""
    if isinstance(holder, dict):
        for key, found in list(holder.items()):
            if found is value:
                return f".{key}" if instance is not None else f"[{key!r}]"
        return ""
    if isinstance(holder, list | tuple):
        return next((f"[{i}]" for i, found in enumerate(holder) if found is value), "")
    attributes = getattr(holder, "__dict__", None)
    if isinstance(attributes, dict) and attributes is not value:
        name = _key(attributes, value)
        return f".{name}" if name else ""
    return ""
