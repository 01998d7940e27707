"""Tables of polars and of Arrow, as Parquet; as an Arrow file where Parquet has no such column."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.secrecy import check_columns, check_table
from warmcell.artifacts.serializer import Serializer, Summary, family

__all__ = ["ArrowTables", "Polars"]

_PARQUET = "value.parquet"
_ARROW = "value.arrow"
_COLUMN = "value"
_MOST_COLUMNS = 1_000  # whose types are told


class Polars(Serializer):
    """DataFrames and Series of polars."""

    kind: ClassVar[str] = "polars"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        if family(value) != "polars":
            return False
        polars = sys.modules["polars"]
        return isinstance(value, polars.DataFrame | polars.Series)

    def summarise(self, value: Any) -> Summary:
        if len(value.shape) == 1:
            return Summary(None, f"{len(value):,} x {value.dtype}")
        return Summary(None, _outline(value.height, value.columns))

    def freeze(self, value: Any) -> Any:
        return value.clone()

    def save(self, value: Any, out: Outgoing) -> None:
        import polars

        if type(value) is polars.Series:
            out.form["series"] = value.name
            value = value.rename(_COLUMN).to_frame()
        elif type(value) is not polars.DataFrame:
            raise TypeError("a subclass of frames is more than its table")
        check_columns(value)
        path = out.path(_PARQUET)
        try:
            value.write_parquet(path)
            same = value.width and polars.read_parquet_schema(path) == value.schema
        except (polars.exceptions.PolarsError, BaseException) as error:
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise TypeError(f"Parquet does not have it: {error}") from error
        if not same:
            raise TypeError("Parquet would give other types back")

    def load(self, parts: Incoming) -> Any:
        import polars

        # Checked before it is read: polars panics on a damaged file.
        frame = polars.read_parquet(parts.path(_PARQUET), memory_map=False)
        if "series" not in parts.form:
            return frame
        return frame[_COLUMN].rename(parts.form["series"])

    def facts(self, value: Any) -> dict[str, Any]:
        if len(value.shape) == 1:
            return {"rows": len(value), "dtype": str(value.dtype)}
        schema = {name: str(dtype) for name, dtype in list(value.schema.items())[:_MOST_COLUMNS]}
        return {"rows": value.height, "columns": value.width, "schema": schema}


class ArrowTables(Serializer):
    """Tables of pyarrow."""

    kind: ClassVar[str] = "arrow"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        return family(value) == "pyarrow" and isinstance(value, sys.modules["pyarrow"].Table)

    def summarise(self, value: Any) -> Summary:
        return Summary(value.nbytes, _outline(value.num_rows, value.column_names))

    def freeze(self, value: Any) -> Any:
        return value  # it never changes

    def save(self, value: Any, out: Outgoing) -> None:
        check_table(value)
        ipc, parquet = import_module("pyarrow.ipc"), import_module("pyarrow.parquet")
        try:
            path = out.path(_PARQUET)
            parquet.write_table(value, path)
            same = parquet.read_schema(path).equals(value.schema, check_metadata=True)
        except (import_module("pyarrow").ArrowException, NotImplementedError):
            same = False
        if same:
            return
        out.restart()
        path = out.path(_ARROW)
        with ipc.new_file(str(path), value.schema) as file:
            file.write_table(value)

    def load(self, parts: Incoming) -> Any:
        if _PARQUET in parts.names:
            with parts.checking(_PARQUET) as path:
                return import_module("pyarrow.parquet").ParquetFile(path).read()
        ipc = import_module("pyarrow.ipc")
        with parts.checking(_ARROW) as path, ipc.open_file(str(path)) as file:
            return file.read_all()

    def facts(self, value: Any) -> dict[str, Any]:
        fields = list(value.schema)[:_MOST_COLUMNS]
        schema = {field.name: str(field.type) for field in fields}
        return {"rows": value.num_rows, "columns": value.num_columns, "schema": schema}


def _outline(rows: int, names: list[str]) -> str:
    more = ", …" if len(names) > 8 else ""
    return f"{rows:,} rows x {len(names):,} columns: {', '.join(names[:8])}{more}"
