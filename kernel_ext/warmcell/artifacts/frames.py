"""pandas DataFrames and Series, as Parquet where that gives the same table back."""

from __future__ import annotations

import io
import sys
from typing import Any, ClassVar

from warmcell.artifacts.serializer import Summary, family

__all__ = ["Frames"]

_MAGIC = b"PAR1"


class Frames:
    """Tables and columns of pandas."""

    kind: ClassVar[str] = "pandas"

    def accepts(self, value: Any) -> bool:
        if family(value) != "pandas":
            return False
        pandas = sys.modules["pandas"]
        return isinstance(value, pandas.DataFrame | pandas.Series)

    def summarise(self, value: Any) -> Summary:
        if value.ndim == 1:
            return Summary(None, f"{len(value):,} x {value.dtype}")
        rows, columns = value.shape
        names = ", ".join(str(name) for name in value.columns[:8])
        more = ", …" if columns > 8 else ""
        return Summary(None, f"{rows:,} rows x {columns:,} columns: {names}{more}")

    def dump(self, value: Any) -> bytes:
        if value.ndim == 2:
            try:
                return bytes(value.to_parquet())
            except (ImportError, ValueError, TypeError, NotImplementedError):
                pass  # no pyarrow, or columns that Parquet does not have
        buffer = io.BytesIO()
        value.to_pickle(buffer)
        return buffer.getvalue()

    def load(self, data: bytes, hint: type | None = None) -> Any:
        import pandas

        read = pandas.read_parquet if data[:4] == _MAGIC else pandas.read_pickle
        return read(io.BytesIO(data))
