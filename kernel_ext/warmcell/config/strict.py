"""Models of settings that take nothing they do not know, and say what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar

import pydantic

from warmcell.errors import UsageError, WarmcellError

__all__ = ["Strict"]


class Strict(pydantic.BaseModel):
    """Base of the settings. What does not fit raises :class:`UsageError`, with the name of the
    setting and the right one where a name is wrong.

    ``owner`` begins the messages; ``elsewhere`` maps names that others know to what to do here.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    owner: ClassVar[str] = "A group of settings"
    elsewhere: ClassVar[Mapping[str, str]] = {}

    def __init__(self, /, **values: Any) -> None:
        for name in values:
            if name not in type(self).model_fields:
                raise _unknown(type(self), name)
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise _misfit(type(self), error) from None


def _unknown(kind: type[Strict], name: str) -> UsageError:
    if name in kind.elsewhere:
        return UsageError(
            f"The setting '{name}' of ZenML has no place in Warmcell.", hint=kind.elsewhere[name]
        )
    known = list(kind.model_fields)
    near = difflib.get_close_matches(name, known, 1)
    return UsageError(
        f"{kind.owner} has no setting '{name}'.",
        hint=f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known)}.",
    )


def _misfit(kind: type[Strict], error: pydantic.ValidationError) -> UsageError:
    """The first thing that was wrong, in one sentence."""
    item = error.errors(include_url=False, include_input=True)[0]
    inner = (item.get("ctx") or {}).get("error")
    place = ".".join(str(part) for part in item["loc"] if not _is_branch(part))
    if isinstance(inner, WarmcellError):
        return UsageError(f"{place}: {inner.message}" if place else inner.message, hint=inner.hint)
    message = str(item["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    given = repr(item["input"])
    given = given if len(given) <= 80 else given[:79] + "…"
    where = f"The setting '{place}'" if place else kind.owner
    return UsageError(f"{where} does not fit: {message}; given: {given}.")


def _is_branch(part: int | str) -> bool:
    """Whether a part of pydantic's location is the name of a branch of a union, no place."""
    return isinstance(part, str) and not part.isidentifier()
