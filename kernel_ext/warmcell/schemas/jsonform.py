"""The JSON form of a value: what notebooks return, as JSON bytes.

Numbers, dataclasses, pydantic models, arrays, DataFrames and dates are written; pandas and numpy
are never imported: a value of theirs is proof that they are loaded.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic_core

__all__ = ["qualified", "to_json", "without_json_form"]


def qualified(kind: type) -> str:
    """Name a type as a reader knows it: ``pandas.DataFrame``, ``Customer``, ``float``."""
    module = kind.__module__.partition(".")[0]
    if module in ("builtins", "__main__"):
        return kind.__qualname__
    if module in ("numpy", "pandas") and hasattr(sys.modules.get(module), kind.__name__):
        return f"{module}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def to_json(value: object) -> bytes:
    """Encode ``value``; NaN and infinities become null, bytes base64, DataFrames records.

    Raises ``ValueError`` (of pydantic_core) if something in it has no JSON form.
    """
    try:
        return _encode(value)
    except pydantic_core.PydanticSerializationError:
        # NaT is a datetime to pydantic, and fails; a walk in Python replaces it wherever it is
        pandas = sys.modules.get("pandas")
        if pandas is None:
            raise
        try:
            plain = _without_nat(value, pandas.NaT, 0)
        except TypeError as error:
            raise ValueError(str(error)) from None
        return _encode(plain)


def _encode(value: object) -> bytes:
    return pydantic_core.to_json(value, inf_nan_mode="null", bytes_mode="base64", fallback=_plain)


def _without_nat(value: Any, nat: object, depth: int) -> Any:
    if value is nat:
        return None
    if depth > 200:
        return value  # left to the encoder, which refuses what is that deep or circular
    if isinstance(value, dict):
        return {
            "null" if k is nat else k: _without_nat(v, nat, depth + 1) for k, v in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_nat(item, nat, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _without_nat(getattr(value, f.name), nat, depth + 1)
            for f in dataclasses.fields(value)
        }
    if hasattr(value, "iloc") and type(value).__module__.partition(".")[0] == "pandas":
        return _without_nat(_plain(value), nat, depth + 1)
    return value


def _plain(value: Any) -> Any:
    """Turn what pydantic does not know into what it does."""
    module = type(value).__module__.partition(".")[0]
    if module == "numpy":
        return _plain_numpy(value)
    if module == "pandas":
        return _plain_pandas(value)
    if module == "polars" and hasattr(value, "to_dicts"):
        return value.to_dicts()
    if module in ("polars", "pyarrow") and hasattr(value, "to_list"):
        return value.to_list()
    if module == "pyarrow" and hasattr(value, "to_pylist"):
        return value.to_pylist()
    if module == "PIL" and hasattr(value, "save"):
        from warmcell.artifacts.figures import png

        return png(value)
    if hasattr(value, "__struct_fields__"):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if hasattr(type(value), "__attrs_attrs__"):
        return {f.name: getattr(value, f.name) for f in type(value).__attrs_attrs__}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{qualified(type(value))} has no JSON form")


def _plain_numpy(value: Any) -> Any:
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.ndarray | numpy.generic):
        if value.dtype.kind in "mM":
            text = numpy.datetime_as_string if value.dtype.kind == "M" else numpy.char.mod
            if value.dtype.kind == "m":  # seconds, as a number: a count of units means nothing
                return (value / numpy.timedelta64(1, "s")).tolist()
            return _nat_to_null(text(value).tolist())
        if value.dtype.kind == "V" and value.dtype.names:
            names = value.dtype.names
            if value.ndim == 0:
                return {name: value[name] for name in names}
            return [{name: row[name] for name in names} for row in value]
        return value.tolist()
    raise TypeError(f"{qualified(type(value))} has no JSON form")


def _nat_to_null(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_nat_to_null(text) for text in texts]
    return None if texts == "NaT" else texts


def _plain_pandas(value: Any) -> Any:
    pandas = sys.modules["pandas"]
    if isinstance(value, pandas.DataFrame):
        names = [_column_name(column) for column in value.columns]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise TypeError(f"a DataFrame with two columns named {twice!r} has no JSON form")
        columns = [_values(value.iloc[:, i]) for i in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(value, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray):
        return _values(pandas.Series(value))
    if value is pandas.NA or value is pandas.NaT:
        return None
    if isinstance(value, pandas.Period | pandas.Interval):
        return str(value)
    raise TypeError(f"{qualified(type(value))} has no JSON form")


def _column_name(column: object) -> str:
    return ".".join(map(str, column)) if isinstance(column, tuple) else str(column)


def _values(series: Any) -> list[Any]:
    if series.dtype.kind in "biufU":
        return list(series.tolist())
    return list(series.astype(object).where(series.notna(), None).tolist())


def without_json_form(value: object, path: str, depth: int = 0) -> tuple[str, str]:
    """Find the first thing in ``value`` that cannot be encoded: its path and what it is."""
    children: Iterable[tuple[str, object]] = ()
    if isinstance(value, dict):
        children = [(f"{path}[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        children = [(f"{path}[{i}]", item) for i, item in enumerate(value)]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        children = [(f"{path}.{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value)]
    else:
        fields: Iterable[str] = getattr(type(value), "model_fields", ())
        children = [(f"{path}.{name}", getattr(value, name)) for name in fields]
    if depth < 50:
        for where, item in children:
            try:
                to_json(item)
            except ValueError:
                return without_json_form(item, where, depth + 1)
    return path, qualified(type(value))
