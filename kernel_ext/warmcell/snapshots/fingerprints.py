"""Hashes of objects by what they are, not by how they happen to be pickled.

The same value gives the same hash after a re-run of its cell, in another kernel and under another
hash seed. Used per referenced object (did it change since the deploy?) and over a whole snapshot
(is this the same snapshot?). xxh3 with 128 bits: about 50 ms per GB, other threads run meanwhile.
"""

from __future__ import annotations

import pickle
import typing
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import xxhash
from cloudpickle import cloudpickle as private

from warmcell.snapshots import identity, memory
from warmcell.snapshots.homes import (
    OWN_PACKAGES,
)
from warmcell.snapshots.kinds import (
    ATOMS,
    LOCKS,
    Kind,
    kind_of,
)
from warmcell.snapshots.plain import plain_hash
from warmcell.snapshots.sentinels import Sentinels

NODES = 2_000_000
_PLAIN_LENGTH = 256
_OWN_NOISE = frozenset({"source", "doc"})  # of our own Step and Pipeline: where a cell stood


class Hasher:
    """One running hash. ``size`` counts the bytes of data seen; ``exact`` turns False where an
    object could be told apart only by its identity in this process; ``hides_code`` turns True where
    an object pickles something of the notebook within itself. With ``imports`` the local modules
    count that functions import while they run."""

    def __init__(self, known: Mapping[int, str] | None = None, *, imports: bool = False) -> None:
        self.imports = imports
        self._hash = xxhash.xxh3_128()
        self._known = known or {}
        self._seen: dict[int, int] = {}
        self._keep: list[object] = []
        self._sentinels = Sentinels()
        self.size = 0
        self.exact = True
        self.hides_code = False

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

    def write(self, tag: str, data: Any = b"") -> None:
        length = len(data)
        self._hash.update(f"{tag}:{length};".encode())
        self._hash.update(data)
        self.size += length

    def _opaque(self, target: object) -> None:
        self.exact = False
        self.write("opaque", f"{type(target).__qualname__}@{id(target)}".encode())

    def _parts(self, item: Any) -> list[object] | None:
        cls = type(item)
        if cls in ATOMS:
            self._atom(item, cls)
            return None
        known = self._known.get(id(item))
        if known is not None:
            self.write("known", known.encode())
            return None
        number = self._seen.get(id(item))
        if number is not None:
            self.write("seen", str(number).encode())
            return None
        self._seen[id(item)] = len(self._seen)
        self._keep.append(item)
        if cls in _BY_TYPE:
            parts: list[object] | None = _BY_TYPE[cls](self, item)
            return parts
        if isinstance(item, type):
            return identity.class_(self, item)
        kind = kind_of(item)
        if kind is Kind.ARRAY and cls.__name__ == "ndarray":  # subclasses carry more than data
            return self._array(item)
        if kind is Kind.SHELL or cls in LOCKS or isinstance(item, weakref.ReferenceType):
            self.write(cls.__name__)
            return None
        return self._object(item, cls)

    def _atom(self, item: Any, cls: type) -> None:
        if cls is str:
            self.write("str", item.encode("utf-8", "surrogatepass"))
        elif cls is bytes:
            self.hides_code = self.hides_code or b"__main__" in item
            self.write("bytes", item)
        else:
            self.write(cls.__name__, repr(item).encode())

    def _items(self, item: Any) -> list[object] | None:
        if len(item) > _PLAIN_LENGTH and self._plain(item):
            return None
        values = list(item)
        self.write(type(item).__name__, str(len(values)).encode())
        return values

    def _mapping(self, item: dict[Any, Any]) -> list[object] | None:
        if len(item) > _PLAIN_LENGTH and self._plain(item):
            return None
        pairs = list(item.items())
        self.write("dict", str(len(pairs)).encode())
        return [part for pair in pairs for part in pair]

    def _plain(self, item: object) -> bool:
        found = plain_hash(item)
        if found is None:
            return False
        self.write("plain", found[0])
        self.size += found[1]
        return True

    def _set(self, item: Iterable[Any]) -> None:
        digests = []
        for element in list(item):
            inner = Hasher(self._known, imports=self.imports)
            inner.add(element)
            self.exact = self.exact and inner.exact
            self.size += inner.size
            digests.append(inner.hexdigest())
        self.write("set", "".join(sorted(digests)).encode())

    def _array(self, array: Any) -> list[object] | None:
        self.write("array", f"{array.dtype.str}{array.shape}".encode())
        if array.dtype.names:
            self.write("fields", repr(array.dtype.descr).encode())
        if array.dtype.hasobject:
            values = array.ravel().tolist()
            if len(values) <= _PLAIN_LENGTH or not self._plain(values):
                return [*values]
            return None
        if not array.nbytes:
            return None
        if not array.flags.c_contiguous:
            array = array.copy(order="C")
        self.write("data", memoryview(array.reshape(-1).view("u1")))
        return None

    def _object(self, item: Any, cls: type) -> list[object] | None:
        named = self._sentinels.find(item)
        if named is not None:
            self.write("name", f"{cls.__module__}.{named[1][1]}".encode())
            return None
        self.write("object", cls.__qualname__.encode())
        if memory.is_storage(cls):
            return list(memory.storage_parts(item))
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
            self.write("name", reduced.encode())
            return None
        parts = [*reduced[:3], *(p if p is None else list(p) for p in reduced[3:5])]
        if own and len(parts) > 2 and isinstance(parts[2], dict):
            parts[2] = {k: v for k, v in parts[2].items() if k not in _OWN_NOISE}
        return parts

    def _buffer(self, buffer: pickle.PickleBuffer) -> None:
        try:
            self.write("data", buffer.raw())
        except BufferError:
            self.write("data", memoryview(buffer).tobytes())


_BY_TYPE: dict[type, Any] = {
    **identity.BY_TYPE,
    list: Hasher._items,
    tuple: Hasher._items,
    dict: Hasher._mapping,
    set: Hasher._set,
    frozenset: Hasher._set,
    pickle.PickleBuffer: Hasher._buffer,
}


class Fingerprint(typing.NamedTuple):
    """The hash of one object. ``exact`` is False where it says only which object it is;
    ``hides_code`` says that it holds code of the notebook where no walk finds it."""

    digest: str
    size: int
    exact: bool
    hides_code: bool = False


def fingerprint(target: object) -> Fingerprint:
    """The hash of one object and of all that it holds."""
    hasher = Hasher()
    hasher.add(target)
    return Fingerprint(hasher.hexdigest(), hasher.size, hasher.exact, hasher.hides_code)
