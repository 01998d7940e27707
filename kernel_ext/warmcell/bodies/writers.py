"""From a value to the bytes of a body: CSV, Arrow, npy, PNG, text, or bytes as they are."""

from __future__ import annotations

import csv
import importlib.util
import io
import math
from functools import cache
from typing import Any

from warmcell.artifacts.arrays import npy
from warmcell.artifacts.figures import drawn, png
from warmcell.bodies import media
from warmcell.bodies.sources import sniffed
from warmcell.schemas.kinds import Name, kind_of, kind_of_value

__all__ = ["natural", "offered", "offers", "weight", "write"]

_JSON_ONLY = (int, float, bool, dict, list, tuple, set)


def offers(value: Any) -> tuple[str, ...]:
    """The media types that ``value`` can be written as; JSON comes first."""
    kind = kind_of_value(value)
    if kind == "bytes":
        found = sniffed(memoryview(value).cast("B"))
        return (media.JSON, found, media.OCTETS) if found else (media.JSON, media.OCTETS)
    if kind == "array" and (value.ndim > 2 or value.dtype.names):
        return (media.JSON, media.NPY)
    return _offers_of(kind)


def offered(annotation: Any) -> tuple[str, ...] | None:
    """What a value of this annotation can be written as; None where only the value tells."""
    kind = kind_of(annotation)
    if kind.many or annotation in _JSON_ONLY:
        return (media.JSON,)
    return None if kind.name in ("any", "other", "bytes") else _offers_of(kind.name)


def natural(value: Any) -> str | None:
    """The media type of a file that holds ``value``; None for what is no file."""
    found = offers(value)
    if len(found) == 1 or found[1] == media.TEXT:
        return None
    return media.ARROW if media.ARROW in found else found[1]


def weight(value: Any) -> int:
    """About how many bytes ``value`` takes; at no cost."""
    kind = kind_of_value(value)
    if kind == "bytes":
        return memoryview(value).nbytes
    if kind == "array":
        return int(value.nbytes)
    return 8 * math.prod(value.shape) if kind in ("frame", "series") else 0


def write(value: Any, content_type: str) -> tuple[bytes, str]:
    """Write ``value`` as one of its :func:`offers`; return the bytes and their Content-Type.

    Raises what the packages raise for values that a format cannot hold.
    """
    kind = kind_of_value(value)
    if kind == "bytes":
        return bytes(value), content_type
    if kind == "text":
        return value.encode(), f"{media.TEXT}; charset=utf-8"
    if content_type == media.PNG:
        return _png(kind, value), content_type
    if content_type == media.NPY:
        return npy(value), content_type
    if content_type == media.ARROW:
        return _arrow(value), content_type
    return _csv(kind, value).encode(), f"{media.CSV}; charset=utf-8"


@cache
def _offers_of(kind: Name) -> tuple[str, ...]:
    if kind in ("frame", "series"):
        arrow = importlib.util.find_spec("pyarrow") is not None
        return (media.JSON, media.CSV, media.ARROW) if arrow else (media.JSON, media.CSV)
    more = {
        "array": (media.NPY, media.CSV),
        "image": (media.PNG,),
        "figure": (media.PNG,),
        "text": (media.TEXT,),
    }
    return (media.JSON, *more.get(kind, ()))


def _png(kind: Name, value: Any) -> bytes:
    return drawn(value) if kind == "figure" else png(value)


def _arrow(value: Any) -> bytes:
    pyarrow = importlib.import_module("pyarrow")
    ipc = importlib.import_module("pyarrow.ipc")
    if type(value).__module__.partition(".")[0] == "polars":
        table = value.to_arrow()
    elif isinstance(value, pyarrow.Table):
        table = value
    else:
        frame = value if len(value.shape) > 1 else value.to_frame()
        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    sink = pyarrow.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def _csv(kind: Name, value: Any) -> str:
    if kind == "array":
        buffer = io.StringIO()
        rows = value.reshape(-1, 1) if value.ndim < 2 else value
        csv.writer(buffer).writerows(rows.tolist())
        return buffer.getvalue()
    family = type(value).__module__.partition(".")[0]
    if family == "polars":
        return str(value.write_csv())
    frame = value.to_pandas() if family == "pyarrow" else value
    return str(frame.to_csv(index=False))
