"""Schemas from signatures: what a pipeline takes, checked and described as JSON.

Types are taken from the live function (its own globals and closure), so that classes which a
snapshot rebuilt, and which no module can import, work like any other.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, NotRequired

import pydantic
import pydantic_core
import typing_extensions

from warmcell.errors import DefinitionError, ParameterError
from warmcell.schemas.jsonform import qualified, to_json
from warmcell.schemas.jsontypes import adapted

__all__ = [
    "DIALECT",
    "ParameterModel",
    "check_deployable",
    "parameter_model",
    "resolved_hints",
]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CONFIG = pydantic.ConfigDict(
    extra="forbid", ser_json_inf_nan="null", ser_json_bytes="base64", val_json_bytes="base64"
)
_WAY_OUT = (
    "Give it a type that JSON has (int, float, str, bool, dict, list, a dataclass, a pydantic "
    "model, a DataFrame or an array), or make the object in on_init and use it from there."
)


def resolved_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Evaluate the annotations of ``function``, with its globals and its closure.

    Raises :class:`DefinitionError` naming the annotation that cannot be evaluated.
    """
    target = inspect.unwrap(function)
    closure = getattr(target, "__closure__", None) or ()
    names = getattr(getattr(target, "__code__", None), "co_freevars", ())
    local: dict[str, Any] = {}
    for name, cell in zip(names, closure, strict=False):
        try:
            local[name] = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    try:
        return typing.get_type_hints(target, localns=local or None, include_extras=True)
    except NameError as error:
        raise DefinitionError(
            f"An annotation of {getattr(target, '__name__', 'the function')!r} uses the name "
            f"{error.name!r}, which is not defined.",
            hint="Run the cell that defines or imports it first.",
        ) from error


