"""Named secrets in what is about to be kept as a file: then it is not kept.

A file is what its reader expects, so nothing in it can be masked. What is compressed, as columns of
Parquet are, is looked through before it is written.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

from warmcell.errors import ArtifactError
from warmcell.redaction import revealed

__all__ = ["check_bytes", "check_columns", "check_file", "check_table"]

_PIECE = 16 << 20


def check_bytes(view: memoryview) -> None:
    """Raise :class:`ArtifactError` if a secret that this process has read is in ``view``."""
    needles = _needles()
    overlap = max(map(len, needles), default=0)
    for start in range(0, view.nbytes if needles else 0, _PIECE):
        _check(bytes(view[start : start + _PIECE + overlap]), needles)


def check_file(path: Path) -> None:
    """The same for a file. Raises ``OSError`` for one that cannot be read."""
    needles = _needles()
    if not needles or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _check(data, needles)


def check_table(table: Any) -> None:
    """The same for the texts of an Arrow table."""
    found = revealed()
    if not found:
        return
    from importlib import import_module

    arrow, compute = import_module("pyarrow"), import_module("pyarrow.compute")
    for column in table.columns:
        kind = column.type
        if arrow.types.is_dictionary(kind):
            kind = kind.value_type
            column = column.cast(kind)
        texts = (arrow.types.is_string, arrow.types.is_large_string, arrow.types.is_string_view)
        if any(fits(kind) for fits in texts):
            for text in found:
                if compute.any(compute.match_substring(column, text)).as_py():
                    raise _refused()
        elif arrow.types.is_nested(kind):
            # Rare and slow: what is inside is looked at as it would be written.
            _check(repr(column.to_pylist()).encode("utf-8", "surrogatepass"), _needles())


def check_columns(frame: Any) -> None:
    """The same for the texts of a frame of polars."""
    for text in revealed():
        for column in frame.iter_columns():
            if str(column.dtype) in ("String", "Categorical", "Enum"):
                if column.cast(str).str.contains(text, literal=True).any():
                    raise _refused()
            elif column.dtype.is_nested() and text in repr(column.to_list()):
                raise _refused()


def _needles() -> list[bytes]:
    """The secrets as bytes: UTF-8, and UTF-32 as numpy has texts, in both orders of bytes. Of ASCII
    these two are the same but for zeros at the ends."""
    found = []
    for text in revealed():
        found.append(text.encode("utf-8", "surrogatepass"))
        wide = text.encode("utf-32-le", "surrogatepass")
        if text.isascii():
            found.append(wide[:-3])
        else:
            found += [wide, text.encode("utf-32-be", "surrogatepass")]
    return found


def _check(data: bytes | bytearray | mmap.mmap, needles: list[bytes]) -> None:
    if any(data.find(needle) >= 0 for needle in needles):
        raise _refused()


def _refused() -> ArtifactError:
    return ArtifactError(
        "It holds a named secret, which no file of the store may.",
        hint="Return it without what get_secret gave.",
    )
