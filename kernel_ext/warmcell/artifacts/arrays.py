"""numpy arrays and numbers, in numpy's own format."""

from __future__ import annotations

import functools
import io
import sys
from typing import Any, ClassVar

import msgspec

from warmcell.artifacts.serializer import Summary, family
from warmcell.schemas.jsonform import to_json

__all__ = ["Arrays"]

_INLINE_ITEMS = 256


@functools.lru_cache(64)
def _name(dtype: Any) -> str:
    return str(dtype)  # numpy works it out anew each time


class Arrays:
    """Arrays of numbers, strings or dates; arrays of objects are pickled."""

    kind: ClassVar[str] = "numpy"

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

    def dump(self, value: Any) -> bytes:
        import numpy

        buffer = io.BytesIO()
        numpy.save(buffer, value, allow_pickle=False)
        return buffer.getvalue()

    def load(self, data: bytes, hint: type | None = None) -> Any:
        import numpy

        value = numpy.load(io.BytesIO(data), allow_pickle=False)
        return value if value.shape or hint is numpy.ndarray else value[()]
