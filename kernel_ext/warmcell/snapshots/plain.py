"""The size and the hash of plain data: large data at the speed of C."""

from __future__ import annotations

import datetime
import decimal
import fractions
import pickle
import types
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import xxhash

from warmcell.snapshots.kinds import CONTAINERS, SMALL_NODES

_INERT: frozenset[type] = frozenset(
    {
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        datetime.timezone,
        decimal.Decimal,
        fractions.Fraction,
        uuid.UUID,
    }
)
_MODULES = frozenset({"datetime", "decimal", "fractions", "uuid", "copyreg", "builtins"})


class _NotPlain(Exception):
    """Something other than plain data is inside."""


class _Sink:
    """A file that keeps only the hash of what is written."""

    def __init__(self) -> None:
        self.hash = xxhash.xxh3_128()
        self.size = 0

    def write(self, data: Any) -> int:
        self.hash.update(data)
        self.size += len(data)
        return len(data)


class _Pickler(pickle.Pickler):
    def reducer_override(self, target: Any) -> Any:
        """Called for everything that is not built in: refuses what could hold notebook code."""
        cls = type(target)
        if cls in _INERT or _is_numpy_scalar(cls):
            return NotImplemented
        if isinstance(target, type | types.FunctionType | types.BuiltinFunctionType):
            module = target.__module__ or ""
            if module in _MODULES or module.partition(".")[0] == "numpy":
                return NotImplemented
        raise _NotPlain


def _is_numpy_scalar(cls: type) -> bool:
    module = cls.__module__
    return (module == "numpy" and hasattr(cls, "dtype")) or module == "numpy.dtypes"


def plain_hash(target: object) -> tuple[bytes, int] | None:
    """Hash and size of data made of built-in values, containers, dates and numbers only; None for
    anything else.

    Pickle's fast mode remembers nothing, so that the bytes depend on the values alone, not on
    which of them are one object. The order of a set is that of this process.
    """
    sink = _Sink()
    pickler = _Pickler(sink, protocol=5)
    pickler.fast = True
    try:
        pickler.dump(target)
    except (_NotPlain, ValueError, RecursionError, RuntimeError, pickle.PicklingError):
        return None  # also what holds itself, or was changed by another thread meanwhile
    return sink.hash.digest(), sink.size


def is_small(container: Any, known: set[int]) -> bool:
    """Whether a container has at most 10,000 nodes, counting the containers inside it.

    ``known`` are the ids of those that were found to be small before, and of all inside them: to
    count each of a deep nest anew would take its square.
    """
    if id(container) in known:
        return True
    total = 0
    seen: set[int] = set()
    pending = [container]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if total + getattr(item, "__len__", int)() > SMALL_NODES:
            return False
        if isinstance(item, dict):
            parts: list[Any] = [*item.keys(), *item.values()]
        elif isinstance(item, Mapping):
            parts = [part for pair in item.items() for part in pair]
        elif isinstance(item, Iterable):
            parts = list(item)
        else:
            parts = list(vars(item).values())
        total += len(parts)
        if total > SMALL_NODES:
            return False
        pending.extend(p for p in parts if type(p) in CONTAINERS)
    known |= seen
    return True
