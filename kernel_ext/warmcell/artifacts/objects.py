"""Values with declared fields: pydantic models and dataclasses, as JSON of their fields."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pydantic

from warmcell.artifacts.plain import fits
from warmcell.artifacts.serializer import Summary
from warmcell.schemas.jsonform import to_json

__all__ = ["Dataclasses", "PydanticModels"]

_INLINE = 16_384


class PydanticModels:
    """Instances of pydantic models."""

    kind: ClassVar[str] = "pydantic"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, pydantic.BaseModel)

    def summarise(self, value: pydantic.BaseModel) -> Summary:
        return _summary(value, ", ".join(type(value).model_fields))

    def dump(self, value: pydantic.BaseModel) -> bytes:
        return value.model_dump_json(by_alias=True).encode()

    def load(self, data: bytes, hint: type | None = None) -> Any:
        return pydantic.TypeAdapter(hint or dict[str, Any]).validate_json(data)


class Dataclasses:
    """Instances of dataclasses."""

    kind: ClassVar[str] = "dataclass"

    def accepts(self, value: Any) -> bool:
        return dataclasses.is_dataclass(value) and not isinstance(value, type)

    def summarise(self, value: Any) -> Summary:
        return _summary(value, ", ".join(f.name for f in dataclasses.fields(value)))

    def dump(self, value: Any) -> bytes:
        return pydantic.TypeAdapter(type(value)).dump_json(value)

    def load(self, data: bytes, hint: type | None = None) -> Any:
        return pydantic.TypeAdapter(hint or dict[str, Any]).validate_json(data)


def _summary(value: Any, fields: str) -> Summary:
    preview = f"{type(value).__name__}: {fields}"
    if fits(value):
        try:
            data = to_json(value)
        except ValueError:
            return Summary(None, preview)
        if len(data) <= _INLINE:
            return Summary(len(data), None, data)
    return Summary(None, preview)
