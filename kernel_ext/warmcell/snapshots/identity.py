"""How code is hashed: by what it does, without file, lines, docstrings or addresses."""

from __future__ import annotations

import dis
import enum
import functools
import sys
import types
import typing
from typing import TYPE_CHECKING, Any

from warmcell.snapshots import code as codes
from warmcell.snapshots.homes import home_of_class, home_of_function, importable, is_local_module
from warmcell.snapshots.kinds import (
    TYPE_VARIABLES,
)

if TYPE_CHECKING:
    from warmcell.snapshots.fingerprints import Hasher

_OPTIMIZED = 0x1
_DOCSTRING = 0x4000000
_CLASS_NOISE = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__doc__",
        "__abstractmethods__",
        "__class_vars__",
        "__firstlineno__",
        "__hash__",
        "__match_args__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__signature__",
        "__slotnames__",
        "__slots__",
        "__static_attributes__",
        "__warmcell_rebuilt__",
        "_abc_impl",
    }
)
_MODULE_NOISE = frozenset({"__file__", "__path__", "__doc__"})
_PYDANTIC_KEPT = frozenset({"__pydantic_fields__", "__pydantic_computed_fields__"})


def function(hasher: Hasher, target: types.FunctionType) -> list[object] | None:
    """Its code, defaults, annotations, cells, and the globals that it names."""
    installed = home_of_function(target) == "installed"
    if installed and importable(target):
        hasher.write("name", f"{target.__module__}.{target.__qualname__}".encode())
        return None
    hasher.write("function", target.__name__.encode())
    if hasattr(target, "registry") and hasattr(target, "_clear_cache"):
        return [part for pair in target.registry.items() for part in pair]
    space = {} if installed else codes.globals_of(target)
    if hasher.imports and not installed:
        space = {**space, **codes.imported(target)}
    return [
        target.__code__,
        target.__defaults__,
        target.__kwdefaults__,
        target.__annotations__,
        {k: v for k, v in vars(target).items() if k != "__wrapped__"},
        *(target.__closure__ or ()),
        *(part for name in sorted(space) for part in (name, space[name])),
    ]


def cell(hasher: Hasher, target: types.CellType) -> list[object] | None:
    """What the cell holds."""
    hasher.write("cell")
    try:
        return [target.cell_contents]
    except ValueError:
        return None


def code(hasher: Hasher, target: types.CodeType) -> None:
    """Symbolic instructions without file, lines and docstring."""
    constants = list(target.co_consts)
    if _has_docstring(target):
        constants[0] = None
    hasher.write(
        "code", repr((target.co_name, target.co_argcount, target.co_kwonlyargcount)).encode()
    )
    names = (target.co_names, target.co_varnames, target.co_freevars, target.co_cellvars)
    hasher.write("flags", str(target.co_flags & ~_DOCSTRING).encode())
    hasher.write("names", repr(names).encode())
    with_constant = frozenset(dis.hasconst)
    plain: list[Any] = []
    for operation, argument in _operations(target):
        if operation in with_constant and argument is not None and argument < len(constants):
            constant = constants[argument]
            if isinstance(constant, types.CodeType):
                hasher.write("part", repr(plain).encode())
                plain = []
                code(hasher, constant)
            else:
                plain.append((operation, _constant(constant)))
        elif operation != dis.EXTENDED_ARG:
            plain.append((operation, argument))
    hasher.write("part", repr(plain).encode())
    hasher.write("table", target.co_exceptiontable)


@functools.lru_cache(maxsize=1024)
def _operations(code: types.CodeType) -> tuple[tuple[int, int | None], ...]:
    return tuple((one.opcode, one.arg) for one in dis.get_instructions(code))


def _has_docstring(code: types.CodeType) -> bool:
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & _DOCSTRING)
    if code.co_name.startswith("<"):  # a comprehension or lambda: its first constant is used
        return False
    first = code.co_consts[:1]
    return bool(code.co_flags & _OPTIMIZED and first and isinstance(first[0], str))


