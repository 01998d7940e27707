"""A list that the client answers with, which ZenML's users read by ``items``."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["Page"]

T = TypeVar("T")


class Page(list[T]):
    """A list; ``items`` is the list too, and ``total`` how many there are in it."""

    @property
    def items(self) -> list[T]:
        """What is in it."""
        return list(self)

    @property
    def total(self) -> int:
        """How many are in it."""
        return len(self)
