"""Values with declared fields: pydantic models and dataclasses, as JSON of their fields."""

from __future__ import annotations

import dataclasses
import json
import sys
from abc import abstractmethod
from importlib import import_module
from typing import Any, ClassVar

import pydantic

from warmcell.artifacts.files import INLINE, Incoming, Outgoing
from warmcell.artifacts.plain import fits
from warmcell.artifacts.serializer import Serializer, Summary
from warmcell.errors import ArtifactError
from warmcell.schemas.jsonform import to_json

__all__ = ["Dataclasses", "PydanticModels"]


class _Fielded(Serializer):
    """Read by the class of the value, where this process has it and it still takes the fields."""

    runs_code = False

    def save(self, value: Any, out: Outgoing) -> None:
        kind = type(value)
        if "<locals>" in kind.__qualname__:
            raise TypeError("a class inside a function cannot be found again")
        adapter = pydantic.TypeAdapter(kind)
        data = adapter.dump_json(value, by_alias=True, warnings="error")
        if not _equal(adapter.validate_json(data), value):
            raise TypeError("JSON would not give this value back")
        out.form["class"] = [kind.__module__, kind.__qualname__]
        if not out.inline(json.loads(data)):
            out.write("value.json", data)

    def load(self, parts: Incoming) -> Any:
        kind = parts.hint or self._class(parts)
        data = parts.read("value.json") if parts.names else json.dumps(parts.value).encode()
        return pydantic.TypeAdapter(kind).validate_json(data)

    @abstractmethod
    def takes(self, kind: Any) -> bool:
        """Whether ``kind`` is a class of this serializer's."""

    def _class(self, parts: Incoming) -> Any:
        """The class of the value. A module is imported for it only where this user signed that."""
        module, name = parts.form["class"]
        found: Any = sys.modules.get(module)
        if found is None and parts.signed:
            try:
                found = import_module(module)
            except ImportError:
                found = None
        for part in name.split("."):
            found = getattr(found, part, None)
        # Others would do more with what is in the files: pydantic's ImportString imports it.
        if not isinstance(found, type) or not self.takes(found):
            raise ArtifactError(
                f"The class {name} of this artifact version is not here.",
                hint=f"Import {module}, or define it again, or pass a class: load(hint=...).",
            )
        return found


class PydanticModels(_Fielded):
    """Instances of pydantic models."""

    kind: ClassVar[str] = "pydantic"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, pydantic.BaseModel)

    def takes(self, kind: Any) -> bool:
        return issubclass(kind, pydantic.BaseModel)

    def summarise(self, value: pydantic.BaseModel) -> Summary:
        return _summary(value, ", ".join(type(value).model_fields))

    def facts(self, value: pydantic.BaseModel) -> dict[str, Any]:
        return {"fields": list(type(value).model_fields)}


class Dataclasses(_Fielded):
    """Instances of dataclasses."""

    kind: ClassVar[str] = "dataclass"

    def accepts(self, value: Any) -> bool:
        return dataclasses.is_dataclass(value) and not isinstance(value, type)

    def takes(self, kind: Any) -> bool:
        return dataclasses.is_dataclass(kind)

    def summarise(self, value: Any) -> Summary:
        return _summary(value, ", ".join(f.name for f in dataclasses.fields(value)))

    def facts(self, value: Any) -> dict[str, Any]:
        return {"fields": [field.name for field in dataclasses.fields(value)]}


def _equal(again: Any, value: Any) -> bool:
    """Whether the two are the same, types of what is inside included: ``1 == 1.0 == True``."""
    if type(again) is not type(value):
        return False
    if isinstance(value, dict):
        return list(again) == list(value) and all(
            _equal(again[key], item) for key, item in value.items()
        )
    if isinstance(value, list | tuple):
        return len(again) == len(value) and all(map(_equal, again, value))
    if isinstance(value, pydantic.BaseModel):
        extra = (again.__pydantic_extra__, value.__pydantic_extra__)
        private = (again.__pydantic_private__, value.__pydantic_private__)
        return _equal(again.__dict__, value.__dict__) and _equal(*extra) and _equal(*private)
    if dataclasses.is_dataclass(value):
        return _equal(getattr(again, "__dict__", None), getattr(value, "__dict__", None)) and (
            bool(again == value)
        )
    return bool(again == value)


def _summary(value: Any, fields: str) -> Summary:
    preview = f"{type(value).__name__}: {fields}"
    if fits(value):
        try:
            data = to_json(value)
        except ValueError:
            return Summary(None, preview)
        if len(data) <= INLINE:
            return Summary(len(data), None, data)
    return Summary(None, preview)
