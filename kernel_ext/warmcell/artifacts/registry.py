"""Which serializer a value gets."""

from __future__ import annotations

from typing import Any

from warmcell.artifacts.arrays import Arrays
from warmcell.artifacts.figures import Figures, Images
from warmcell.artifacts.frames import Frames
from warmcell.artifacts.marked import Marked
from warmcell.artifacts.materialized import Materialized
from warmcell.artifacts.models import Models
from warmcell.artifacts.objects import Dataclasses, PydanticModels
from warmcell.artifacts.paths import Paths
from warmcell.artifacts.pickled import Pickled
from warmcell.artifacts.plain import Bytes, Json, Text
from warmcell.artifacts.serializer import Serializer
from warmcell.artifacts.sparse import Sparse
from warmcell.artifacts.tables import ArrowTables, Polars
from warmcell.artifacts.tensors import Modules, Tensors
from warmcell.errors import DefinitionError, NotFound

__all__ = ["SERIALIZERS", "register", "registered", "serializer_for", "serializer_of"]

SERIALIZERS: tuple[Serializer, ...] = (
    Marked(),  # before Text: each is a str
    Text(),
    Bytes(),
    Arrays(),  # before Json: numpy.float64 is a float
    Json(),
    Frames(),
    Polars(),
    ArrowTables(),
    PydanticModels(),
    Dataclasses(),
    Paths(),
    Sparse(),
    Figures(),
    Images(),
    Tensors(),
    Modules(),
    Models(),
    Materialized(),  # takes nothing by itself
    Pickled(),
)

_registered: dict[type, Serializer] = {}
_mine: dict[str, Serializer] = {}  # those of classes of the notebook, by their names


def register(cls: type, serializer: Serializer) -> None:
    """Have values of ``cls`` and of its subclasses written by ``serializer`` in this process;
    registering the same class again replaces the earlier one. Raises :class:`DefinitionError`."""
    given: Any = cls
    if not isinstance(given, type) or given is object:
        raise DefinitionError(f"A serializer is registered for a class, not for {given!r}.")
    given, kind = serializer, getattr(serializer, "kind", None)
    if not isinstance(given, Serializer) or not isinstance(kind, str) or not kind:
        raise DefinitionError(
            f"{serializer!r} is no serializer of {cls.__name__}.",
            hint="Pass an instance of a subclass of warmcell.artifacts.Serializer with a `kind`.",
        )
    others = [*SERIALIZERS, *(one for known, one in _registered.items() if known is not cls)]
    taken = next((one for one in others if one.kind == kind), None)
    if taken is not None and type(taken) is not type(serializer):
        raise DefinitionError(
            f"The kind {kind!r} is that of {type(taken).__name__}.",
            hint="Give the serializer a `kind` of its own: it says how to read what it wrote.",
        )
    _registered[cls] = serializer
    if cls.__module__ == "__main__":
        _mine[cls.__qualname__] = serializer


def registered(cls: type) -> Serializer | None:
    """What :func:`register` was given for ``cls``, or for a class that it builds on. A snapshot has
    copies of the notebook's own classes: they are known by their names."""
    for one in cls.__mro__:
        if one in _registered:
            return _registered[one]
        if one.__module__ == "__main__" and (found := _mine.get(one.__qualname__)) is not None:
            return found
    return None


def serializer_for(value: Any) -> Serializer:
    """Return the serializer of ``value``; the last one takes everything."""
    if _registered:
        found = registered(type(value))
        if found is not None:
            return found
    return next(serializer for serializer in SERIALIZERS if serializer.accepts(value))


def serializer_of(kind: str) -> Serializer:
    """Return the serializer of a kind. Raises :class:`NotFound` for one that does not exist."""
    for serializer in (*SERIALIZERS, *_registered.values()):
        if serializer.kind == kind:
            return serializer
    raise NotFound(
        f"There is no artifact kind {kind!r} in this process.",
        hint="Import the module that calls warmcell.artifacts.register for it.",
    )
