"""Tag: a word on a run, an artifact version, a model and whatever else is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from warmcell.enums import ColorVariants
from warmcell.errors import InvalidName, UsageError

__all__ = ["Tag", "as_tags", "check_color", "check_name"]

_LONGEST = 255
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Tag:
    """A tag and what it means.

    Args:
        name: without commas, and no UUID.
        color: one of :class:`warmcell.enums.ColorVariants`.
        exclusive: only one run, snapshot or deployment of a pipeline has it, and one version of an
            artifact or model: putting it on another one moves it. Kept with the tag.
        cascade: of a pipeline, also put it on every artifact version that its runs make.
    """

    name: str
    color: str | None = None
    exclusive: bool | None = None
    cascade: bool | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_color(self.color)
        if self.color is not None:
            object.__setattr__(self, "color", str(ColorVariants(self.color)))

    def to_json(self) -> dict[str, Any]:
        """The tag as ``POST api/v1/tagged`` takes it."""
        said = {"color": self.color, "exclusive": self.exclusive}
        return {
            "name": self.name,
            **{key: value for key, value in said.items() if value is not None},
        }

    def __str__(self) -> str:
        return self.name


def as_tags(given: Any) -> tuple[Tag, ...]:
    """One tag or several, by name or as they are. Raises :class:`InvalidName` for a name that
    cannot be one, :class:`UsageError` for what is no tag."""
    found = (given,) if isinstance(given, str | Tag) else given
    if not isinstance(found, Iterable):
        raise UsageError(f"A tag is a name or a Tag, not {given!r}.")
    tags = []
    for tag in found:
        if not isinstance(tag, str | Tag):
            raise UsageError(f"A tag is a name or a Tag, not {tag!r}.")
        tags.append(tag if isinstance(tag, Tag) else Tag(tag))
    return tuple(tags)


def check_name(name: Any) -> None:
    """Raise :class:`InvalidName` unless ``name`` can be that of a tag."""
    if not isinstance(name, str):
        raise InvalidName(f"The name of a tag is a text, not {name!r}.")
    if not name.strip() or name != name.strip() or len(name) > _LONGEST:
        raise InvalidName(
            f"A tag cannot be called {name[:50]!r}.",
            hint=f"It has 1 to {_LONGEST} characters, and no blanks around them.",
        )
    if "," in name or not name.isprintable():
        raise InvalidName(
            f"A tag cannot be called {name!r}.",
            hint="Lists are filtered by tags with commas between them: leave out commas.",
        )
    if _ID.fullmatch(name):
        raise InvalidName(f"A tag cannot be called {name!r}.", hint="That looks like an id.")


def check_color(color: Any) -> None:
    """Raise :class:`UsageError` for a color that there is not."""
    if color is not None and str(color) not in list(ColorVariants):
        raise UsageError(
            f"There is no color {color!r}.", hint=f"Colors: {', '.join(ColorVariants)}."
        )
