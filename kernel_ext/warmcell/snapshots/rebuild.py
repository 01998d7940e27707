"""Functions that a snapshot's bytes call while they load. Their names are part of the format."""

from __future__ import annotations

import functools
import sys
import threading
import types
import typing
from collections.abc import Callable
from enum import EnumType
from typing import Any

_HOOKS = ("__init_subclass__", "__pydantic_init_subclass__")
_MARK = "__warmcell_rebuilt__"


class RebuildError(Exception):
    """A class could not be made again. ``qualname`` is its name."""

    def __init__(self, qualname: str, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.qualname = qualname


# -- functions -------------------------------------------------------------------------------


def code(*arguments: Any) -> types.CodeType:
    """A code object from the arguments of its own type."""
    return types.CodeType(*arguments)


def empty_cell() -> types.CellType:
    """A cell that is filled with the state of a function that closes over it."""
    return types.CellType()


def filled_cell(cell: types.CellType, content: tuple[Any]) -> None:
    """Fill a cell that no function of the snapshot closes over."""
    (cell.cell_contents,) = content


def function(
    code: types.CodeType,
    space: dict[str, Any],
    name: str,
    closure: tuple[types.CellType, ...] | None,
) -> types.FunctionType:
    """A function without its state. ``space`` holds the builtins already: they are taken now."""
    return types.FunctionType(code, space, name, None, closure)


def fill_function(target: types.FunctionType, state: tuple[Any, ...]) -> None:
    """Globals, cells and attributes of a function made by :func:`function`. The last part of the
    state is there to be imported: submodules that the function reaches through their package."""
    attributes, slots, space, contents, _ = state
    target.__globals__.update(space)
    for cell, content in zip(target.__closure__ or (), contents, strict=True):
        if content:
            (cell.cell_contents,) = content
    target.__dict__.update(attributes)
    for name, value in slots.items():
        setattr(target, name, value)


def fill_space(space: dict[str, Any], state: dict[str, Any]) -> None:
    """The contents of a local module or of extra names."""
    space.update(state)


def loaded_module(name: str) -> types.ModuleType:
    """An installed module, imported."""
    __import__(name)
    return sys.modules[name]


def cached(wrapped: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """A new, cold ``functools.lru_cache`` around ``wrapped``."""
    return functools.lru_cache(maxsize=maxsize, typed=typed)(wrapped)


def fill_attributes(target: Any, attributes: dict[str, Any]) -> None:
    """Attributes of a wrapper."""
    target.__dict__.update(attributes)


def single_dispatch(base: Callable[..., Any]) -> Any:
    """A ``functools.singledispatch`` function with only its fallback."""
    return functools.singledispatch(base)


def fill_single_dispatch(target: Any, state: tuple[list[tuple[type, Any]], dict[str, Any]]) -> None:
    """Register the implementations of a ``functools.singledispatch`` function."""
    registry, attributes = state
    for cls, implementation in registry:
        if cls is not object:
            target.register(cls, implementation)
    target.__dict__.update(attributes)


def single_dispatch_method(base: Callable[..., Any]) -> Any:
    """A ``functools.singledispatchmethod`` without the cache that it has from Python 3.13 on."""
    return functools.singledispatchmethod(base)


def cached_property(function: Callable[..., Any]) -> Any:
    """A ``functools.cached_property`` without the lock that it has on Python 3.11."""
    return functools.cached_property(function)


def lock() -> Any:
    """A new, unlocked lock in place of one that cannot be stored."""
    return threading.Lock()


def rlock() -> Any:
    """A new, unlocked reentrant lock."""
    return threading.RLock()


def shell() -> Any:
    """The IPython shell of whichever process this is, or None."""
    from IPython import get_ipython

    return get_ipython()


# -- instances -------------------------------------------------------------------------------


def instance(cls: type, base: type, arguments: tuple[Any, ...]) -> Any:
    """An object of ``cls`` without running any of its own methods."""
    return base.__new__(cls, *arguments)


def fill_instance(target: Any, state: tuple[Any, ...]) -> None:
    """State and items of an object made by :func:`instance`, past its own methods."""
    attributes, slots, items, base = state
    if attributes:
        target.__dict__.update(attributes)
    for name, value in slots.items():
        object.__setattr__(target, name, value)
    if items is None:
        return
    if issubclass(base, dict):
        for key, value in items:
            dict.__setitem__(target, key, value)
    elif issubclass(base, list):
        list.extend(target, items)
    else:
        updater: Any = base
        updater.update(target, items)


# -- classes ---------------------------------------------------------------------------------


def make_class(
    meta: type, maker: type, name: str, bases: tuple[type, ...], body: dict[str, Any]
) -> type:
    """A class without its attributes.

    ``maker`` is the first metaclass of ``meta`` that is not notebook code: the notebook's own
    metaclass and its bases' ``__init_subclass__`` already ran when the class was defined, and what
    they did is part of the captured state.
    """
    paused: list[tuple[type, str, Any]] = []
    for base in bases:
        for cls in base.__mro__:
            if _MARK not in cls.__dict__:
                continue
            for hook in _HOOKS:
                if hook in cls.__dict__:
                    paused.append((cls, hook, cls.__dict__[hook]))
                    type.__delattr__(cls, hook)
    if maker.__name__ == "_TypedDictMeta":  # it wants its own base, not the `dict` it makes of it
        bases = types.resolve_bases(body.get("__orig_bases__", (typing.TypedDict,)))
    try:
        if maker is type:
            made: Any = type.__new__(meta, name, bases, dict(body))
        else:
            constructor: Any = maker.__new__
            made = constructor(meta, name, bases, dict(body))
            maker_type: Any = maker
            maker_type.__init__(made, name, bases, dict(body))
    except Exception as error:  # a library's metaclass may raise anything
        raise RebuildError(body.get("__qualname__", name), error) from error
    finally:
        for cls, hook, value in paused:
            type.__setattr__(cls, hook, value)
    return made  # type: ignore[no-any-return]


def fill_class(cls: type, state: tuple[dict[str, Any], list[type] | None]) -> None:
    """Attributes and registered subclasses of a class made by :func:`make_class`."""
    attributes, registry = state
    for name, value in attributes.items():
        try:
            type.__setattr__(cls, name, value)
        except (AttributeError, TypeError) as error:
            raise RebuildError(cls.__qualname__, error) from error
    type.__setattr__(cls, _MARK, True)
    for subclass in registry or ():
        cls.register(subclass)  # type: ignore[attr-defined]


def make_enum(
    meta: EnumType,
    maker: type,
    name: str,
    bases: tuple[type, ...],
    body: dict[str, Any],
    members: list[tuple[str, Any, Any]],
    boundary: Any,
) -> type:
    """An enum with its members, aliases included. A member is (name, value, payload), payload
    being what its data type holds, or an empty tuple."""
    payloads = {member: payload for member, _, payload in members}
    names = iter([member for member, _, _ in members])

    def new(cls: type, *_: Any) -> Any:
        member = next(names)
        data_type: Any = cls._member_type_  # type: ignore[attr-defined]
        made = data_type.__new__(cls, *payloads[member])
        made._value_ = values[member]
        return made

    values = {member: value for member, value, _ in members}
    try:
        constructor: Any = maker.__new__
        prepare: Any = maker.__prepare__
        body_dict = prepare(name, bases)
        for key, value in body.items():
            body_dict[key] = value
        body_dict["__new__"] = new
        for member, value, _ in members:
            body_dict[member] = value
        extra = {} if boundary is None else {"boundary": boundary}
        return constructor(meta, name, bases, body_dict, **extra)  # type: ignore[no-any-return]
    except Exception as error:  # an enum may have any rule of its own
        raise RebuildError(body.get("__qualname__", name), error) from error


def fill_enum(cls: Any, state: tuple[dict[str, Any], dict[str, dict[str, Any]]]) -> None:
    """Methods of an enum, and attributes that its members set on themselves."""
    attributes, members = state
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    for name, own in members.items():
        cls._member_map_[name].__dict__.update(own)
    type.__setattr__(cls, _MARK, True)


def type_variable(
    name: str, bound: Any, constraints: tuple[Any, ...], covariant: bool, contravariant: bool
) -> Any:
    """A type variable of its own."""
    from typing import TypeVar

    maker: Any = TypeVar
    return maker(name, *constraints, bound=bound, covariant=covariant, contravariant=contravariant)


def other_variable(cls: Any, name: str) -> Any:
    """A ``ParamSpec`` or ``TypeVarTuple`` of its own."""
    return cls(name)


def struct(
    name: str,
    bases: tuple[type, ...],
    body: dict[str, Any],
    options: dict[str, Any],
    factories: dict[str, Any],
    post_init: bool,
) -> Any:
    """A ``msgspec.Struct`` with fields and options; methods and field types are set later."""
    import msgspec

    body = dict(body)
    for field, factory in factories.items():
        body[field] = msgspec.field(default_factory=factory)
    slot: list[Callable[[Any], None]] = []
    if post_init:

        def __post_init__(self: Any) -> None:
            slot[0](self)

        __post_init__.__dict__["slot"] = slot
        body["__post_init__"] = __post_init__
    try:
        meta: Any = type(msgspec.Struct)
        return meta(name, bases, body, **options)
    except Exception as error:  # msgspec's rules
        raise RebuildError(body.get("__qualname__", name), error) from error


def fill_struct(
    cls: Any, state: tuple[dict[str, Any], dict[str, Any], Any, tuple[str, ...]]
) -> None:
    """Field types and methods of a struct made by :func:`struct`."""
    attributes, annotations, post_init, fields = state
    if cls.__struct_fields__ != fields:
        raise RebuildError(
            cls.__qualname__, TypeError("its fields would change their order on the wire")
        )
    cls.__annotations__.update(annotations)
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    if post_init is not None:
        cls.__dict__["__post_init__"].__dict__["slot"].append(post_init)
    type.__setattr__(cls, _MARK, True)
