"""Named secrets in what a snapshot would store: said at deploy, with the way out.

A snapshot is written as it is, since code that found a mask in the place of a value would not work.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from warmcell.snapshots.kinds import DEFINITIONS

if TYPE_CHECKING:
    from warmcell.snapshots.survey import Survey

__all__ = ["about"]

_PARTS = 20_000  # of the values of variables, that are looked at
_DEPTH = 8
_TELLING = 8  # characters from which on a text is nothing else by chance
_CODE = (types.FunctionType, types.ModuleType, types.MethodType, types.BuiltinFunctionType, type)


def about(survey: Survey, files: Mapping[str, str], stream: bytes) -> list[str]:
    """A sentence for each named secret of this user that stands in a variable that the code of
    ``survey`` uses, in the texts of its ``files``, or elsewhere in ``stream``."""
    from warmcell.secrets import texts_by_use

    found: dict[str, None] = {}
    known = texts_by_use()
    if not known:
        return []
    looking = _Looking(known)
    for name, value, user in _variables(survey):
        for use in looking.within(value):
            place = f"`{name}`, used by `{user}`," if user else f"`{name}`"
            found[
                f"{place} holds a named secret, and is written into the stored snapshot. "
                f"Read it in the step or in `on_init` instead: `{use}`."
            ] = None
    told = looking.told
    texts = list(files.values())
    for text, use in known.items():
        if use in told or len(text) < _TELLING:
            continue
        if any(text in source for source in texts):
            found[f"The code of this snapshot has a named secret in it. Write `{use}` instead."] = (
                None
            )
        elif text.encode("utf-8", "surrogatepass") in stream:
            found[
                "This snapshot holds a named secret, in an option or a value, and it is written "
                f"into its stored form. Read it in the step or in `on_init` instead: `{use}`."
            ] = None
    return list(found)


def _variables(survey: Survey) -> Iterator[tuple[str, object, str]]:
    """Names that functions use, what they mean, and the function."""
    seen: set[tuple[str, int]] = set()
    for function in survey.functions:
        user = function.__qualname__.replace(".<locals>", "")
        for name, value in (*survey.globals_of(function).items(), *_own(function)):
            if (name, id(value)) not in seen:
                seen.add((name, id(value)))
                yield name, value, user


def _own(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    """What a function closes over, and its defaults."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled
            continue
    defaults = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(defaults) :], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


class _Looking:
    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._left = _PARTS
        self.told: set[str] = set()

    def within(self, value: object) -> list[str]:
        """How to read the secrets that are in ``value``."""
        found: dict[str, None] = {}
        for text in self._texts(value, 0, set()):
            for secret, use in self._known.items():
                if secret in text:
                    found[use] = None
        self.told.update(found)
        return list(found)

    def _texts(self, value: Any, depth: int, seen: set[int]) -> Iterator[str]:
        self._left -= 1
        if self._left < 0 or depth > _DEPTH or id(value) in seen:
            return
        if isinstance(value, _CODE) or type(value).__module__ in DEFINITIONS:
            return  # no variable's value: its text is among the files
        if isinstance(value, str):
            yield value
        elif isinstance(value, bytes | bytearray):
            yield bytes(value[: 1 << 20]).decode("utf-8", "replace")
        else:
            seen.add(id(value))
            for inner in _parts(value):
                yield from self._texts(inner, depth + 1, seen)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    attributes = getattr(value, "__dict__", None)
    return list(attributes.values()) if isinstance(attributes, dict) else ()