def module(hasher: Hasher, target: types.ModuleType) -> list[object] | None:
    """A local module by its contents, an installed one by its name."""
    hasher.write("module", target.__name__.encode())
    if not is_local_module(target):
        return None
    state = codes.module_state(target)
    names = sorted(state.keys() - _MODULE_NOISE)
    return [part for name in names for part in (name, state[name])]


def class_(hasher: Hasher, cls: type) -> list[object] | None:
    """Bases and attributes, without what the interpreter and libraries add."""
    if home_of_class(cls) == "installed" and (
        importable(cls) or not ("__dict__" in cls.__dict__ or "__slots__" in cls.__dict__)
    ):
        hasher.write("name", f"{cls.__module__}.{cls.__qualname__}".encode())
        return None
    hasher.write("class", cls.__qualname__.encode())
    parts: list[object] = [type(cls), *cls.__bases__]
    if issubclass(cls, enum.Enum):
        for name, member in cls.__members__.items():
            parts += (name, member._value_)
    members = getattr(cls, "__members__", {}) if issubclass(cls, enum.Enum) else {}
    for name in sorted(cls.__dict__):
        value = cls.__dict__[name]
        if name in _CLASS_NOISE or name in members or _is_enum_noise(cls, name):
            continue
        if name.startswith("__pydantic_") and name not in _PYDANTIC_KEPT:
            continue
        if isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
            parts.append(name)
            continue
        parts += (name, value)
    if (decorators := cls.__dict__.get("__pydantic_decorators__")) is not None:
        parts += ("decorators", _decorators(decorators))
    return parts


def _decorators(found: Any) -> list[object]:
    """What pydantic's decorators of a class say: their functions are among its attributes."""
    return [
        part
        for group in sorted(getattr(type(found), "__slots__", None) or vars(found))
        if isinstance(members := getattr(found, group, None), dict)
        for name, member in members.items()
        for part in (group, name, getattr(member, "info", None))
    ]


def cache(hasher: Hasher, wrapper: Any) -> list[object]:
    """The wrapped function; not what was cached."""
    hasher.write("cache", repr(sorted(wrapper.cache_parameters().items())).encode())
    return [wrapper.__wrapped__]


def variable(hasher: Hasher, target: Any) -> list[object]:
    """Name, bound and constraints."""
    hasher.write("variable", target.__name__.encode())
    return [getattr(target, n, None) for n in ("__bound__", "__constraints__")]


def forward(hasher: Hasher, reference: typing.ForwardRef) -> None:
    """The text of a forward reference."""
    hasher.write("forward", reference.__forward_arg__.encode())


def cached_property(hasher: Hasher, item: Any) -> list[object]:
    """The function behind a cached property."""
    hasher.write("cached_property")
    return [item.func]


def single_dispatch_method(hasher: Hasher, item: Any) -> list[object]:
    """The functions behind a method, without what it remembers of its calls."""
    hasher.write("singledispatchmethod")
    return [item.func, item.dispatcher]


def _is_enum_noise(cls: type, name: str) -> bool:
    return (
        issubclass(cls, enum.Enum)
        and name.startswith("_")
        and name.endswith("_")
        and (not name.startswith("__") or name in ("__new__", "__new_member__"))
    )


def _constant(constant: object) -> object:
    if isinstance(constant, frozenset):
        return sorted(map(repr, constant))
    if isinstance(constant, tuple):
        return tuple(_constant(c) for c in constant)
    return repr(constant)


BY_TYPE: dict[type, Any] = {
    types.FunctionType: function,
    types.CellType: cell,
    types.CodeType: code,
    types.ModuleType: module,
    **dict.fromkeys(TYPE_VARIABLES, variable),
    typing.ForwardRef: forward,
    functools.cached_property: cached_property,
    functools.singledispatchmethod: single_dispatch_method,
    type(functools.lru_cache(lambda: None)): cache,
}
