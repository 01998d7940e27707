"""What kind of thing an object is: notebook code, something importable, data, or opaque.

Two words are used throughout the package. The *home* of a function or class is where it was
written: in the notebook, in a local file, in an installed module, or in an anonymous namespace
made by ``exec``. The *kind* of any other object says how a snapshot treats it.
"""

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
import site
import socket
import subprocess
import sys
import sysconfig
import threading
import types
import typing
import uuid
import weakref
import zoneinfo
from enum import Enum, auto
from typing import Any, Literal, TypeAlias

Home: TypeAlias = Literal["notebook", "local", "installed", "anonymous"]

SMALL_BYTES = 64 * 1024
SMALL_NODES = 10_000
OWN_PACKAGES = ("warmcell", "warmcell_server", "warmcell_widgets")
NOTEBOOK = ("__main__", "__mp_main__")

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

_HEAP = 1 << 9
_IMMUTABLE = 1 << 8


class Kind(Enum):
    """How a snapshot treats an object that is not notebook code and does not reach any."""

    VALUE = auto()  # small and plain, or rebuilt by a call: written by value
    NAMED = auto()  # importable: written by name
    CONTAINER = auto()  # the shell by value while it is small, its leaves by their own rules
    ARRAY = auto()  # numpy: by value while it is small
    FRAME = auto()  # pandas: a shallow copy, protected by copy-on-write
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
_DEFINITIONS = frozenset(
    {"warmcell.steps", "warmcell.pipelines", "warmcell.options", "warmcell.source"}
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


@functools.cache
def environment_folders() -> tuple[str, ...]:
    """Folders whose modules count as installed, each ending in a separator."""
    paths = {sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= set(site.getsitepackages())
    paths.add(site.getusersitepackages())
    folders = {str(pathlib.Path(p).resolve()) for p in paths if p} | {p for p in paths if p}
    return tuple(sorted(f.rstrip("/\\") + ("\\" if "\\" in f else "/") for f in folders))


def is_local_file(file: str | None) -> bool:
    """Whether a module of that file belongs to the user rather than to the environment."""
    if not file or file.startswith("<"):
        return False
    if "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return not file.startswith(environment_folders())


def is_local_module(module: types.ModuleType) -> bool:
    """Whether a module goes by value: a ``.py`` file of the user, or one made by hand."""
    name = str(module.__dict__.get("__name__", ""))
    if name in NOTEBOOK:
        return False
    if name.partition(".")[0] in OWN_PACKAGES:
        return False
    file = module.__dict__.get("__file__")
    if isinstance(file, str):
        return file.endswith(".py") and is_local_file(file)
    if sys.modules.get(name) is not module:
        return True
    path = module.__dict__.get("__path__")
    if path is None:
        return False
    return any(is_local_file(str(p).rstrip("/") + "/") for p in path)


def home_of_namespace(namespace: dict[str, Any]) -> Home:
    """Where functions with these globals were written."""
    name = namespace.get("__name__")
    if not isinstance(name, str):
        return "anonymous"
    if name in NOTEBOOK:
        return "notebook"
    module = sys.modules.get(name)
    if isinstance(module, types.ModuleType) and module.__dict__ is namespace:
        return "local" if is_local_module(module) else "installed"
    file = namespace.get("__file__")
    if isinstance(file, str) and name.partition(".")[0] not in OWN_PACKAGES:
        return "local" if is_local_file(file) else "installed"
    return "anonymous"


def importable(target: Any) -> bool:
    """Whether importing an installed ``__module__`` and walking ``__qualname__`` gives this object.

    ``wraps`` copies both names from the notebook, so that they may lead back there.
    """
    name = getattr(target, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) and name not in NOTEBOOK else None
    qualname = getattr(target, "__qualname__", None)
    if module is None or not isinstance(qualname, str) or is_local_module(module):
        return False
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return found is target


def home_of_class(cls: type) -> Home:
    """Where a class was written. A type made in C is always ``installed``."""
    if not cls.__flags__ & _HEAP or cls.__flags__ & _IMMUTABLE:
        return "installed"
    name = cls.__dict__.get("__module__")
    if name in NOTEBOOK:
        return "notebook"
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None:
        return (
            "anonymous"
            if "__dict__" in cls.__dict__ or "__slots__" in cls.__dict__
            else ("installed")
        )
    return "local" if is_local_module(module) else "installed"


def home_of_function(function: types.FunctionType) -> Home:
    """Where a function was written, by its globals: ``wraps`` copies ``__module__``."""
    return home_of_namespace(function.__globals__)


def is_own_variable(target: Any) -> bool:
    """Whether a type variable is the user's own, and none that can be imported."""
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    if module is None or module.__name__ in NOTEBOOK or is_local_module(module):
        return True
    return getattr(module, target.__name__, None) is not target


def is_code(target: object) -> bool:
    """Whether an object is notebook code: a function or class that a snapshot re-creates."""
    if isinstance(target, types.FunctionType):
        return home_of_function(target) != "installed"
    if isinstance(target, type):
        return home_of_class(target) != "installed"
    return isinstance(target, types.ModuleType) and is_local_module(target)


def kind_of_type(cls: type) -> Kind:
    """The kind of the instances of a type; see :func:`kind_of`."""
    if cls in ATOMS or issubclass(cls, _VALUE_TYPES):
        return Kind.VALUE
    if cls in CONTAINERS:
        return Kind.CONTAINER
    if issubclass(cls, LOCKS):
        return Kind.LOCK
    if issubclass(cls, _OPAQUE_TYPES):
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
        if module == "sklearn.base." and name == "BaseEstimator":
            return Kind.ESTIMATOR
        if (module[:-1], name) in _OPAQUE_NAMES:
            return Kind.OPAQUE
    if cls.__module__ == "typing" or cls.__module__ in _DEFINITIONS:
        return Kind.VALUE
    return Kind.OBJECT


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
