"""What a generator step gives, as its annotation says it."""

from __future__ import annotations

import types
from collections import abc
from typing import Annotated, Any, get_args, get_origin

__all__ = ["collected"]

_ITERATORS = (
    abc.Iterator, abc.Iterable, abc.Generator,
    abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator,
)  # fmt: skip


def collected(annotation: Any) -> Any:
    """The type of a generator step's value, from the annotation of its function."""
    if get_origin(annotation) is Annotated:
        kind, *extras = get_args(annotation)
        return Annotated[(collected(kind), *extras)]
    if annotation in _ITERATORS:
        return list
    if get_origin(annotation) not in _ITERATORS:
        return annotation
    yielded, *others = get_args(annotation)
    if len(others) > 1 and others[1] not in (None, types.NoneType):
        return others[1]
    return list[yielded]  # type: ignore[valid-type]
