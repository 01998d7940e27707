"""The second pass: notebook code by value, everything large or opaque as a numbered reference.

One stream serves the live binding and the stored form. The rules are the table of
:mod:`warmcell.snapshots.kinds` and the marks of the survey.
"""

from __future__ import annotations

import functools
import io
import pickle
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as private

from warmcell.snapshots import classes, functions, memory, rebuild, sentinels
from warmcell.snapshots import code as codes
from warmcell.snapshots.homes import (
    environment_folders,
    home_of_namespace,
    importable,
    is_code,
)
from warmcell.snapshots.kinds import (
    ATOMS,
    LOCKS,
    SMALL_BYTES,
    TYPE_VARIABLES,
    Kind,
)
from warmcell.snapshots.plain import is_small
from warmcell.snapshots.survey import Survey

_CACHE_TYPE = type(functools.lru_cache(lambda: None))
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
        self._small: set[int] = set()
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
            return is_small(target, self._small)
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
            self._space(target.__globals__)
            return functions.reduce_function(target, self.survey)
        if cls is types.CellType:
            return functions.reduce_cell(target, self.survey)
        if cls is types.CodeType:
            return self._reduce_code(target)
        if cls is _CACHE_TYPE:
            return functions.reduce_cache(target)
        if cls is types.ModuleType:
            return (rebuild.loaded_module, (target.__name__,))
        if cls is functools.cached_property:
            state = {k: v for k, v in vars(target).items() if k not in ("func", "lock")}
            return (rebuild.cached_property, (target.func,), state)
        if cls is functools.singledispatchmethod:
            state = {k: v for k, v in vars(target).items() if k not in ("func", "_method_cache")}
            return (rebuild.single_dispatch_method, (target.func,), state)
        if cls in TYPE_VARIABLES:
            return functions.reduce_variable(target)
        if cls in LOCKS:
            return (rebuild.lock if cls is LOCKS[0] else rebuild.rlock, ())
        if self.survey.kind(target) is Kind.SHELL:
            return (rebuild.shell, ())
        if id(type(target)) in self.survey.code:
            return classes.reduce_instance(target, self.survey)
        if memory.is_storage(cls):
            return memory.reduce_storage(target)
        named = self._sentinels.find(target) if cls.__module__ != "builtins" else None
        if named is not None:
            return named
        return NotImplemented

    def _reduce_class(self, cls: type) -> Any:
        special = classes.builtin_type(cls)
        if special is not None:
            return special
        if is_code(cls) or id(cls) in self.survey.carriers:
            return classes.reduce_class(cls)
        if importable(cls) or not ("__dict__" in cls.__dict__ or "__slots__" in cls.__dict__):
            return NotImplemented
        return classes.reduce_class(cls)

    def _reduce_code(self, code: types.CodeType) -> Any:
        _, arguments = private._code_reduce(code)
        if code.co_filename.startswith(environment_folders()):
            return (rebuild.code, arguments)
        self.files[code.co_filename] = None
        changed = tuple(_FileName(a) if a is code.co_filename else a for a in arguments)
        return (rebuild.code, changed)


EMPTY = Survey({}, namespace={})  # for streams in which everything is written


class ReferencePickler(SnapshotPickler):
    """Writes the referenced objects themselves, for the stored form.

    Notebook code in them has no business here: what reaches it was a carrier and is in the other
    stream, or was held because it could not be copied.
    """

    def __init__(
        self,
        file: Any,
        survey: Survey,
        keep: Callable[[pickle.PickleBuffer], Any],
        references: Sequence[object] = (),
    ) -> None:
        super().__init__(file, survey, {}, buffer_callback=keep)
        self._others = {id(r): r for r in references}

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
        if self.survey.kind(target) is Kind.ARRAY and target.base is not None:
            reduced = memory.reduce_view(target, self._others)
            if reduced is not NotImplemented:
                return reduced
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
