"""Which serializer a value gets."""

from __future__ import annotations

from typing import Any

from warmcell.artifacts.arrays import Arrays
from warmcell.artifacts.figures import Figures, Images
from warmcell.artifacts.frames import Frames
from warmcell.artifacts.models import Models
from warmcell.artifacts.objects import Dataclasses, PydanticModels
from warmcell.artifacts.pickled import Pickled
from warmcell.artifacts.plain import Bytes, Json, Text
from warmcell.artifacts.serializer import Serializer
from warmcell.errors import NotFound

__all__ = ["SERIALIZERS", "dump", "load", "serializer_for", "serializer_of"]

SERIALIZERS: tuple[Serializer, ...] = (
    Text(),
    Bytes(),
    Arrays(),  # before Json: numpy.float64 is a float
    Json(),
    Frames(),
    PydanticModels(),
    Dataclasses(),
    Figures(),
    Images(),
    Models(),
    Pickled(),
)


def serializer_for(value: Any) -> Serializer:
    """Return the serializer of ``value``; the last one takes everything."""
    return next(serializer for serializer in SERIALIZERS if serializer.accepts(value))


def serializer_of(kind: str) -> Serializer:
    """Return the serializer of a kind. Raises :class:`NotFound` for one that does not exist."""
    for serializer in SERIALIZERS:
        if serializer.kind == kind:
            return serializer
    raise NotFound(f"There is no artifact kind {kind!r}.")


def dump(value: Any) -> tuple[str, bytes]:
    """Write ``value``: its kind and its bytes; what its own kind cannot write is pickled."""
    serializer = serializer_for(value)
    try:
        return serializer.kind, serializer.dump(value)
    except (TypeError, ValueError):
        if serializer.kind == Pickled.kind:
            raise
        return Pickled.kind, Pickled().dump(value)


def load(kind: str, data: bytes, hint: type | None = None) -> Any:
    """Read what :func:`dump` wrote. Pickles run code: pass trusted bytes only."""
    return serializer_of(kind).load(data, hint)
