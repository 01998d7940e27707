"""The first pass: which objects does a snapshot reach, and which of them are notebook code?

The walk is iterative and keeps every visited object alive, so that ids stay valid. It marks *code*
(functions, classes and local modules that must be re-created) and *carriers*: every object from
which code is reachable. A carrier is copied along its path; what hangs off it is shared.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from warmcell.snapshots import code as codes
from warmcell.snapshots.homes import (
    home_of_class,
    home_of_function,
    importable,
    is_local_module,
    is_own_variable,
)
from warmcell.snapshots.kinds import (
    ATOMS,
    CONTAINERS,
    DEFINITIONS,
    SMALL_NODES,
    TYPE_VARIABLES,
    Kind,
    kind_of,
)
from warmcell.snapshots.plain import plain_hash

BUDGET = 3_000_000
_PLAIN_LENGTH = 1_000
_CACHE_TYPE = type(functools.lru_cache(lambda: None))
_LEAVES = frozenset({Kind.VALUE, Kind.NAMED, Kind.FRAME, Kind.LOCK, Kind.SHELL, Kind.OPAQUE})
_HOLDERS = frozenset(
    {"DataFrame", "Series", "BlockManager", "SingleBlockManager", "Signature", "Parameter"}
)
_EXACT = (dict, list, tuple, set, frozenset)
# Values of these kinds may still hold notebook code.
_OPEN_VALUES = (
    types.MethodType,
    types.CellType,
    types.GenericAlias,
    types.UnionType,
    property,
    classmethod,
    staticmethod,
    functools.partial,
    functools.partialmethod,
    functools.cached_property,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
)


class Survey:
    """The result of walking everything that ``roots`` reach.

    ``code`` and ``carriers`` are sets of ids; ``parents`` leads from an object to the one that it
    was first found in; ``failures`` are sentences about imports of local modules that failed.
    With ``stop`` the walk checks what was rebuilt: it ends at these ids, and imports nothing.
    """

    def __init__(
        self,
        roots: dict[str, object],
        *,
        namespace: dict[str, Any],
        extra: Collection[str] = (),
        stop: Collection[int] | None = None,
    ) -> None:
        self.namespace = namespace
        self._checking = stop is not None
        self._stop = frozenset(stop or ())
        self.extra = {n: namespace[n] for n in extra if n in namespace}
        self.objects: dict[int, object] = {}
        self.parents: dict[int, int] = {}
        self.children: dict[int, list[int]] = {}
        self.code: set[int] = set()
        self.carriers: set[int] = set()
        self.functions: list[types.FunctionType] = []
        self.modules: dict[str, types.ModuleType] = {}
        self.libraries: dict[str, types.ModuleType] = {}
        self.cells: set[int] = set()
        self.failures: list[str] = []
        self.truncated = False
        self._kinds: dict[type, Kind] = {}
        self.roots = roots
        self._walk(roots)
        self._mark_carriers()

    # -- the walk ----------------------------------------------------------------------------

    def _walk(self, roots: dict[str, object]) -> None:
        self.objects[id(roots)] = roots
        pending: deque[object] = deque([roots])
        while pending:
            target = pending.popleft()
            key = id(target)
            found: list[int] = []
            for child in self.edges(target):
                if type(child) in ATOMS:
                    continue
                child_key = id(child)
                found.append(child_key)
                if child_key not in self.objects:
                    self.objects[child_key] = child
                    self.parents[child_key] = key
                    pending.append(child)
            if found:
                self.children[key] = found
            if len(self.objects) > BUDGET:
                self.truncated = True
                return

    def _mark_carriers(self) -> None:
        reverse: dict[int, list[int]] = {}
        for key, found in self.children.items():
            for child in found:
                reverse.setdefault(child, []).append(key)
        pending = list(self.code)
        reached = set(self.code)
        while pending:
            for parent in reverse.get(pending.pop(), ()):
                if parent not in reached:
                    reached.add(parent)
                    pending.append(parent)
        self.carriers = reached - self.code

    def kind(self, target: object) -> Kind:
        """:func:`kinds.kind_of`, remembered per type."""
        cls = type(target)
        if isinstance(target, types.FunctionType | types.ModuleType | type):
            return kind_of(target)
        found = self._kinds.get(cls)
        if found is None:
            found = self._kinds[cls] = kind_of(target)
        return found

    # -- edges -------------------------------------------------------------------------------

    def edges(self, target: object) -> Iterable[object]:
        """The objects that ``target`` holds, as far as a snapshot cares."""
        if isinstance(target, types.FunctionType):
            return self._function_edges(target)
        if isinstance(target, type):
            return self._class_edges(target)
        if isinstance(target, types.ModuleType):
            return self._module_edges(target)
        if isinstance(target, types.CellType):
            return _cell_content(target)
        if isinstance(target, TYPE_VARIABLES):
            return self._variable_edges(target)
        if target is self.namespace or id(target) in self._stop:
            return ()
        cls = type(target)
        if cls in CONTAINERS:
            return self._container_edges(target)
        if cls is _CACHE_TYPE:
            if importable(target) and not self._is_local_name(target):
                return ()
            wrapped: Any = target
            return (wrapped.__wrapped__, *vars(wrapped).values())
        if cls is functools.singledispatchmethod:  # from 3.13 on it has a cache of weak references
            return (target.func, target.dispatcher)  # type: ignore[attr-defined]
        kind = self.kind(target)
        if kind is Kind.ARRAY:
            return _array_edges(target)
        if kind in _LEAVES and not isinstance(target, _OPEN_VALUES):
            home = home_of_class(cls)
            if home == "installed" and not _holds_objects(target):
                return ()
        return gc.get_referents(target)

    def _is_local_name(self, target: Any) -> bool:
        module = sys.modules.get(getattr(target, "__module__", None) or "")
        return module is None or module.__name__ == "__main__" or is_local_module(module)

    def _container_edges(self, target: Any) -> Iterable[object]:
        if not isinstance(target, dict | list | tuple | set | frozenset):
            return gc.get_referents(target)
        if isinstance(target, dict):
            items: list[object] = [*target.keys(), *target.values()]
        else:
            items = list(target)
        if len(items) > _PLAIN_LENGTH:
            if set(map(type, items)) <= ATOMS:
                return ()
            if len(items) > SMALL_NODES and plain_hash(target) is not None:
                return ()
        return items if type(target) in _EXACT else gc.get_referents(target)

    def _function_edges(self, function: types.FunctionType) -> Iterator[object]:
        home = home_of_function(function)
        if home == "installed" and importable(function):
            return
        if home != "installed":
            self.code.add(id(function))
            self.functions.append(function)
            yield from self.globals_of(function).values()
            if not self._checking:
                yield from self._imported(function)
        yield from function.__closure__ or ()
        self.cells.update(map(id, function.__closure__ or ()))
        yield from function.__defaults__ or ()
        yield from (function.__kwdefaults__ or {}).values()
        yield from list(function.__dict__.values())
        yield from codes.own_annotations(function).values()
        yield from getattr(function, "__type_params__", ())

    def globals_of(self, function: types.FunctionType) -> dict[str, Any]:
        """The part of a function's globals that a snapshot takes along."""
        picked = codes.globals_of(function)
        if self.extra and home_of_function(function) == "notebook":
            picked.update(self.extra)
        return picked

    def _imported(self, function: types.FunctionType) -> Iterator[types.ModuleType]:
        for statement in codes.facts(function.__code__).imports:
            try:
                yield from codes.modules_of_import(statement, function.__globals__)
            except Exception as error:  # the user's own module code
                self.failures.append(
                    f"`{function.__qualname__}` imports `{statement.name}`, which failed now "
                    f"({type(error).__name__}: {error})."
                )

    def _class_edges(self, cls: type) -> Iterator[object]:
        home = home_of_class(cls)
        if home == "installed" and importable(cls):
            return
        if home != "installed":
            self.code.add(id(cls))
        elif not ("__dict__" in cls.__dict__ or "__slots__" in cls.__dict__):
            return
        yield from cls.__bases__
        yield type(cls)
        yield from list(cls.__dict__.values())
        for name in codes.annotation_names(codes.own_annotations(cls)):
            module = sys.modules.get(cls.__module__)
            if module is not None and name in module.__dict__:
                yield module.__dict__[name]

    def _variable_edges(self, variable: Any) -> tuple[object, ...]:
        if not is_own_variable(variable):
            return ()
        self.code.add(id(variable))
        return (getattr(variable, "__bound__", None), *getattr(variable, "__constraints__", ()))

    def _module_edges(self, module: types.ModuleType) -> Iterator[object]:
        name = module.__name__
        if not is_local_module(module):
            self.libraries[name] = module
            return
        self.code.add(id(module))
        self.modules[name] = module
        yield from codes.module_state(module).values()
        if self._checking:
            return
        for other, loaded in list(sys.modules.items()):
            related = other.startswith(name + ".") or name.startswith(other + ".")
            if related and isinstance(loaded, types.ModuleType):
                yield loaded


def _cell_content(cell: types.CellType) -> tuple[object, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _array_edges(array: Any) -> Iterable[object]:
    if not array.dtype.hasobject or array.dtype.kind != "O":
        return ()
    items: list[object] = array.ravel().tolist()
    if len(items) > _PLAIN_LENGTH and set(map(type, items)) <= ATOMS:
        return ()
    return items


def _holds_objects(target: object) -> bool:
    """Whether a value of an installed type may hold notebook objects: frames can, and our own
    definitions always do."""
    cls = type(target)
    return cls.__name__ in _HOLDERS or cls.__module__ == "typing" or cls.__module__ in DEFINITIONS