class ParameterModel:
    """The parameters of one pipeline: validation, defaults and the JSON Schema.

    Instances are immutable and may be used by many threads at once.
    """

    def __init__(
        self, signature: inspect.Signature, hints: Mapping[str, Any], name: str, where: str = ""
    ) -> None:
        self.name = name
        self._defaults: dict[str, Any] = {}
        self._shared: tuple[str, ...] = ()
        self.hints: dict[str, Any] = {}
        self.extra = False
        fields: dict[str, Any] = {}
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise DefinitionError(
                    f"Parameter '*{parameter.name}' of {name!r}{where} has no name in JSON.",
                    hint=f"Write '{parameter.name}: list' and pass a list.",
                )
            if parameter.kind is parameter.VAR_KEYWORD:
                self.extra = True
                continue
            hint = _field(parameter, hints.get(parameter.name, parameter.annotation), name, where)
            self.hints[parameter.name] = hint
            if parameter.default is not parameter.empty:
                self._defaults[parameter.name] = parameter.default
                hint = NotRequired[hint]
            fields[parameter.name] = hint
        self._shared = tuple(
            key for key, value in self._defaults.items() if isinstance(value, list | dict | set)
        )
        self._names = tuple(fields)
        table = _table(name, fields)
        table.__pydantic_config__ = {**_CONFIG, "extra": "allow"} if self.extra else _CONFIG
        self._adapter: pydantic.TypeAdapter[dict[str, Any]] = pydantic.TypeAdapter(table)
        self._validator = self._adapter.validator
        self._schema: dict[str, Any] | None = None
        self._fields: dict[str, pydantic.TypeAdapter[Any]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order of the signature."""
        return self._names

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters without a default."""
        return tuple(name for name in self._names if name not in self._defaults)

    def field(self, name: str) -> pydantic.TypeAdapter[Any]:
        """What reads one parameter alone. ``hints`` has the types; with ``extra`` there may be
        others."""
        found = self._fields.get(name)
        if found is None:
            found = self._fields[name] = pydantic.TypeAdapter(self.hints.get(name, Any))
        return found

    def validate_json(self, raw: bytes) -> dict[str, Any]:
        """Decode and check the raw JSON object ``raw``; defaults are filled in.

        Raises :class:`ParameterError`, whose pointers start with ``/parameters``.
        """
        try:
            values = self._validator.validate_json(raw)
        except pydantic.ValidationError as error:
            raise self._refusal(error, _readable(raw)) from None
        return self.complete(values)

    def validate(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check Python values as :meth:`validate_json` checks JSON."""
        try:
            checked = self._validator.validate_python(dict(values))
        except pydantic.ValidationError as error:
            raise self._refusal(error, values) from None
        return self.complete(checked)

    def dump(self, values: Mapping[str, Any]) -> bytes:
        """Encode parameters as they were used; what has no JSON form appears as its ``repr``."""
        try:
            return to_json(dict(values))
        except ValueError:
            return to_json({key: _shown(value) for key, value in values.items()})

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the parameters object."""
        if self._schema is None:
            schema = self._adapter.json_schema()
            for key, value in self._defaults.items():
                try:
                    schema["properties"][key]["default"] = pydantic_core.from_json(to_json(value))
                except ValueError:
                    continue  # a default that JSON cannot show; it still applies
            schema.setdefault("properties", {})
            self._schema = {"$schema": DIALECT, **schema}
        return copy.deepcopy(self._schema)

    def defaults_json(self) -> dict[str, Any]:
        """Return the defaults that have a JSON form, as plain JSON values."""
        properties = self.json_schema()["properties"]
        return {k: properties[k]["default"] for k in self._defaults if "default" in properties[k]}

    def complete(self, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the defaults of checked values."""
        if self._defaults and len(values) < len(self._names):
            given, defaults = values, self._defaults
            values = {n: given[n] if n in given else defaults[n] for n in self._names} | given
            for key in self._shared:  # one call's change must not reach the next call
                if values[key] is self._defaults[key]:
                    values[key] = copy.deepcopy(values[key])
        return values

    def _refusal(self, error: pydantic.ValidationError, given: object) -> ParameterError:
        errors = self.problems(error, given)
        shown = "; ".join(f"{e['pointer']}: {e['message']}" for e in errors[:3])
        more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
        return ParameterError(f"{shown}{more}.", errors=errors)

    def problems(
        self, error: pydantic.ValidationError, given: object, within: tuple[str, ...] = ()
    ) -> list[dict[str, Any]]:
        """The errors of a :class:`ParameterError`; ``within`` is what pydantic was given alone."""
        problems: dict[tuple[str, str], dict[str, Any]] = {}
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            loc = (*within, *item["loc"])
            pointer = _pointer(loc, given, missing=item["type"] == "missing")
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "missing":
                message = f"{loc[-1]!r} is required"
            elif item["type"] == "extra_forbidden":
                message = self.unknown(*loc)
            elif item["type"] == "dict_type" and not loc:
                message = "The parameters must be a JSON object"
            problems[pointer, message] = {
                "pointer": pointer,
                "message": message,
                "type": item["type"],
            }
        return list(problems.values())

    def unknown(self, *loc: int | str) -> str:
        """Say that there is no such parameter, or no such field of one."""
        name = str(loc[-1])
        if len(loc) > 1:
            return f"{name!r} is not a field of it"
        close = difflib.get_close_matches(name, self._names, 1)
        if close:
            return f"{name!r} is not a parameter of {self.name!r}; did you mean {close[0]!r}?"
        known = ", ".join(self._names) or "it takes none"
        return f"{name!r} is not a parameter of {self.name!r} ({known})"


def parameter_model(
    function: Callable[..., Any] | inspect.Signature,
    name: str | None = None,
    *,
    hints: Mapping[str, Any] | None = None,
    where: str | None = None,
) -> ParameterModel:
    """Build the model of what ``function`` takes.

    With a bare signature pass the evaluated ``hints`` too. ``where`` is the cell, for messages.
    Raises :class:`DefinitionError` naming the parameter that has no JSON form.
    """
    place = f" ({where})" if where else ""
    if isinstance(function, inspect.Signature):
        return ParameterModel(function, hints or {}, name or "pipeline", place)
    return ParameterModel(
        inspect.signature(function),
        resolved_hints(function) if hints is None else hints,
        name or str(getattr(function, "__name__", "pipeline")),
        place,
    )


def check_deployable(
    function: Callable[..., Any] | inspect.Signature,
    name: str | None = None,
    *,
    hints: Mapping[str, Any] | None = None,
    where: str | None = None,
) -> None:
    """Raise :class:`DefinitionError` if a parameter could not arrive as JSON."""
    parameter_model(function, name, hints=hints, where=where)


# -- parts -----------------------------------------------------------------------------------


def _table(name: str, fields: dict[str, Any]) -> Any:
    make: Any = typing_extensions.TypedDict  # typing's own lacks what pydantic needs before 3.12
    return make(name, fields)


def _field(parameter: inspect.Parameter, hint: Any, name: str, where: str) -> Any:
    """Return the type that pydantic is to check, or refuse a parameter that JSON cannot carry."""
    if hint is parameter.empty:
        return Any
    hint = adapted(hint)
    if parameter.default is None:
        hint = hint | None  # `x: int = None` means what it says in a notebook
    try:
        pydantic.TypeAdapter(hint).json_schema()
    except (pydantic.PydanticUserError, pydantic_core.SchemaError, TypeError) as error:
        raise DefinitionError(
            f"Parameter {parameter.name!r} of {name!r}{where} has the type {_type_name(hint)}, "
            "which has no JSON form.",
            hint=_WAY_OUT,
        ) from error
    return hint


def _type_name(hint: Any) -> str:
    return qualified(hint) if isinstance(hint, type) else str(hint).replace("typing.", "")


def _readable(raw: bytes) -> object:
    try:
        return pydantic_core.from_json(raw)
    except ValueError:
        return None


def _pointer(loc: tuple[int | str, ...], given: Any, *, missing: bool) -> str:
    """Translate pydantic's location, which also names union members, into a JSON Pointer."""
    parts = ["parameters"]
    for index, part in enumerate(loc):
        if _has(given, part):
            given = given[part]
        elif not (missing and index == len(loc) - 1):
            continue
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "/" + "/".join(parts)


def _has(given: Any, part: int | str) -> bool:
    if isinstance(given, Mapping):
        return part in given
    return isinstance(given, list | tuple) and isinstance(part, int) and part < len(given)


def _shown(value: Any) -> Any:
    try:
        to_json(value)
    except ValueError:
        return repr(value)[:200].encode("utf-8", "replace").decode()
    return value
