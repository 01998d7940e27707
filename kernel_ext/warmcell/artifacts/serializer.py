"""What a serializer is: the one seam between a kind of value and its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from warmcell.artifacts.files import Incoming, Outgoing

__all__ = ["Serializer", "Summary", "family"]


class Summary(NamedTuple):
    """What the history shows of a value. ``size`` is in bytes, None where it costs too much."""

    size: int | None = None
    preview: str | None = None
    json: bytes | None = None


class Serializer(ABC):
    """One kind of value. Instances hold no state and are used by many threads at once.

    For a class of your own, subclass this, set ``kind``, write :meth:`save` and :meth:`load`, and
    pass an instance to :func:`warmcell.artifacts.register`. ``role`` is an
    :class:`~warmcell.enums.ArtifactType`. ``runs_code`` says whether loading can run code
    that is in the files, as a pickle does: such files are loaded only if this user has signed them.
    Set it to False where :meth:`load` is safe with files from anybody.
    """

    kind: ClassVar[str]
    role: str = "data"
    runs_code: ClassVar[bool] = True

    def accepts(self, value: Any) -> bool:
        """Say whether ``value`` is of this kind; cheap, and imports nothing."""
        return False

    def summarise(self, value: Any) -> Summary:
        """Describe ``value`` in microseconds; never runs code of the user's, such as a repr."""
        return Summary(None, type(value).__name__)

    def freeze(self, value: Any) -> Any:
        """A stand-in for ``value`` that does not change when ``value`` does, made in microseconds;
        None where there is none, so that the value is written before its run goes on."""
        return None

    @abstractmethod
    def save(self, value: Any, out: Outgoing) -> None:
        """Write ``value``. Raises ``ValueError`` or ``TypeError`` if this kind cannot give it back
        as it is: it is pickled then."""

    @abstractmethod
    def load(self, parts: Incoming) -> Any:
        """Read what :meth:`save` wrote."""

    def facts(self, value: Any) -> dict[str, Any]:
        """What to know about ``value`` without loading it: JSON values by name."""
        return {}


def family(value: Any) -> str:
    """Return the top-level package that the type of ``value`` comes from."""
    return type(value).__module__.partition(".")[0]
