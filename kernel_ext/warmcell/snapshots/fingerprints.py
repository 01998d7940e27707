"""Hashes of objects by what they are, not by how they happen to be pickled.

The same value gives the same hash after a re-run of its cell, in another kernel and under another
hash seed. Used per referenced object (did it change since the deploy?) and over a whole snapshot
(is this the same snapshot?). xxh3 with 128 bits: about 50 ms per GB, other threads run meanwhile.
"""

from __future__ import annotations

import dis
import enum
import functools
import pickle
import types
import typing
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import xxhash
from cloudpickle import cloudpickle as private

from warmcell.snapshots import code as codes
from warmcell.snapshots.kinds import (
    ATOMS,
    LOCKS,
    OWN_PACKAGES,
    TYPE_VARIABLES,
    Kind,
    home_of_class,
    home_of_function,
    importable,
    is_local_module,
    kind_of,
)
from warmcell.snapshots.plain import plain_hash
from warmcell.snapshots.sentinels import Sentinels

NODES = 2_000_000
_PLAIN_LENGTH = 256
_OPTIMIZED = 0x1
_CACHE_TYPE = type(functools.lru_cache(lambda: None))
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
_OWN_NOISE = frozenset({"source", "doc"})  # of our own Step and Pipeline: where a cell stood


