"""The second pass: notebook code by value, everything large or opaque as a numbered reference.

One stream serves the live binding and the stored form. The rules are the table of
:mod:`warmcell.snapshots.kinds` and the marks of the survey.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as private

from warmcell.snapshots import classes, rebuild, sentinels
from warmcell.snapshots import code as codes
from warmcell.snapshots.kinds import (
    ATOMS,
    CONTAINERS,
    LOCKS,
    SMALL_BYTES,
    SMALL_NODES,
    TYPE_VARIABLES,
    Kind,
    environment_folders,
    home_of_function,
    home_of_namespace,
    importable,
    is_code,
    is_own_variable,
)
from warmcell.snapshots.survey import Survey

_CACHE_TYPE = type(functools.lru_cache(lambda: None))
_DISPATCH: Any = functools.singledispatch(lambda _: None)
_MODULE_NAMES = ("__name__", "__package__", "__file__", "__path__", "__doc__")


class Held(typing.NamedTuple):
    """A carrier that could not be copied, and why."""

    target: object
    reason: str


class WriteError(Exception):
    """Something refused to be written. ``candidates`` are ids of the objects to hold instead, the
    likeliest first."""

    def __init__(self, cause: Exception, pickler: SnapshotPickler) -> None:
        super().__init__(str(cause))
        self.cause = cause
        last = id(pickler.last)
        trail = list(dict.fromkeys(reversed(pickler.trail)))
        self.candidates = [last, *trail] if last in pickler.survey.objects else trail


class SnapshotPickler(cloudpickle.Pickler):
    """Writes the roots of one snapshot.

    ``references`` is the list of objects that the stream refers to by number; ``spaces`` the
    namespaces, each ``(module name, whether it is a module of its own)``; ``files`` the file names
    of all code in the stream.
    """

    def __init__(
        self,
        file: Any,
        survey: Survey,
        held: dict[int, Held],
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self.survey = survey
        self.held = held
        self.references: list[object] = []
        self.files: dict[str, None] = {}
        self.last: object = None
        self.trail: list[int] = []
        self._numbers: dict[int, tuple[Any, ...] | None] = {}
        self._spaces: dict[int, tuple[Any, ...]] = {}
        self._keep: list[object] = []
        self._sentinels = sentinels.Sentinels()
        self._space(survey.namespace)

    # -- what goes by reference --------------------------------------------------------------

    def persistent_id(self, target: object) -> tuple[Any, ...] | None:
        """A reference, a namespace or a file name; None for what is written by value."""
        cls = type(target)
        if cls in ATOMS:
            if (cls is bytes or cls is str) and len(target) > SMALL_BYTES:  # type: ignore[arg-type]
                return self._reference(target)
            return None
        key = id(target)
        space = self._spaces.get(key)
        if space is not None:
            return space
        if key in self._numbers:
            return self._numbers[key]
        if cls is _FileName:
            return ("file", target.name)  # type: ignore[attr-defined]
        self.last = target
        if key not in self.survey.objects:
            return None
        if key in self.held:
            return self._reference(target)
        if isinstance(target, types.ModuleType) and key in self.survey.code:
            return ("module", *self._space(target.__dict__)[1:])
        if key in self.survey.code or key in self.survey.carriers:
            self.trail.append(key)
            return None
        if self._is_value(target, cls):
            return None
        return self._reference(target)

    def _is_value(self, target: Any, cls: type) -> bool:
        kind = self.survey.kind(target)
        if kind in (Kind.VALUE, Kind.NAMED, Kind.ESTIMATOR, Kind.SHELL):
            return not (cls is bytearray and len(target) > SMALL_BYTES)
        if kind is Kind.CONTAINER:
            return is_small(target)
        if kind is Kind.ARRAY:
            return bool(target.nbytes <= SMALL_BYTES)
        return kind is Kind.OBJECT and self._sentinels.find(target) is not None

    def _reference(self, target: object) -> tuple[Any, ...]:
        number = self._numbers.get(id(target))
        if number is None:
            number = ("ref", len(self.references))
            self._numbers[id(target)] = number
            self.references.append(target)
        return number

    def _space(self, namespace: dict[str, Any]) -> tuple[Any, ...]:
        """The persistent id of a namespace. Namespaces of installed modules are not copied."""
        known = self._spaces.get(id(namespace))
        if known is not None:
            return known
        home = home_of_namespace(namespace)
        if home == "installed":
            made: tuple[Any, ...] = ("library", namespace["__name__"])
        else:
            names = {k: namespace[k] for k in _MODULE_NAMES if k in namespace}
            if home == "notebook":
                names = {"__name__": "__main__"}
            if "__path__" in names:
                names["__path__"] = [str(p) for p in names["__path__"]]
            made = ("space", len(self._spaces), home == "local", names)
        self._spaces[id(namespace)] = made
        self._keep.append(namespace)
        return made

    # -- what is rebuilt ---------------------------------------------------------------------

    def reducer_override(self, target: Any) -> Any:
        """How notebook code and a few awkward objects are written."""
        cls = type(target)
        if issubclass(cls, type):
            return self._reduce_class(target)
        if cls is types.FunctionType:
            return self._reduce_function(target)
        if cls is types.CellType:
            return self._reduce_cell(target)
        if cls is types.CodeType:
            return self._reduce_code(target)
        if cls is _CACHE_TYPE:
            return self._reduce_cache(target)
        if cls is types.ModuleType:
            return (rebuild.loaded_module, (target.__name__,))
        if cls is functools.cached_property:
            state = {k: v for k, v in vars(target).items() if k not in ("func", "lock")}
            return (rebuild.cached_property, (target.func,), state)
        if cls in TYPE_VARIABLES:
            return self._reduce_variable(target)
        if cls in LOCKS:
            return (rebuild.lock if cls is LOCKS[0] else rebuild.rlock, ())
        if self.survey.kind(target) is Kind.SHELL:
            return (rebuild.shell, ())
        if id(type(target)) in self.survey.code:
            return classes.reduce_instance(target, self.survey)
        named = self._sentinels.find(target) if cls.__module__ != "builtins" else None
        if named is not None:
            return named
        return NotImplemented

    def _reduce_variable(self, variable: Any) -> Any:
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

    def _reduce_class(self, cls: type) -> Any:
        special = classes.builtin_type(cls)
        if special is not None:
            return special
        if is_code(cls) or id(cls) in self.survey.carriers:
            return classes.reduce_class(cls)
        if importable(cls) or not ("__dict__" in cls.__dict__ or "__slots__" in cls.__dict__):
            return NotImplemented
        return classes.reduce_class(cls)

    def _reduce_function(self, function: types.FunctionType) -> Any:
        if home_of_function(function) == "installed" and importable(function):
            return NotImplemented
        if function.__code__ is _DISPATCH.__code__ and hasattr(function, "registry"):
            return self._reduce_single_dispatch(function)
        closure = function.__closure__
        self._space(function.__globals__)
        installed = home_of_function(function) == "installed"
        space = {} if installed else self.survey.globals_of(function)
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

    def _reduce_single_dispatch(self, function: Any) -> Any:
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

    def _reduce_cell(self, cell: types.CellType) -> Any:
        content = _content(cell)
        if id(cell) in self.survey.cells or not content:
            return (rebuild.empty_cell, ())
        return (rebuild.empty_cell, (), content, None, None, rebuild.filled_cell)

    def _reduce_code(self, code: types.CodeType) -> Any:
        _, arguments = private._code_reduce(code)
        if code.co_filename.startswith(environment_folders()):
            return (rebuild.code, arguments)
        self.files[code.co_filename] = None
        changed = tuple(_FileName(a) if a is code.co_filename else a for a in arguments)
        return (rebuild.code, changed)

    def _reduce_cache(self, wrapper: Any) -> Any:
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


EMPTY = Survey({}, namespace={})  # for streams in which everything is written


class ReferencePickler(SnapshotPickler):
    """Writes the referenced objects themselves, for the stored form.

    Notebook code in them has no business here: what reaches it was a carrier and is in the other
    stream, or was held because it could not be copied.
    """

    def __init__(
        self, file: Any, survey: Survey, keep: Callable[[pickle.PickleBuffer], Any]
    ) -> None:
        super().__init__(file, survey, {}, buffer_callback=keep)

    def persistent_id(self, target: object) -> tuple[Any, ...] | None:
        """Only namespaces and file names: everything else is written."""
        if type(target) is _FileName:
            return ("file", target.name)
        return self._spaces.get(id(target)) if type(target) is dict else None

    def reducer_override(self, target: Any) -> Any:
        """Refuse notebook code; otherwise as in the other stream."""
        if is_code(target):
            raise pickle.PicklingError(
                f"`{target.__name__}` is notebook code held by an object that cannot be copied"
            )
        return super().reducer_override(target)


class _FileName:
    """Marks the file name of code, so that a restored snapshot can name it differently."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Fill:
    """The contents of one local module, or the extra names of the notebook."""

    def __init__(self, namespace: dict[str, Any], state: dict[str, Any]) -> None:
        self.namespace = namespace
        self.state = state

    def __reduce__(self) -> Any:
        return (rebuild.fill_space, (self.namespace, self.state))


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def is_small(container: Any) -> bool:
    """Whether a container has at most 10,000 nodes, counting the containers inside it."""
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
    return True


def write(survey: Survey, held: dict[int, Held]) -> tuple[bytes, SnapshotPickler]:
    """The stream of the surveyed roots. Raises whatever the objects' own code raises."""
    file = io.BytesIO()
    pickler = SnapshotPickler(file, survey, held)
    modules = [Fill(m.__dict__, codes.module_state(m)) for m in survey.modules.values()]
    if survey.extra:
        modules.append(Fill(survey.namespace, dict(survey.extra)))
    for module in survey.modules.values():
        pickler._space(module.__dict__)
    try:
        pickler.dump((modules, survey.roots))
    except Exception as error:  # objects' own code runs here and may raise anything
        raise WriteError(error, pickler) from error
    return file.getvalue(), pickler
