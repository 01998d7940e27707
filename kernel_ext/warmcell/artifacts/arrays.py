"""numpy arrays and numbers, in numpy's own format."""

from __future__ import annotations

import functools
import io
import math
import sys
from typing import Any, ClassVar

import msgspec

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.serializer import Serializer, Summary, family
from warmcell.schemas.jsonform import to_json

__all__ = ["Arrays", "npy"]

_INLINE_ITEMS = 256
_COPIED = 64 << 20  # bytes: a copy in memory takes a few milliseconds
_LOOKED_AT = 10_000_000  # items


@functools.lru_cache(64)
def _name(dtype: Any) -> str:
    return str(dtype)  # numpy works it out anew each time


class Arrays(Serializer):
    """Arrays of numbers, strings or dates; arrays of objects are pickled."""

    kind: ClassVar[str] = "numpy"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        if family(value) != "numpy":
            return False
        numpy = sys.modules["numpy"]
        return isinstance(value, (numpy.ndarray, numpy.generic)) and value.dtype.kind != "O"

    def summarise(self, value: Any) -> Summary:
        inline = value.size <= _INLINE_ITEMS and value.nbytes <= 16_384
        shape = " x ".join(map(str, value.shape))
        kind = _name(value.dtype)
        preview = f"{shape} {kind}" if shape else kind
        if inline and value.dtype.kind in "fiub":
            return Summary(value.nbytes, preview, msgspec.json.encode(value.tolist()))
        try:
            return Summary(value.nbytes, preview, to_json(value) if inline else None)
        except ValueError:
            return Summary(value.nbytes, preview)

    def freeze(self, value: Any) -> Any:
        return value.copy() if value.nbytes <= _COPIED else None

    def save(self, value: Any, out: Outgoing) -> None:
        import numpy

        if not isinstance(value, numpy.generic) and type(value) not in (
            numpy.ndarray, numpy.memmap,
        ):  # fmt: skip
            raise TypeError("a subclass of arrays is more than its numbers")
        if value.dtype.hasobject or value.dtype.metadata or value.dtype.kind == "T":
            raise TypeError("npy has no such dtype")
        out.form["scalar"] = isinstance(value, numpy.generic)
        with out.path("value.npy").open("wb") as file:
            # With the version said, numpy does not warn of the one that names of fields need.
            version = (1, 0) if value.dtype.names is None else (3, 0)
            array = numpy.asanyarray(value)
            numpy.lib.format.write_array(file, array, version=version, allow_pickle=False)

    def load(self, parts: Incoming) -> Any:
        import numpy

        with parts.checking("value.npy") as path:
            value = numpy.load(path, allow_pickle=False)
        return value[()] if parts.form.get("scalar") else value

    def facts(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"shape": list(value.shape), "dtype": _name(value.dtype)}
        if value.dtype.kind in "fiub" and 0 < value.size <= _LOOKED_AT:
            low, high, mean = float(value.min()), float(value.max()), float(value.mean())
            if low == low and abs(low) != math.inf and abs(high) != math.inf:
                found |= {"min": low, "max": high, "mean": mean}
        return found


def npy(value: Any) -> bytes:
    """An array in numpy's own format."""
    import numpy

    buffer = io.BytesIO()
    numpy.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()
