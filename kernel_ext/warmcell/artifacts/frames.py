"""pandas DataFrames and Series, as Parquet where that gives the same table back."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.secrecy import check_table
from warmcell.artifacts.serializer import Serializer, Summary, family

__all__ = ["Frames"]

_FILE = "value.parquet"
_COLUMN = "value"
_MOST_COLUMNS = 1_000  # whose types are told
_SAMPLE = 65_536  # values, of which nearly all are different where a dictionary would be given up


class Frames(Serializer):
    """Tables and columns of pandas."""

    kind: ClassVar[str] = "pandas"
    runs_code = False

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

    def freeze(self, value: Any) -> Any:
        pandas = sys.modules["pandas"]
        # From version 3 on, what is written to a frame is not seen through its copies.
        if int(pandas.__version__.partition(".")[0]) < 3:
            return None
        return value.copy(deep=False)

    def save(self, value: Any, out: Outgoing) -> None:
        import pandas

        if type(value) is pandas.Series:
            if type(value.name) not in (str, int, type(None)):
                raise TypeError("a name that JSON does not have")
            out.form["series"] = [value.name]
            value = value.to_frame(_COLUMN)
        elif type(value) is not pandas.DataFrame:
            raise TypeError("a subclass of frames is more than its table")
        if (frequency := _frequency(value.index)) is not None:
            out.form["freq"] = frequency  # Parquet has only the dates
        try:
            arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError as error:
            raise TypeError("Parquet needs pyarrow") from error
        _check_names(value)
        try:
            table = arrow.Table.from_pandas(value)
            check_table(table)
            _check(value, table)
            with out.opened(_FILE) as file:
                parquet.write_table(table, file, use_dictionary=_repeating(arrow, table))
        except (arrow.ArrowException, NotImplementedError, KeyError) as error:
            raise TypeError(f"Parquet does not have it: {error}") from error

    def load(self, parts: Incoming) -> Any:
        with parts.checking(_FILE) as path:
            file = import_module("pyarrow.parquet").ParquetFile(path, memory_map=True)
            frame = file.read().to_pandas()  # copies: nothing of the mapped file is in it
        if (frequency := parts.form.get("freq")) is not None:
            frame.index.freq = frequency
        if "series" not in parts.form:
            return frame
        column = frame[_COLUMN]
        column.name = parts.form["series"][0]
        return column

    def facts(self, value: Any) -> dict[str, Any]:
        if value.ndim == 1:
            return {"rows": len(value), "dtype": str(value.dtype)}
        rows, columns = value.shape
        types = zip(value.columns[:_MOST_COLUMNS], value.dtypes[:_MOST_COLUMNS], strict=False)
        schema = {str(name): str(dtype) for name, dtype in types}
        return {"rows": rows, "columns": columns, "schema": schema}


def _repeating(arrow: Any, table: Any) -> list[str] | bool:
    """The columns that a dictionary makes smaller, or True for all. One of numbers that are all
    different outgrows its dictionary: to try costs a quarter of the time of writing."""
    if table.num_rows < 8 * _SAMPLE or any(arrow.types.is_nested(one.type) for one in table.schema):
        return True
    sample = table.slice(table.num_rows // 2, _SAMPLE)
    return [
        name
        for name, column in zip(sample.column_names, sample.columns, strict=True)
        if not arrow.types.is_primitive(column.type) or len(column.unique()) < 0.95 * _SAMPLE
    ]


def _frequency(index: Any) -> str | None:
    """The frequency of dates as text, where the text says all of it."""
    frequency = getattr(index, "freq", None)
    if frequency is None or index.dtype.kind not in "mM":  # periods have theirs in their type
        return None
    text = str(frequency.freqstr)
    same = import_module("pandas.tseries.frequencies").to_offset(text) == frequency
    return text if same else None


def _check_names(frame: Any) -> None:
    """Raise ``TypeError`` for names that pyarrow makes texts of, and warns of it: whoever looks at
    a warning would think that they are lost."""
    pandas = sys.modules["pandas"]
    index, columns = frame.index, frame.columns
    named = isinstance(index, pandas.RangeIndex) or all(
        name is None or isinstance(name, str) for name in index.names
    )
    levels = columns.levels if columns.nlevels > 1 else [columns]
    if not named or any("mixed" in pandas.api.types.infer_dtype(one) for one in levels):
        raise TypeError("Parquet would give other names back")


def _check(frame: Any, table: Any) -> None:
    """Raise ``TypeError`` if ``table`` would not give ``frame`` back."""
    again = table.slice(0, 0).to_pandas()
    same = (
        list(again.dtypes) == list(frame.dtypes)
        and again.columns.equals(frame.columns)
        and again.columns.dtype == frame.columns.dtype
        and type(again.columns) is type(frame.columns)
        and list(again.columns.names) == list(frame.columns.names)
        and type(again.index) is type(frame.index)
        and list(again.index.names) == list(frame.index.names)
        and _dtypes(again.index) == _dtypes(frame.index)
        and again.attrs == frame.attrs
        and frame.flags.allows_duplicate_labels
    )
    if not same:
        raise TypeError("Parquet would give other types back")
    loose = [number for number, dtype in enumerate(frame.dtypes) if _loose(dtype)]
    if any(map(_loose, _dtypes(frame.index))):
        again = table.to_pandas()  # all of it, for the sake of the index
        if not _identical(_labels(again.index), _labels(frame.index)):
            raise TypeError("Parquet would give another index back")
    for number in loose:
        name = frame.columns[number]
        column = table.column(number).to_pandas()
        if not _identical(list(column), list(frame[name])):
            raise TypeError(f"Parquet would give other values back in column {name!r}")


def _loose(dtype: Any) -> bool:
    """Whether values of a dtype can be anything: those of pandas' own texts are texts."""
    return dtype.kind == "O" and not isinstance(dtype, sys.modules["pandas"].StringDtype)


def _dtypes(index: Any) -> list[Any]:
    return list(index.dtypes) if index.nlevels > 1 else [index.dtype]


def _labels(index: Any) -> list[Any]:
    """The labels one by one: those of a level do not hide in tuples."""
    return [label for level in range(index.nlevels) for label in index.get_level_values(level)]


def _identical(first: list[Any], second: list[Any]) -> bool:
    return all(
        type(a) is type(b) and (a is b or (type(a) not in _LOOSE and bool(a == b)))
        for a, b in zip(first, second, strict=True)
    )


_LOOSE = (list, dict, tuple, set)  # whose items would have to be looked at as well
