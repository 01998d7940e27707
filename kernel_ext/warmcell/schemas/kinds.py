"""What a type hint takes of a body, and what it gives: a table, an array, a picture, a file.

Nothing is imported for it: a hint of pandas, numpy, PIL or matplotlib is proof that they are
loaded.
"""

from __future__ import annotations

import collections.abc
import inspect
import pathlib
import types
import typing
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union

__all__ = ["Kind", "Name", "kind_of", "kind_of_value"]

Name: TypeAlias = Literal[
    "frame", "series", "array", "image", "figure", "bytes", "path", "text", "any", "other"
]
_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable)
_PATHS = (pathlib.Path, pathlib.PurePath, pathlib.PosixPath)


class Kind(NamedTuple):
    """``many`` where the hint is a list of them."""

    name: Name
    many: bool = False

    @property
    def takes_file(self) -> bool:
        """Whether a body or a file can be a value of this kind."""
        return self.name not in ("text", "any", "other", "figure")


def kind_of(hint: Any) -> Kind:
    """Classify a type hint, as it was written or as :mod:`warmcell.schemas` adapted it."""
    if hint is None or hint is Any or hint is inspect.Parameter.empty or hint is object:
        return Kind("any")
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return kind_of(typing.get_args(hint)[0])
    if origin in (Union, types.UnionType):
        found = [kind_of(a) for a in typing.get_args(hint) if a is not type(None)]
        files = [kind for kind in found if kind.takes_file]
        return files[0] if files else (found[0] if len(found) == 1 else Kind("other"))
    if origin in _SEQUENCES and typing.get_args(hint):
        inner = kind_of(typing.get_args(hint)[0])
        return Kind(inner.name, True) if inner.takes_file and not inner.many else Kind("other")
    found_class = origin if isinstance(origin, type) else hint
    return Kind(_class(found_class)) if isinstance(found_class, type) else Kind("other")


def kind_of_value(value: object) -> Name:
    """Classify a value."""
    return _class(type(value))


def _class(kind: type) -> Name:
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, bytes | bytearray | memoryview):
        return "bytes"
    if kind in _PATHS:
        return "path"
    for base in kind.__mro__:
        name = _KNOWN.get((base.__module__.partition(".")[0], base.__name__))
        if name is not None:
            return name
    return "other"


_KNOWN: dict[tuple[str, str], Name] = {
    ("pandas", "DataFrame"): "frame",
    ("polars", "DataFrame"): "frame",
    ("pyarrow", "Table"): "frame",
    ("pandas", "Series"): "series",
    ("numpy", "ndarray"): "array",
    ("PIL", "Image"): "image",
    ("matplotlib", "Figure"): "figure",
}
