"""What a snapshot holds, name by name: code and values, and a hash of each for itself.

The identity of a snapshot is one hash over everything. Here each name has its own, in which the
other names stand for themselves: an edited helper changes its own hash and not that of its callers.
"""

from __future__ import annotations

import sys
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from warmcell.snapshots.fingerprints import Fingerprint, Hasher
from warmcell.snapshots.homes import (
    home_of_class,
    home_of_function,
    is_code,
    is_local_module,
)
from warmcell.snapshots.kinds import (
    DEFINITIONS,
)

if TYPE_CHECKING:
    from warmcell.snapshots.captured import Held
    from warmcell.snapshots.survey import Survey

__all__ = ["Holding", "holdings", "names"]

HERE = f"{uuid.uuid4().hex[:12]}:"  # what is told apart by identity is so in this process only


class Holding(msgspec.Struct, omit_defaults=True):
    """One name that a snapshot holds.

    ``by`` says whether a later change of the notebook's object is seen ("reference") or not
    ("copy"); ``size`` is in bytes, 0 for code; ``path`` is how the name is reached
    (``con <- lookup``). ``fingerprint`` begins with the mark of the process, up to a colon, where
    it tells only which object it is. ``file`` names the local file that differs from the code that
    the kernel has of it, ``version`` the artifact version that it is or has (ids, by spaces).
    """

    name: str
    path: str
    by: Literal["copy", "reference"]
    type: str
    size: int
    kind: Literal["code", "value"] = "value"
    restorable: bool = True
    fingerprint: str | None = None
    file: str | None = None
    version: str | None = None


class _OwnHasher(Hasher):
    """Hashes functions without the globals and cells that they read: those are names of their
    own."""

    def _parts(self, item: Any) -> list[object] | None:
        if (
            isinstance(item, types.FunctionType)
            and id(item) not in self._known
            and home_of_function(item) != "installed"
            and not hasattr(item, "registry")  # of singledispatch: its functions are its own
        ):
            self.write("function", item.__name__.encode())
            return [item.__code__, item.__defaults__, item.__kwdefaults__, item.__annotations__]
        return super()._parts(item)


def holdings(
    survey: Survey,
    prints: Mapping[int, Fingerprint],
    held: Mapping[int, Held],
    stale: Mapping[str, str],
) -> list[Holding]:
    """The names that the code of a survey uses, in the order in which they are met.

    ``prints`` has the fingerprints of what is held as a whole, and ``held`` what is known of the
    variables that it belongs to, both by the ids of the notebook's objects. ``stale`` are the files
    of local modules that differ from them, by the modules' names.
    """
    named = _named(survey)
    known = {key: print_.digest for key, print_ in prints.items() if print_.exact}
    known |= {id(value): f"name {name}" for name, value, _ in named if _is_definition(value)}
    found: dict[str, Holding] = {}
    for name, value, user in named:
        if name not in found:  # one name may mean two things in two files: the first one met
            found[name] = _holding(name, value, user, known, prints.get(id(value)), held)
            found[name].file = stale.get(_module_of(value))
    for entry in held.values():
        if entry.name and entry.name.partition(".")[0].partition("[")[0] not in found:
            found[entry.name] = Holding(
                entry.name,
                entry.path,
                entry.by,
                entry.type,
                entry.size,
                restorable=entry.restorable,
                fingerprint=entry.fingerprint,
            )
    return list(found.values())


def names(survey: Survey) -> list[str]:
    """The names of the notebook that the code of a survey uses, imported ones too."""
    found: dict[str, None] = {}
    for function in survey.functions:
        if home_of_function(function) == "notebook":
            found.update(dict.fromkeys(survey.globals_of(function)))
    for name, _, _ in _alone(survey):
        found[name] = None
    return list(found)


def _holding(
    name: str,
    value: object,
    user: str,
    known: dict[int, str],
    whole: Fingerprint | None,
    held: Mapping[int, Held],
) -> Holding:
    entry = held.get(id(value))
    path = entry.path if entry is not None else f"{name} <- {user}" if user else name
    is_definition = _is_definition(value)
    own = known.pop(id(value), None)
    try:
        found = whole or _print(value, known)
    finally:
        if own is not None:
            known[id(value)] = own
    return Holding(
        name,
        path,
        entry.by if entry is not None else "copy",
        type(value).__name__,
        0 if is_definition else max(_size(value, found), entry.size if entry is not None else 0),
        "code" if is_definition else "value",
        entry.restorable if entry is not None else True,
        found.digest if found.exact else HERE + found.digest,
    )


def _module_of(value: Any) -> str:
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, types.FunctionType):
        return str(value.__globals__.get("__name__"))
    return str(value.__module__) if isinstance(value, type) else ""


def _print(value: object, known: dict[int, str]) -> Fingerprint:
    hasher = _OwnHasher(known)
    hasher.add(value)
    return Fingerprint(hasher.hexdigest(), hasher.size, hasher.exact)


def _size(value: object, found: Fingerprint) -> int:
    return max(found.size, sys.getsizeof(value, 0))


def _is_definition(value: object) -> bool:
    """Whether a value is code: a function or class of the notebook, or a step made of one."""
    return is_code(value) or type(value).__module__ in DEFINITIONS


def _named(survey: Survey) -> list[tuple[str, object, str]]:
    """Names, what they mean, and the function that uses them first."""
    found: list[tuple[str, object, str]] = []
    seen: set[tuple[str, int]] = set()
    for name, value, user in (*_used(survey), *_alone(survey)):
        if (name, id(value)) not in seen and _counts(name, value):
            seen.add((name, id(value)))
            found.append((name, value, user))
    return found


def _used(survey: Survey) -> Iterator[tuple[str, object, str]]:
    for function in survey.functions:
        module = sys.modules.get(function.__globals__.get("__name__") or "")
        if module is not None and is_local_module(module):
            continue  # the module stands for what is in it
        user = function.__qualname__.replace(".<locals>", "")
        for name, value in survey.globals_of(function).items():
            yield name, value, user
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            try:
                yield name, cell.cell_contents, user
            except ValueError:  # not filled
                continue


def _alone(survey: Survey) -> Iterator[tuple[str, object, str]]:
    """Code that no other code names: the pipeline itself, its hooks, and classes of values."""
    made: dict[int, object] = {}  # steps and pipelines, by the functions that became them
    for value in survey.objects.values():
        if type(value).__module__ in DEFINITIONS and hasattr(value, "function"):
            made[id(value.function)] = value
    for value in survey.objects.values():
        if isinstance(value, types.FunctionType):
            home = home_of_function(value)
        elif isinstance(value, type):
            home = home_of_class(value)
        else:
            continue
        name = value.__qualname__
        if home == "notebook" and "." not in name and name != "<lambda>":
            yield name, made.get(id(value), value), ""


def _counts(name: str, value: object) -> bool:
    """Whether a name is the user's: not one that is imported, nor one that classes have."""
    if name.startswith("__"):
        return False
    if isinstance(value, types.ModuleType):
        return is_local_module(value)
    if isinstance(value, types.FunctionType | type):
        return is_code(value)
    return not isinstance(value, types.BuiltinFunctionType)
