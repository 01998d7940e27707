"""The kind of an object says how a snapshot treats it: by value, by name or by reference."""

from __future__ import annotations

import argparse
import asyncio
import collections
import concurrent.futures
import contextvars
import copyreg
import datetime
import decimal
import enum
import fractions
import functools
import inspect
import io
import logging
import operator
import pathlib
import re
import socket
import subprocess
import threading
import types
import typing
import uuid
import weakref
import zoneinfo
from enum import Enum, auto
from typing import Any

from warmcell.snapshots.homes import importable

SMALL_BYTES = 64 * 1024
SMALL_NODES = 10_000

ATOMS: frozenset[type] = frozenset(
    {int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented)}
)
CONTAINERS: tuple[type, ...] = (
    list,
    dict,
    tuple,
    set,
    frozenset,
    collections.deque,
    collections.defaultdict,
    collections.Counter,
    collections.OrderedDict,
    collections.ChainMap,
    types.SimpleNamespace,
    types.MappingProxyType,
    argparse.Namespace,
)
TYPE_VARIABLES: tuple[type, ...] = (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple)
LOCKS: tuple[type, ...] = (type(threading.Lock()), type(threading.RLock()))


class Kind(Enum):
    """How a snapshot treats an object that is not notebook code and does not reach any."""

    VALUE = auto()  # small and plain, or rebuilt by a call: written by value
    NAMED = auto()  # importable: written by name
    CONTAINER = auto()  # the shell by value while it is small, its leaves by their own rules
    ARRAY = auto()  # numpy: by value while it is small
    FRAME = auto()  # pandas, polars: a shallow copy, protected by copy-on-write
    ESTIMATOR = auto()  # scikit-learn: the shell by value down to arrays and trees
    LOCK = auto()  # the same lock in this process, a new one elsewhere
    SHELL = auto()  # IPython's shell: whichever the process has
    OPAQUE = auto()  # a connection, a generator, a pool: by reference, cannot be stored
    OBJECT = auto()  # any other object: by reference


_VALUE_TYPES: tuple[type, ...] = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    zoneinfo.ZoneInfo,
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    pathlib.PurePath,
    re.Pattern,
    range,
    slice,
    bytearray,
    enum.Enum,
    types.CellType,
    types.CodeType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.GenericAlias,
    types.UnionType,
    *TYPE_VARIABLES,
    typing.ForwardRef,
    property,
    classmethod,
    staticmethod,
    functools.partial,
    functools.partialmethod,
    functools.cached_property,
    type(collections.namedtuple("_", "x").x),  # type: ignore[attr-defined]
    operator.itemgetter,
    operator.attrgetter,
    operator.methodcaller,
    inspect.Signature,
    inspect.Parameter,
    logging.Logger,
    io.StringIO,
    io.BytesIO,
)
_OPAQUE_TYPES: tuple[type, ...] = (
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.FrameType,
    types.TracebackType,
    contextvars.ContextVar,
    contextvars.Context,
    contextvars.Token,
    weakref.ReferenceType,
    weakref.ProxyType,
    weakref.CallableProxyType,
    threading.Thread,
    threading.local,
    concurrent.futures.Executor,
    concurrent.futures.Future,
    asyncio.AbstractEventLoop,
    asyncio.Future,
    socket.socket,
    subprocess.Popen,
    io.IOBase,
    memoryview,
)
# Our own definitions: a step over a library's function, and the options of any.
DEFINITIONS = frozenset(
    {
        "warmcell.around.endpoints.definition",
        "warmcell.around.middleware",
        "warmcell.options",
        "warmcell.pipelines",
        "warmcell.source",
        "warmcell.steps",
    }
)
_OPAQUE_NAMES = frozenset(
    {
        ("_duckdb", "DuckDBPyConnection"),
        ("_duckdb", "DuckDBPyRelation"),
        ("duckdb", "DuckDBPyConnection"),
        ("duckdb", "DuckDBPyRelation"),
        ("sqlite3", "Connection"),
        ("sqlite3", "Cursor"),
        ("multiprocessing.pool", "Pool"),
    }
)


def kind_of_type(cls: type) -> Kind:
    """The kind of the instances of a type; see :func:`kind_of`."""
    if cls in ATOMS or issubclass(cls, _VALUE_TYPES):
        return Kind.VALUE
    if cls in CONTAINERS:
        return Kind.CONTAINER
    if issubclass(cls, LOCKS):
        return Kind.LOCK
    if issubclass(cls, _OPAQUE_TYPES) or is_iterator(cls):
        return Kind.OPAQUE
    for base in cls.__mro__:
        module, name = f"{base.__module__}.", base.__name__
        if module.startswith("IPython.") and name == "InteractiveShell":
            return Kind.SHELL
        if module.startswith("numpy."):
            if name == "ndarray":
                return Kind.ARRAY
            if name in {"generic", "dtype", "Generator", "RandomState", "BitGenerator"}:
                return Kind.VALUE
        if module.startswith("pandas."):
            if name in {"DataFrame", "Series", "BlockManager", "SingleBlockManager"}:
                return Kind.FRAME
            if name in {"_Timestamp", "_Timedelta", "BaseOffset", "ExtensionDtype", "NaTType"}:
                return Kind.VALUE
        if module.startswith("polars.") and name in {"DataFrame", "Series"}:
            return Kind.FRAME
        if module == "sklearn.base." and name == "BaseEstimator":
            return Kind.ESTIMATOR
        if (module[:-1], name) in _OPAQUE_NAMES:
            return Kind.OPAQUE
    if cls.__module__ == "typing" or cls.__module__ in DEFINITIONS:
        return Kind.VALUE
    return Kind.OBJECT


def is_iterator(cls: type) -> bool:
    """Whether the instances of a type of the interpreter give each of their values only once."""
    return (
        cls.__module__ in ("builtins", "itertools", "_csv")
        and hasattr(cls, "__next__")
        and not issubclass(cls, io.IOBase)
    )


def kind_of(target: object) -> Kind:
    """The kind of an object that is neither notebook code nor reaches any."""
    if isinstance(target, types.ModuleType):
        return Kind.NAMED
    if isinstance(target, types.FunctionType):
        return Kind.VALUE
    if isinstance(target, type):
        return Kind.NAMED if importable(target) else Kind.OBJECT
    return kind_of_type(type(target))


def has_reducer(cls: type) -> bool:
    """Whether a type says itself how it is pickled."""
    methods: Any = cls
    return (
        cls in copyreg.dispatch_table
        or methods.__reduce_ex__ is not object.__reduce_ex__
        or methods.__reduce__ is not object.__reduce__
    )
