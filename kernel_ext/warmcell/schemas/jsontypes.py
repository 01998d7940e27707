"""Types that JSON does not know, readable from JSON: arrays, DataFrames and their like.

:func:`adapted` puts the marks on a type hint with which pydantic can read them. Neither pandas nor
numpy is imported: a hint of theirs is proof that they are loaded.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import sys
import types
import typing
from typing import Annotated, Any, Union

import typing_extensions
from pydantic_core import core_schema

__all__ = ["adapted"]


# `type Name = …`, as NDArray is from Python 3.12 on.
_ALIASES: tuple[type, ...] = (typing_extensions.TypeAliasType,)
if sys.version_info >= (3, 12):
    _ALIASES = (*_ALIASES, typing.TypeAliasType)


def adapted(hint: Any, within: tuple[Any, ...] = ()) -> Any:
    """Return ``hint`` with every pandas and numpy type in it readable from JSON; ``within`` are the
    aliases that it is part of."""
    origin = typing.get_origin(hint)
    if isinstance(origin or hint, _ALIASES):
        return _of_alias(origin or hint, hint, within)
    if origin is None:
        return _marked(hint, ())
    arguments = typing.get_args(hint)
    if origin is typing.Literal:
        return hint
    if origin is Annotated:
        return Annotated[(adapted(arguments[0], within), *hint.__metadata__)]
    if isinstance(origin, type) and origin.__module__.partition(".")[0] in ("numpy", "pandas"):
        return _marked(origin, arguments)
    inner = tuple(
        adapted(a, within)
        if isinstance(a, (type, *_ALIASES)) or typing.get_origin(a) is not None
        else a
        for a in arguments
    )
    if inner == arguments:
        return hint
    if origin in (Union, types.UnionType):
        return Union[inner]  # noqa: UP007 - made at run time
    return hint.copy_with(inner) if hasattr(hint, "copy_with") else origin[inner]


def _of_alias(alias: Any, hint: Any, within: tuple[Any, ...]) -> Any:
    """What an alias stands for; the alias where that has nothing to mark, and where it leads back
    to itself, which pydantic can read."""
    if alias in within:
        return hint
    value = alias.__value__ if alias is hint else alias.__value__[typing.get_args(hint)]
    found = adapted(value, (*within, alias))
    return hint if found == value else found


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
    if module == "PIL" and hint is sys.modules["PIL.Image"].Image:
        return Annotated[hint, _Form(hint, _image, _PICTURE)]
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

_PICTURE = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"}


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
            if not hasattr(self.read, "fit"):
                return value
            try:
                return self.read.fit(value)
            except TypeError as error:
                raise ValueError(str(error)) from error
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


def _image(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("an image is the text of its file in base64")
    try:
        image = sys.modules["PIL.Image"].open(io.BytesIO(base64.b64decode(value, validate=True)))
        image.load()
    except Exception as error:  # its decoders raise anything for bytes that are no image
        raise ValueError(f"it is no image: {error}") from error
    return image


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

    def fit(self, value: Any) -> Any:
        """Give an array the declared type of its items, if that loses nothing but precision."""
        wanted = self._dtype(sys.modules["numpy"])
        return value if wanted is None else value.astype(wanted, casting="same_kind", copy=False)

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
