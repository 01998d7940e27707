"""Describing values for the history: on the path of every step, so in a few microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from warmcell.artifacts.files import INLINE
from warmcell.artifacts.registry import serializer_for
from warmcell.artifacts.serializer import Summary
from warmcell.records import ArtifactRecord
from warmcell.schemas.jsonform import qualified, to_json

__all__ = ["INLINE", "describe", "recorded"]

_SHORT = 1_000
_FEW = 32
_FLAT = frozenset({float, int, bool, type(None)})
_WORD = 1 << 63


def describe(step: str, name: str, value: Any) -> ArtifactRecord:
    """Describe one output of a step run: kind, type, size, and its JSON where that is small.

    ``preview`` says what ``value`` does not: a shape, columns, or the outline of something large.
    Never raises for a value, never calls its ``repr``, imports nothing.
    """
    kind = type(value)
    if (
        kind is float
        or kind is bool
        or value is None
        or (kind is str and len(value) < _SHORT)
        or (kind is int and -_WORD <= value < _WORD)
    ):
        try:
            data = msgspec.json.encode(value)
        except ValueError:
            return _described(step, name, value)  # half a character
        raw = msgspec.Raw(data)
        label = "text" if kind is str else "json"
        return ArtifactRecord(step, name, label, kind.__name__, len(data), None, None, raw)
    if kind is dict and len(value) <= _FEW and _FLAT.issuperset(map(type, value.values())):
        try:
            data = msgspec.json.encode(value)
        except (TypeError, ValueError):
            return _described(step, name, value)  # keys or numbers that are not JSON's
        if len(data) <= INLINE:
            raw = msgspec.Raw(data)
            return ArtifactRecord(step, name, "json", "dict", len(data), None, None, raw)
    return _described(step, name, value)


def recorded(values: Mapping[str, Any]) -> bytes:
    """Encode the parameters or outputs of a run for its record, whatever they hold.

    What is too large or has no JSON form appears as ``{"$type": ..., "$preview": ...}``.
    """
    return b"{" + b",".join(_member(key, value) for key, value in values.items()) + b"}"


def _described(step: str, name: str, value: Any) -> ArtifactRecord:
    label, summary = _summary(value)
    raw = None if summary.json is None else msgspec.Raw(summary.json)
    kind = qualified(type(value))
    return ArtifactRecord(step, name, label, kind, summary.size, None, summary.preview, raw)


def _summary(value: Any) -> tuple[str, Summary]:
    serializer = serializer_for(value)
    try:
        return serializer.kind, serializer.summarise(value)
    except Exception:
        return serializer.kind, Summary()


def _member(key: str, value: Any) -> bytes:
    summary = _summary(value)[1]
    data = summary.json
    if data is None:
        shown = {"$type": qualified(type(value)), "$preview": summary.preview}
        data = msgspec.json.encode({k: v for k, v in shown.items() if v is not None})
    return to_json(str(key)) + b":" + data