class Hasher:
    """One running hash. ``size`` counts the bytes of data seen; ``exact`` turns False where an
    object could be told apart only by its identity in this process."""

    def __init__(self, known: Mapping[int, str] | None = None) -> None:
        self._hash = xxhash.xxh3_128()
        self._known = known or {}
        self._seen: dict[int, int] = {}
        self._keep: list[object] = []
        self._sentinels = Sentinels()
        self.size = 0
        self.exact = True

    def add(self, target: object) -> None:
        """Mix in ``target`` and all that it holds."""
        stack: list[object] = [target]
        while stack:
            item = stack.pop()
            parts = self._parts(item)
            if parts:
                stack.extend(reversed(parts))
            if len(self._keep) > NODES:
                self._opaque(item)
                return

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return str(self._hash.hexdigest())

    # -- one object --------------------------------------------------------------------------

    def _write(self, tag: str, data: Any = b"") -> None:
        length = len(data)
        self._hash.update(f"{tag}:{length};".encode())
        self._hash.update(data)
        self.size += length

    def _opaque(self, target: object) -> None:
        self.exact = False
        self._write("opaque", f"{type(target).__qualname__}@{id(target)}".encode())

    def _parts(self, item: Any) -> list[object] | None:
        cls = type(item)
        if cls in ATOMS:
            self._atom(item, cls)
            return None
        known = self._known.get(id(item))
        if known is not None:
            self._write("known", known.encode())
            return None
        number = self._seen.get(id(item))
        if number is not None:
            self._write("seen", str(number).encode())
            return None
        self._seen[id(item)] = len(self._seen)
        self._keep.append(item)
        if cls in _BY_TYPE:
            parts: list[object] | None = _BY_TYPE[cls](self, item)
            return parts
        if isinstance(item, type):
            return self._class(item)
        kind = kind_of(item)
        if kind is Kind.ARRAY and cls.__name__ == "ndarray":  # subclasses carry more than data
            return self._array(item)
        if kind is Kind.SHELL or cls in LOCKS or isinstance(item, weakref.ReferenceType):
            self._write(cls.__name__)
            return None
        return self._object(item, cls)

    def _atom(self, item: Any, cls: type) -> None:
        if cls is str:
            self._write("str", item.encode("utf-8", "surrogatepass"))
        elif cls is bytes:
            self._write("bytes", item)
        else:
            self._write(cls.__name__, repr(item).encode())

    def _items(self, item: Any) -> list[object] | None:
        if len(item) > _PLAIN_LENGTH and self._plain(item):
            return None
        values = list(item)
        self._write(type(item).__name__, str(len(values)).encode())
        return values

    def _mapping(self, item: dict[Any, Any]) -> list[object] | None:
        if len(item) > _PLAIN_LENGTH and self._plain(item):
            return None
        pairs = list(item.items())
        self._write("dict", str(len(pairs)).encode())
        return [part for pair in pairs for part in pair]

    def _plain(self, item: object) -> bool:
        found = plain_hash(item)
        if found is None:
            return False
        self._write("plain", found[0])
        self.size += found[1]
        return True

    def _set(self, item: Iterable[Any]) -> None:
        digests = []
        for element in list(item):
            inner = Hasher(self._known)
            inner.add(element)
            self.exact = self.exact and inner.exact
            self.size += inner.size
            digests.append(inner.hexdigest())
        self._write("set", "".join(sorted(digests)).encode())

    def _array(self, array: Any) -> list[object] | None:
        self._write("array", f"{array.dtype.str}{array.shape}".encode())
        if array.dtype.names:
            self._write("fields", repr(array.dtype.descr).encode())
        if array.dtype.hasobject:
            values = array.ravel().tolist()
            if len(values) <= _PLAIN_LENGTH or not self._plain(values):
                return [*values]
            return None
        if not array.nbytes:
            return None
        if not array.flags.c_contiguous:
            array = array.copy(order="C")
        self._write("data", memoryview(array.reshape(-1).view("u1")))
        return None

    def _function(self, function: types.FunctionType) -> list[object] | None:
        installed = home_of_function(function) == "installed"
        if installed and importable(function):
            self._write("name", f"{function.__module__}.{function.__qualname__}".encode())
            return None
        self._write("function", function.__name__.encode())
        if hasattr(function, "registry") and hasattr(function, "_clear_cache"):
            return [part for pair in function.registry.items() for part in pair]
        space = {} if installed else codes.globals_of(function)
        return [
            function.__code__,
            function.__defaults__,
            function.__kwdefaults__,
            function.__annotations__,
            {k: v for k, v in vars(function).items() if k != "__wrapped__"},
            *(function.__closure__ or ()),
            *(part for name in sorted(space) for part in (name, space[name])),
        ]

    def _cell(self, cell: types.CellType) -> list[object] | None:
        self._write("cell")
        try:
            return [cell.cell_contents]
        except ValueError:
            return None

    def _code(self, code: types.CodeType) -> None:
        """Symbolic instructions without file, lines and docstring."""
        constants = list(code.co_consts)
        if code.co_flags & _OPTIMIZED and constants and isinstance(constants[0], str):
            constants[0] = None
        self._write("code", repr((code.co_name, code.co_argcount, code.co_kwonlyargcount)).encode())
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
        self._write("names", repr(names).encode())
        with_constant = frozenset(dis.hasconst)
        plain: list[Any] = []
        for _, operation, argument in dis._unpack_opargs(code.co_code):  # type: ignore[attr-defined]
            if operation in with_constant and argument is not None and argument < len(constants):
                constant = constants[argument]
                if isinstance(constant, types.CodeType):
                    self._write("part", repr(plain).encode())
                    plain = []
                    self._code(constant)
                else:
                    plain.append((operation, _constant(constant)))
            elif operation != dis.EXTENDED_ARG:
                plain.append((operation, argument))
        self._write("part", repr(plain).encode())
        self._write("table", code.co_exceptiontable)

    def _module(self, module: types.ModuleType) -> list[object] | None:
        self._write("module", module.__name__.encode())
        if not is_local_module(module):
            return None
        state = codes.module_state(module)
        names = sorted(state.keys() - _MODULE_NOISE)
        return [part for name in names for part in (name, state[name])]

    def _class(self, cls: type) -> list[object] | None:
        if home_of_class(cls) == "installed" and (
            importable(cls) or not ("__dict__" in cls.__dict__ or "__slots__" in cls.__dict__)
        ):
            self._write("name", f"{cls.__module__}.{cls.__qualname__}".encode())
            return None
        self._write("class", cls.__qualname__.encode())
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
        return parts

    def _object(self, item: Any, cls: type) -> list[object] | None:
        named = self._sentinels.find(item)
        if named is not None:
            self._write("name", f"{cls.__module__}.{named[1][1]}".encode())
            return None
        self._write("object", cls.__qualname__.encode())
        if cls.__name__ == "TypeAdapter" and cls.__module__.startswith("pydantic."):
            return [item._type, item._config]  # its compiled schema contains addresses
        own = cls.__module__.partition(".")[0] in OWN_PACKAGES
        if own and cls.__name__ == "Source":
            return None
        try:
            reduce = private.Pickler.dispatch_table.get(cls)
            reduced = reduce(item) if reduce is not None else item.__reduce_ex__(5)
        except Exception:  # the object's own code
            self._opaque(item)
            return None
        if isinstance(reduced, str):
            self._write("name", reduced.encode())
            return None
        parts = [p if p is None or not hasattr(p, "__next__") else list(p) for p in reduced]
        if own and len(parts) > 2 and isinstance(parts[2], dict):
            parts[2] = {k: v for k, v in parts[2].items() if k not in _OWN_NOISE}
        return parts

    def _buffer(self, buffer: pickle.PickleBuffer) -> None:
        try:
            self._write("data", buffer.raw())
        except BufferError:
            self._write("data", memoryview(buffer).tobytes())

    def _cache(self, wrapper: Any) -> list[object]:
        self._write("cache", repr(sorted(wrapper.cache_parameters().items())).encode())
        return [wrapper.__wrapped__]

    def _variable(self, variable: Any) -> list[object]:
        self._write("variable", variable.__name__.encode())
        return [getattr(variable, n, None) for n in ("__bound__", "__constraints__")]

    def _forward(self, reference: typing.ForwardRef) -> None:
        self._write("forward", reference.__forward_arg__.encode())

    def _cached_property(self, item: Any) -> list[object]:
        self._write("cached_property")
        return [item.func]


_BY_TYPE: dict[type, Any] = {
    list: Hasher._items,
    tuple: Hasher._items,
    dict: Hasher._mapping,
    set: Hasher._set,
    frozenset: Hasher._set,
    types.FunctionType: Hasher._function,
    types.CellType: Hasher._cell,
    types.CodeType: Hasher._code,
    types.ModuleType: Hasher._module,
    pickle.PickleBuffer: Hasher._buffer,
    **dict.fromkeys(TYPE_VARIABLES, Hasher._variable),
    typing.ForwardRef: Hasher._forward,
    functools.cached_property: Hasher._cached_property,
    _CACHE_TYPE: Hasher._cache,
}


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


class Fingerprint(typing.NamedTuple):
    """The hash of one object. ``exact`` is False where it says only which object it is."""

    digest: str
    size: int
    exact: bool


def fingerprint(target: object) -> Fingerprint:
    """The hash of one object and of all that it holds."""
    hasher = Hasher()
    hasher.add(target)
    return Fingerprint(hasher.hexdigest(), hasher.size, hasher.exact)
