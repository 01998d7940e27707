"""From the bytes of a body to a value of a kind: tables, arrays, pictures, files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmcell.bodies import media
from warmcell.bodies.sources import FEATHER, PARQUET, Source, file_name
from warmcell.errors import UnsupportedMedia
from warmcell.schemas.kinds import Name

__all__ = ["TABULAR", "fits", "read"]

TABULAR = frozenset({media.CSV, media.ARROW, FEATHER, PARQUET})
_NEEDS = {media.ARROW: "pyarrow", FEATHER: "pyarrow", PARQUET: "pyarrow", media.CSV: "pandas"}


def fits(kind: Name, content_type: str) -> bool:
    """Whether :func:`read` can make a value of ``kind`` of such a body."""
    if kind in ("bytes", "path"):
        return True
    table = content_type in TABULAR or content_type == media.NPY
    picture = content_type.startswith("image/")
    if kind in ("frame", "series"):
        return table
    return picture if kind == "image" else kind == "array" and (table or picture)


def read(kind: Name, source: Source, folder: Callable[[], Path]) -> Any:
    """Make a value of ``kind``; for "any" that is what the type of the body suggests.

    ``folder`` gives a folder of the run's own, for files. Raises :class:`UnsupportedMedia` where
    the type and the kind do not go together or a package is missing, else what the packages raise
    for bytes that are not of the type.
    """
    if kind == "any":
        kind = _natural(source.type)
    if kind == "bytes":
        return bytes(source.data)
    if kind == "path":
        return _file(source, folder())
    if not fits(kind, source.type):
        raise UnsupportedMedia(f"A body of the type {source.type} cannot be read as {kind}.")
    if kind == "image":
        return _image(source)
    if source.type == media.NPY:
        return _from_array(kind, _array(source))
    if source.type in TABULAR:
        return _from_table(kind, _table(source))
    return _import("numpy", source.type).asarray(_image(source))


def _natural(content_type: str) -> Name:
    if content_type in TABULAR:
        return "frame"
    return "array" if content_type == media.NPY else "bytes"


def _import(package: str, content_type: str) -> Any:
    if importlib.util.find_spec(package) is None:
        raise UnsupportedMedia(
            f"This kernel cannot read {content_type}: it has no {package}.",
            hint=f"Install {package} where the notebook runs, or send JSON.",
        )
    return importlib.import_module(package)


def _table(source: Source) -> Any:
    pandas = _import("pandas", source.type)
    if source.type == media.CSV:
        return pandas.read_csv(source.reader(), encoding=source.encoding)
    arrow = _import("pyarrow", source.type)
    if source.type == PARQUET:
        return pandas.read_parquet(source.reader())
    ipc = importlib.import_module("pyarrow.ipc")
    buffer = arrow.py_buffer(source.data)
    opened = ipc.open_file if source.type == FEATHER else ipc.open_stream
    return opened(buffer).read_all().to_pandas()


def _from_table(kind: Name, table: Any) -> Any:
    if kind == "frame":
        return table
    if kind == "array":
        return table.to_numpy()
    if table.shape[1] != 1:
        raise ValueError(f"one column is wanted, and there are {table.shape[1]}")
    return table.iloc[:, 0]


def _array(source: Source) -> Any:
    numpy = _import("numpy", source.type)
    return numpy.load(source.reader(), allow_pickle=False)


def _from_array(kind: Name, array: Any) -> Any:
    if kind == "array":
        return array
    pandas = _import("pandas", media.NPY)
    if kind == "series":
        return pandas.Series(array)
    return pandas.DataFrame(array)


def _image(source: Source) -> Any:
    _import("PIL", source.type)
    from PIL import Image

    image = Image.open(source.reader())
    image.load()
    return image


def _file(source: Source, folder: Path) -> Path:
    path = folder / file_name(source)
    for number in range(1, 1000):
        if not path.exists():
            break
        path = folder / str(number) / path.name  # two files of one name
        path.parent.mkdir(exist_ok=True)
    with path.open("xb") as file:
        file.write(source.data)
    return path
