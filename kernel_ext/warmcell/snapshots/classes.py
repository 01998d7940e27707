"""How classes and their instances are written."""

from __future__ import annotations

import copyreg
import enum
import inspect
import sys
import types
import typing
from typing import Any

from cloudpickle import cloudpickle as private

from warmcell.snapshots import code as codes
from warmcell.snapshots import rebuild
from warmcell.snapshots.homes import (
    home_of_class,
)
from warmcell.snapshots.kinds import (
    has_reducer,
)
from warmcell.snapshots.survey import Survey

_PAYLOADS: dict[type, Any] = {
    int: int.__index__,
    str: str.__str__,
    float: float.__float__,
    bytes: lambda m: bytes.__getitem__(m, slice(None)),
    tuple: lambda m: tuple.__getitem__(m, slice(None)),
}
_ENUM_OWN = (
    "_generate_next_value_",
    "_member_names_",
    "_member_map_",
    "_member_type_",
    "_value2member_map_",
    "_unhashable_values_",
    "_unhashable_values_map_",
    "_hashable_values_",
    "_flag_mask_",
    "_all_bits_",
    "_singles_mask_",
    "_inverted_",
)


def builtin_type(cls: type) -> Any:
    """The reduction of a type of the interpreter that has no importable name, or None."""
    if cls is type(None):
        return (type, (None,))
    if cls is type(...):
        return (type, (...,))
    if cls is type(NotImplemented):
        return (type, (NotImplemented,))
    if cls in private._BUILTIN_TYPE_NAMES:
        return (private._builtin_type, (private._BUILTIN_TYPE_NAMES[cls],))
    return None


def reduce_class(cls: type) -> Any:
    """A class by value, in two parts so that its methods can refer to it."""
    if issubclass(cls, enum.Enum):
        return _reduce_enum(cls)
    if _is_struct(cls):
        return _reduce_struct(cls)
    body: dict[str, Any] = {"__qualname__": cls.__qualname__}
    for name in ("__module__", "__orig_bases__", "__slots__", "__classcell__"):
        if name in cls.__dict__:
            body[name] = cls.__dict__[name]
    if isinstance(body.get("__slots__"), str):
        body["__slots__"] = (body["__slots__"],)
    attributes, _ = private._class_getstate(cls)
    registry = attributes.pop("_abc_impl", None)
    for name in ("__slots__", "__slotnames__", "__orig_bases__", "__warmcell_rebuilt__"):
        attributes.pop(name, None)
    attributes = {
        k: v
        for k, v in attributes.items()
        if not (isinstance(v, types.MemberDescriptorType) and v.__objclass__ is cls)
    }
    _resolve_annotations(cls, attributes)
    meta: type = type(cls)
    return (
        rebuild.make_class,
        (meta, library_base(meta), cls.__name__, cls.__bases__, body),
        (attributes, registry),
        None,
        None,
        rebuild.fill_class,
    )


def library_base(cls: type) -> type:
    """The first class in the method resolution order that a snapshot does not re-create."""
    return next(c for c in cls.__mro__ if home_of_class(c) == "installed")


def _resolve_annotations(cls: type, attributes: dict[str, Any]) -> None:
    """Give the copy real types instead of text: text would be looked up in the live notebook."""
    annotations = attributes.get("__annotations__")
    if not isinstance(annotations, dict) or not any(codes.annotation_names(annotations)):
        return
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError):
        return
    attributes["__annotations__"] = {n: hints.get(n, a) for n, a in annotations.items()}


def _is_struct(cls: type) -> bool:
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and issubclass(cls, msgspec.Struct)


