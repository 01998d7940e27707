"""Types of metadata that say more than their plain value: a place, a type, a number of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["DType", "MetadataType", "Path", "StorageSize", "Uri"]


class Uri(str):
    """An address."""

    __slots__ = ()


class Path(str):
    """A place in a file system."""

    __slots__ = ()


class DType(str):
    """The type of a column, an array, …"""

    __slots__ = ()


class StorageSize(int):
    """A number of bytes."""

    def __str__(self) -> str:
        size = float(self)
        for unit in ("B", "kB", "MB", "GB", "TB"):
            if abs(size) < 1000 or unit == "TB":
                return f"{size:.3g} {unit}" if unit != "B" else f"{int(self)} B"
            size /= 1000
        raise AssertionError("unreachable")


MetadataType: TypeAlias = (
    str
    | int
    | float
    | bool
    | Mapping[str, Any]
    | list[Any]
    | set[Any]
    | tuple[Any, ...]
    | Uri
    | Path
    | DType
    | StorageSize
)
"""What metadata may be."""
