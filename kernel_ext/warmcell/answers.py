"""What differs between two answers: JSON values compared place by place.

Pure, for whatever compares answers: a backtest, two runs, shadow traffic. A place is written as one
would write it in Python after the answer: ``probability``, ``rows[3].score``, ``["a b"]``; the
answer itself is the empty path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from warmcell.errors import UsageError

__all__ = ["ABSENT", "Absent", "Difference", "Tolerance", "differences", "each_difference"]

Path: TypeAlias = tuple[str | int, ...]

_PART = re.compile(r"""\.?(?P<name>[^.\[\]]+)|\[(?P<index>\d+|\*)\]|\["(?P<quoted>[^"]*)"\]""")
_PLAIN = re.compile(r"[^\W\d]\w*")


class Absent:
    """What is on the side that does not have a place at all; there is one, ``ABSENT``."""

    def __repr__(self) -> str:
        return "(nothing)"


ABSENT: Final = Absent()


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may be apart and still count as the same: ``absolute`` in their own
    unit, or ``relative`` to the larger of the two. One of both is enough. Raises
    :class:`~warmcell.errors.UsageError` for what is not a number from 0 on."""

    absolute: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        for name in ("absolute", "relative"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise UsageError(
                    f"A tolerance's {name} is {value!r}, which is not a number from 0 on.",
                    hint="Write tolerance=1e-6, or a dict of absolute and relative.",
                )

    @classmethod
    def of(cls, given: Tolerance | float | Mapping[str, float] | None) -> Tolerance:
        """Make one of a number (absolute), a mapping of both, or nothing."""
        if isinstance(given, Tolerance):
            return given
        if isinstance(given, Mapping):
            if unknown := set(given) - {"absolute", "relative"}:
                raise UsageError(
                    f"A tolerance has no {min(unknown)!r}.", hint="It has absolute and relative."
                )
            return cls(**given)
        return cls() if given is None else cls(given)

    def covers(self, before: float, after: float) -> bool:
        """Whether two numbers count as the same."""
        if before == after or (before != before and after != after):
            return True
        apart = _apart(before, after)
        if math.isinf(apart):
            return False
        return apart <= self.absolute or apart <= self.relative * max(_size(before), _size(after))


@dataclass(frozen=True, slots=True)
class Difference:
    """One place at which two answers differ.

    ``before`` and ``after`` are the JSON values there, or ``ABSENT``. Of two numbers, ``absolute``
    is how far they are apart, and ``relative`` that divided by the size of ``before`` (infinite
    where that is 0); else both are None.
    """

    path: str
    before: Any
    after: Any
    absolute: float | None = None
    relative: float | None = None

    @property
    def change(self) -> float | None:
        """``after`` minus ``before``, of two numbers."""
        if self.absolute is None:
            return None
        return self.absolute if self.after > self.before else -self.absolute

    @property
    def everywhere(self) -> str:
        """The path without its positions in lists: ``rows[*].score``."""
        return re.sub(r"\[\d+\]", "[*]", self.path)

    def to_json(self) -> dict[str, Any]:
        """As JSON: a side that is absent has no member, a number that is infinite is null."""
        found: dict[str, Any] = {"path": self.path}
        found |= {
            side: value
            for side, value in (("before", self.before), ("after", self.after))
            if value is not ABSENT
        }
        for name in ("absolute", "relative"):
            value = getattr(self, name)
            found[name] = value if value is not None and math.isfinite(value) else None
        return found

    def __str__(self) -> str:
        return f"{self.path or 'the answer'}: {self.before!r} -> {self.after!r}"


def differences(
    before: Any,
    after: Any,
    *,
    tolerance: Tolerance | float | Mapping[str, float] | None = None,
    ignore: Iterable[str] = (),
) -> list[Difference]:
    """List every place at which two JSON values differ, in the order of ``before``.

    Numbers are compared as numbers (1 and 1.0 are the same), and count as the same within
    ``tolerance``. ``ignore`` names places that are not looked at, with all below them; ``*`` stands
    for any position or name: ``rows[*].id``. Raises :class:`~warmcell.errors.UsageError` for a path
    that cannot be read.
    """
    return list(each_difference(before, after, tolerance=tolerance, ignore=ignore))


def each_difference(
    before: Any,
    after: Any,
    *,
    tolerance: Tolerance | float | Mapping[str, float] | None = None,
    ignore: Iterable[str] = (),
) -> Iterator[Difference]:
    """As :func:`differences`, one by one: two long lists can differ in a million places."""
    if isinstance(ignore, str):
        ignore = (ignore,)
    return _walk(before, after, Tolerance.of(tolerance), [_parse(path) for path in ignore])


def _walk(
    before: Any, after: Any, tolerance: Tolerance, ignored: Sequence[Path]
) -> Iterator[Difference]:
    # With a stack of its own: an answer may be nested deeper than Python calls may be.
    waiting: list[tuple[Path, Any, Any]] = [((), before, after)]
    while waiting:
        path, old, new = waiting.pop()
        if ignored and any(_matches(pattern, path) for pattern in ignored):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            names = [*old, *(name for name in new if name not in old)]
            waiting += [
                ((*path, name), old.get(name, ABSENT), new.get(name, ABSENT))
                for name in reversed(names)
            ]
        elif isinstance(old, list) and isinstance(new, list):
            waiting += [
                (
                    (*path, at),
                    old[at] if at < len(old) else ABSENT,
                    new[at] if at < len(new) else ABSENT,
                )
                for at in reversed(range(max(len(old), len(new))))
            ]
        elif _number(old) and _number(new):
            if not tolerance.covers(old, new):
                apart = _apart(old, new)
                size = _size(old)
                yield Difference(_text(path), old, new, apart, apart / size if size else math.inf)
        elif type(old) is not type(new) or old != new:
            yield Difference(_text(path), old, new)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _apart(before: float, after: float) -> float:
    """How far two numbers are apart; infinitely, where one is none or is beyond a float."""
    if isinstance(before, int) and isinstance(after, int):
        return _size(after - before)  # exact: those of JSON may be longer than a float is
    try:
        apart = abs(float(after) - float(before))
    except OverflowError:
        return math.inf
    return math.inf if math.isnan(apart) else apart


def _size(value: float) -> float:
    try:
        size = abs(float(value))
    except OverflowError:
        return math.inf
    return 0.0 if math.isnan(size) else size


# -- paths -----------------------------------------------------------------------------------


def _text(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def _parse(text: str) -> Path:
    parts: list[str | int] = []
    at = 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None or (at == 0 and text.startswith(".")):
            break
        index = found["index"]
        parts.append(
            int(index) if index and index != "*" else index or found["name"] or found["quoted"]
        )
        at = found.end()
    if not parts or at < len(text):
        raise UsageError(
            f"{text!r} is not the path of a place in an answer.",
            hint='Write probability, rows[3].score, rows[*].id or ["a b"].',
        )
    return tuple(parts)


def _matches(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(
        wanted in ("*", part) for wanted, part in zip(pattern, path, strict=True)
    )
