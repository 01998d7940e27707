"""What travels in the bodies of a call: parameters on the way in, outputs on the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic_core

from warmcell.errors import OutputError, ParameterError
from warmcell.schemas.jsonform import to_json, without_json_form

__all__ = ["encode_outputs", "encode_parameters"]


def encode_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn Python values into the plain JSON values that a call carries.

    Raises :class:`ParameterError` naming the parameter that has no JSON form.
    """
    plain: dict[str, Any] = {}
    for name, value in values.items():
        try:
            plain[name] = pydantic_core.from_json(to_json(value))
        except ValueError:
            path, kind = without_json_form(value, name)
            raise ParameterError(
                f"Parameter {path} is a {kind}, which has no JSON form.",
                errors=[{"pointer": f"/parameters/{name}", "message": kind, "type": "no_json"}],
            ) from None
    return plain


def encode_outputs(outputs: Mapping[str, Any]) -> bytes:
    """Encode the outputs of a run as a JSON object.

    NaN and infinities become null, DataFrames records, bytes base64. Raises
    :class:`OutputError` naming the output and the thing in it that has no JSON form.
    """
    try:
        return to_json(outputs)
    except ValueError as error:
        for name, value in outputs.items():
            try:
                to_json(value)
            except ValueError:
                raise _no_json(name, value) from None
        raise OutputError(f"The outputs cannot be written as JSON: {error}.") from error


def _no_json(name: str, value: Any) -> OutputError:
    path, kind = without_json_form(value, name)
    what = f"Output {name!r} is a {kind}" if path == name else f"Output {name!r} holds a {kind}"
    place = "" if path == name else f" at {path}"
    return OutputError(
        f"{what}{place}, which has no JSON form.",
        hint="Return numbers, strings, lists, dicts, dataclasses, pydantic models, arrays or "
        "DataFrames from the pipeline.",
    )
