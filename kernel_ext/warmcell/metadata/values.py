"""Values of metadata as JSON and a word for their type, and back.

The type is that of the value, ``float`` or ``Uri``; of one with special types inside it goes on
with a colon and JSON that says where: ``dict:{"/data/size":"StorageSize"}``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import msgspec

from warmcell.errors import UsageError
from warmcell.metadata.metadata_types import DType, Path, StorageSize, Uri
from warmcell.model.logged import plain_type

__all__ = ["check", "encoded", "restored"]

_SPECIAL: dict[str, Any] = {
    "Uri": Uri, "Path": Path, "DType": DType, "StorageSize": StorageSize, "set": set,
    "tuple": tuple,
}  # fmt: skip
_PLAIN = (str, int, float, bool, dict, list)
_DEEPEST = 50
_MANY = 10_000  # items of a container that are looked at
_ATOMS = frozenset({int, float, bool, type(None), StorageSize})
LARGEST = 16_384  # bytes of a text, as over HTTP
_encode = msgspec.json.Encoder().encode


def check(metadata: Any) -> dict[str, Any]:
    """``metadata`` with its keys as texts. Raises :class:`UsageError` for what is no dict, for an
    object that would be nothing but the name of its class, and for a text that is too long."""
    if not isinstance(metadata, Mapping):
        raise UsageError(
            f"Metadata is a dict, not {type(metadata).__name__}.",
            hint='Write for example {"accuracy": 0.9}.',
        )
    found = {str(key): value for key, value in metadata.items()}
    for key, value in found.items():
        _check(key, value, 0)
    return found


def _check(key: str, value: Any, depth: int) -> None:
    from warmcell.artifacts.registry import serializer_for

    kind = plain_type(value)
    if kind in _ATOMS:
        return
    if isinstance(value, str):
        size = len(value.encode("utf-8", "surrogatepass"))
        if size > LARGEST:
            raise UsageError(
                f"A text in the metadata {key!r} takes {size} bytes, and {LARGEST} are the most.",
                hint="Save it as an artifact: save_artifact(value, name).",
            )
    elif kind in (dict, list, tuple, set, frozenset):
        if depth < _DEEPEST and len(value) <= _MANY:  # what is larger is described
            for inner in list(value.values()) if kind is dict else list(value):
                _check(key, inner, depth + 1)
    elif serializer_for(value).kind == "pickle":
        name = kind.__name__
        raise UsageError(
            f"The metadata {key!r} holds an object of type {name}, which JSON does not have.",
            hint="Log a number, a text, a list or a dict of it, such as str(value), or save it as "
            "an artifact: save_artifact(value, name).",
        )


def encoded(key: str, value: Any) -> tuple[bytes, str]:
    """The JSON of a value and its type. What has no JSON form, or too large a one, is described:
    ``{"$type": ..., "$preview": ...}``. Raises nothing for a value."""
    from warmcell.artifacts import describe

    places: dict[str, str] = {}
    try:
        plain = _plain(value, "", places, 0)
    except RecursionError:
        plain = value
    record = describe("", key, plain)
    kind = plain_type(value)
    name = kind.__name__ if kind in _PLAIN or kind.__name__ in _SPECIAL else record.type
    if value is None:
        name = "null"
    if record.value is None:
        shown = {"$type": record.type, "$preview": record.preview}
        return _encode({k: v for k, v in shown.items() if v is not None}), name
    places.pop("", None)
    return bytes(record.value), f"{name}:{_encode(places).decode()}" if places else name


def _plain(value: Any, place: str, places: dict[str, str], depth: int) -> Any:
    if depth > _DEEPEST:
        raise RecursionError
    kind = plain_type(value)
    if kind in (Uri, Path, DType):
        places[place] = kind.__name__
        return str.__str__(value)
    if kind is StorageSize:
        places[place] = kind.__name__
        return int(value)
    if kind is dict:
        return {
            key if isinstance(key, str | int) else str(key): _plain(
                inner, f"{place}/{_escaped(str(key))}", places, depth + 1
            )
            for key, inner in value.items()
        }
    if kind in (list, tuple, set, frozenset):
        if kind in (tuple, set):
            places[place] = kind.__name__
        items = sorted(value, key=repr) if kind in (set, frozenset) else value
        return [_plain(inner, f"{place}/{n}", places, depth + 1) for n, inner in enumerate(items)]
    item = getattr(value, "item", None)  # a number of numpy
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    return value


def restored(value: Any, type_: str) -> Any:
    """A value as it was logged, of its JSON and its type; as it is where they do not fit, as where
    it was masked."""
    name, _, rest = type_.partition(":")
    try:
        places = msgspec.json.decode(rest, type=dict[str, str]) if rest else {}
    except msgspec.DecodeError:
        places = {}
    value = copy.deepcopy(value) if places else value
    # The deepest first: what holds it may become a tuple, which does not change any more.
    for place in sorted(places, key=lambda place: -place.count("/")):
        value = _replaced(value, place.split("/")[1:], places[place])
    return _made(value, name)


def _replaced(value: Any, path: list[str], name: str) -> Any:
    if not path:
        return _made(value, name)
    first, rest = path[0].replace("~1", "/").replace("~0", "~"), path[1:]
    if isinstance(value, list) and first.isdecimal() and int(first) < len(value):
        value[int(first)] = _replaced(value[int(first)], rest, name)
    elif isinstance(value, dict) and first in value:
        value[first] = _replaced(value[first], rest, name)
    return value


def _made(value: Any, name: str) -> Any:
    kind = _SPECIAL.get(name)
    if kind is None or value is None:
        return value
    fits = {StorageSize: int, set: list, tuple: list}.get(kind, str)
    try:
        return kind(value) if isinstance(value, fits) else value
    except TypeError:  # a set of what cannot be in one
        return value


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