def _reduce_enum(cls: Any) -> Any:
    attributes, _ = private._class_getstate(cls)
    data_type = cls._member_type_
    members: list[tuple[str, Any, Any]] = []
    own: dict[str, dict[str, Any]] = {}
    for name, member in cls.__members__.items():
        payload: tuple[Any, ...] = ()
        if data_type is not object:
            read = next((_PAYLOADS[b] for b in data_type.__mro__ if b in _PAYLOADS), None)
            payload = (read(member),) if read is not None else (member._value_,)
        members.append((name, member._value_, payload))
        attributes.pop(name, None)
        mine = {k: v for k, v in vars(member).items() if k not in _MEMBER_OWN}
        if mine:
            own[name] = mine
    for name in (*_ENUM_OWN, "_abc_impl", "__warmcell_rebuilt__", "__new_member__"):
        value = attributes.pop(name, None)
        if name == "__new_member__" and value is not None:
            attributes[name] = value
    body = {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    meta: type = type(cls)
    boundary = getattr(cls, "_boundary_", None)
    return (
        rebuild.make_enum,
        (meta, library_base(meta), cls.__name__, cls.__bases__, body, members, boundary),
        (attributes, own),
        None,
        None,
        rebuild.fill_enum,
    )


_MEMBER_OWN = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def _reduce_struct(cls: Any) -> Any:
    import msgspec

    config = cls.__struct_config__
    inherited = len(getattr(cls.__base__, "__struct_fields__", ()))
    fields = cls.__struct_fields__
    own = [f for f in codes.own_annotations(cls) if f in fields] or list(fields[inherited:])
    options = {
        name: getattr(config, name)
        for name in (
            "frozen",
            "eq",
            "order",
            "array_like",
            "gc",
            "repr_omit_defaults",
            "omit_defaults",
            "forbid_unknown_fields",
            "weakref",
            "dict",
            "cache_hash",
        )
        if getattr(config, name, None) is not None
    }
    if config.tag is not None:
        options["tag"] = config.tag
        options["tag_field"] = config.tag_field
    renamed = {f: e for f, e in zip(fields, cls.__struct_encode_fields__, strict=True) if f != e}
    if renamed:
        options["rename"] = renamed
    parameters = inspect.signature(cls).parameters
    if any(parameters[f].kind is inspect.Parameter.KEYWORD_ONLY for f in own if f in parameters):
        options["kw_only"] = True
    body: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__annotations__": dict.fromkeys(own, object),
    }
    defaults = dict(
        zip(
            fields[len(fields) - len(cls.__struct_defaults__) :],
            cls.__struct_defaults__,
            strict=True,
        )
    )
    factories: dict[str, Any] = {}
    for name in own:
        default = defaults.get(name, msgspec.NODEFAULT)
        if default is msgspec.NODEFAULT:
            continue
        if type(default).__name__ == "Factory":
            factories[name] = default.factory
        else:
            body[name] = default
    attributes, _ = private._class_getstate(cls)
    post_init = attributes.pop("__post_init__", None)
    for name in list(attributes):
        if (
            name.startswith("__struct_")
            or name
            in (
                "__annotations__",
                "__slots__",
                "__match_args__",
                "_abc_impl",
                "__warmcell_rebuilt__",
                "__module__",
                "__configs__",
            )
            or name in fields
        ):
            del attributes[name]
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError):
        hints = codes.own_annotations(cls)
    annotations = {n: hints[n] for n in own if n in hints}
    return (
        rebuild.struct,
        (cls.__name__, cls.__bases__, body, options, factories, post_init is not None),
        (attributes, annotations, post_init, fields),
        None,
        None,
        rebuild.fill_struct,
    )


def reduce_instance(target: Any, survey: Survey) -> Any:
    """An instance of a notebook class: a new shell with the same state.

    Its own ``__new__``, ``__setattr__``, ``__getattr__`` and ``__setitem__`` do not run. A class
    that says itself how it is pickled is left to it.
    """
    cls = type(target)
    if has_reducer(cls) or hasattr(cls, "__setstate__") or isinstance(target, enum.Enum):
        return NotImplemented
    reduced = target.__reduce_ex__(4)
    if reduced[0] is not copyreg.__newobj__:  # type: ignore[attr-defined]
        return NotImplemented
    _, (made, *arguments), state, listed, keyed = (*reduced, None, None)[:5]
    base = library_base(made)
    attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if attributes is not None and not isinstance(attributes, dict):
        return NotImplemented
    items = list(listed) if listed is not None else list(keyed) if keyed is not None else None
    if isinstance(target, set | frozenset | bytearray):
        return NotImplemented
    if getattr(made, "__getnewargs__", None) is not getattr(base, "__getnewargs__", None):
        return NotImplemented
    return (
        rebuild.instance,
        (made, base, tuple(arguments)),
        (dict(attributes or {}), dict(slots or {}), items, base),
        None,
        None,
        rebuild.fill_instance,
    )
