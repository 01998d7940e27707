"""What a serializer is: the one seam between a kind of value and its bytes."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

__all__ = ["Serializer", "Summary", "family"]


class Summary(NamedTuple):
    """What the history shows of a value. ``size`` is in bytes, None where it costs too much."""

    size: int | None = None
    preview: str | None = None
    json: bytes | None = None


class Serializer(Protocol):
    """One kind of value. Instances hold no state and are used by many threads at once."""

    kind: ClassVar[str]

    def accepts(self, value: Any) -> bool:
        """Say whether ``value`` is of this kind; cheap, and imports nothing."""

    def summarise(self, value: Any) -> Summary:
        """Describe ``value`` in microseconds; never runs code of the user's, such as a repr."""

    def dump(self, value: Any) -> bytes:
        """Write ``value``. Raises ``ValueError`` or ``TypeError`` if it cannot be written."""

    def load(self, data: bytes, hint: type | None = None) -> Any:
        """Read what :meth:`dump` wrote; ``hint`` is the class to make, where one is needed.

        The kinds ``pandas``, ``model`` and ``pickle`` may run code: pass trusted bytes only.
        """


def family(value: Any) -> str:
    """Return the top-level package that the type of ``value`` comes from."""
    return type(value).__module__.partition(".")[0]
