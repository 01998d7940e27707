"""The JSON form of a value, in both directions.

Out: :func:`to_json` writes what notebooks return (numbers, dataclasses, pydantic models, arrays,
DataFrames, dates) as JSON bytes. In: :func:`adapted` gives a type hint the marks with which
pydantic can read arrays and DataFrames from JSON. Neither imports pandas or numpy: a value or a
hint of theirs is proof that they are loaded.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Union

import pydantic_core
import typing_extensions
from pydantic_core import core_schema

__all__ = ["adapted", "qualified", "to_json", "without_json_form"]


def qualified(kind: type) -> str:
    """Name a type as a reader knows it: ``pandas.DataFrame``, ``Customer``, ``float``."""
    module = kind.__module__.partition(".")[0]
    if module in ("builtins", "__main__"):
        return kind.__qualname__
    if module in ("numpy", "pandas") and hasattr(sys.modules.get(module), kind.__name__):
        return f"{module}.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


# -- out -------------------------------------------------------------------------------------


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


# -- in --------------------------------------------------------------------------------------


def adapted(hint: Any) -> Any:
    """Return ``hint`` with every pandas and numpy type in it readable from JSON."""
    origin = typing.get_origin(hint)
    if origin is None:
        return _marked(hint, ())
    arguments = typing.get_args(hint)
    if origin is typing.Literal:
        return hint
    if origin is Annotated:
        return Annotated[(adapted(arguments[0]), *hint.__metadata__)]
    if isinstance(origin, type) and origin.__module__.partition(".")[0] in ("numpy", "pandas"):
        return _marked(origin, arguments)
    inner = tuple(
        adapted(a) if isinstance(a, type) or typing.get_origin(a) is not None else a
        for a in arguments
    )
    if inner == arguments:
        return hint
    if origin in (Union, types.UnionType):
        return Union[inner]  # noqa: UP007 - made at run time
    return hint.copy_with(inner) if hasattr(hint, "copy_with") else origin[inner]


def _marked(hint: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(hint, type):
        return hint
    if typing.is_typeddict(hint):
        return _typed_dict(hint)
    module = hint.__module__.partition(".")[0]
    if module == "pandas":
        pandas = sys.modules["pandas"]
        if hint is pandas.DataFrame:
            return Annotated[hint, _Form(hint, _frame, _FRAME)]
        if hint is pandas.Series:
            return Annotated[hint, _Form(hint, _series, {"type": "array"})]
        if hint is pandas.Timestamp:
            return Annotated[hint, _Form(hint, hint, {"type": "string", "format": "date-time"})]
    if module == "numpy":
        numpy = sys.modules["numpy"]
        if issubclass(hint, numpy.ndarray):
            return Annotated[hint, _Form(hint, _Array(arguments), {"type": "array"})]
        if issubclass(hint, numpy.number | numpy.bool_):
            number = "integer" if issubclass(hint, numpy.integer) else "number"
            kind = "boolean" if issubclass(hint, numpy.bool_) else number
            return Annotated[hint, _Form(hint, _Scalar(hint, kind), {"type": kind})]
    return hint


def _typed_dict(hint: Any) -> Any:
    """Make the twin that pydantic asks for: before Python 3.12 it refuses typing's own."""
    if sys.version_info >= (3, 12) or hint.__class__.__module__ != "typing":
        return hint
    fields: dict[str, Any] = {}
    for name, inner in typing.get_type_hints(hint, include_extras=True).items():
        if typing.get_origin(inner) in (typing.Required, typing.NotRequired):
            inner = typing.get_args(inner)[0]
        inner = adapted(inner)
        fields[name] = inner if name in hint.__required_keys__ else typing.NotRequired[inner]
    make: Any = typing_extensions.TypedDict
    twin = make(hint.__name__, fields)
    twin.__doc__ = hint.__doc__
    return twin


_FRAME = {
    "anyOf": [
        {"type": "array", "items": {"type": "object"}, "description": "records"},
        {"type": "object", "additionalProperties": {"type": "array"}, "description": "columns"},
    ]
}


@dataclasses.dataclass(frozen=True)
class _Form:
    """Tell pydantic how ``kind`` is read, and what its JSON looks like."""

    kind: type
    read: Any
    schema: dict[str, Any] = dataclasses.field(hash=False)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> Any:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, _schema: Any, _handler: Any) -> dict[str, Any]:
        return dict(self.schema)

    def _validate(self, value: Any) -> Any:
        if isinstance(value, self.kind):
            return value
        try:
            return self.read(value)
        except (TypeError, OverflowError) as error:
            raise ValueError(str(error)) from error


def _frame(value: Any) -> Any:
    records = isinstance(value, list) and all(isinstance(row, dict) for row in value)
    columns = isinstance(value, dict) and all(isinstance(c, list) for c in value.values())
    if not records and not columns:
        raise ValueError("a DataFrame is a list of records or an object of columns")
    return sys.modules["pandas"].DataFrame(value)


def _series(value: Any) -> Any:
    if not isinstance(value, list):
        raise ValueError("a Series is a list of values")
    return sys.modules["pandas"].Series(value)


@dataclasses.dataclass(frozen=True)
class _Array:
    """Read an ndarray; ``arguments`` are those of ``np.ndarray[shape, np.dtype[np.float64]]``."""

    arguments: tuple[Any, ...]

    def __call__(self, value: Any) -> Any:
        numpy = sys.modules["numpy"]
        if not isinstance(value, list):
            raise ValueError("an array is a list of numbers, or of such lists")
        array = numpy.asarray(value, dtype=self._dtype(numpy))
        if array.dtype.kind == "O":
            raise ValueError("the array holds values that are not numbers, strings or booleans")
        return array

    def _dtype(self, numpy: Any) -> Any:
        for argument in self.arguments:
            if typing.get_origin(argument) is numpy.dtype:
                scalar = typing.get_args(argument)[0]
                if isinstance(scalar, type) and scalar is not numpy.generic:
                    return scalar if hasattr(scalar, "dtype") and not _abstract(scalar) else None
        return None


def _abstract(scalar: type) -> bool:
    try:
        scalar(0)
    except TypeError:
        return True
    return False


@dataclasses.dataclass(frozen=True)
class _Scalar:
    """Read one numpy number, refusing what numpy would quietly convert."""

    hint: Any
    kind: str

    def __call__(self, value: Any) -> Any:
        fits = {
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "boolean": isinstance(value, bool),
        }
        if not fits[self.kind]:
            raise ValueError(f"expected a JSON {self.kind}")
        return (float if self.kind == "number" and _abstract(self.hint) else self.hint)(value)
