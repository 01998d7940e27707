"""What a run was given, as far as its record says: enough to give it once more, or not.

Pure, for whatever repeats a run: a replay, a rerun, a backtest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from warmcell.errors import ParameterError
from warmcell.redaction import MASK as REDACTED

__all__ = ["Gap", "as_given", "changed", "check", "gaps", "is_description"]

Path: TypeAlias = tuple[str | int, ...]

MASK = "**********"  # what pydantic writes for a secret
_DESCRIBED = frozenset({"$type", "$preview", "$content_type", "$size", "$filename"})
_DEPTH = 50  # of a schema that refers to itself


class Gap(NamedTuple):
    """A place in the parameters whose value the history does not have, and ``why``."""

    path: Path
    why: str

    @property
    def name(self) -> str:
        """The place as text: ``customer.password``."""
        return ".".join(map(str, self.path))


def is_description(value: object) -> bool:
    """Whether this stands in a record for a value that was too large or has no JSON form."""
    return isinstance(value, dict) and "$type" in value and _DESCRIBED.issuperset(value)


def gaps(
    parameters: Mapping[str, Any] | None, schema: Mapping[str, Any], given: Sequence[str] = ()
) -> list[Gap]:
    """List what is missing to call the pipeline of the JSON Schema ``schema`` with the recorded
    ``parameters`` again; parameters that are ``given`` anew are not looked at."""
    known: Mapping[str, Any] = schema.get("properties") or {}
    if parameters is None:
        return [Gap((name,), "it was not recorded") for name in known if name not in given]
    found: list[Gap] = []
    for name, value in parameters.items():
        if name in given:
            continue
        described = value[0] if isinstance(value, list) and value else value
        if is_description(described):
            found.append(Gap((name,), _why(described)))
        else:
            hidden = dict.fromkeys(_hidden(value, known.get(name, {}), schema, (name,), 0))
            hidden |= dict.fromkeys(_redacted(value, (name,), 0))
            found += [Gap(path, "it is a secret, which no history keeps") for path in hidden]
    return found


def check(run_id: str, found: Sequence[Gap], *, hint: str) -> None:
    """Raise :class:`ParameterError` that names the gaps, if there are any."""
    if not found:
        return
    told = "; ".join(f"{gap.name}: {gap.why}" for gap in found)
    raise ParameterError(
        f"Run {run_id} cannot be repeated with what the history has of its input: {told}.",
        errors=[
            {
                "pointer": "/".join(["/parameters", *map(str, gap.path)]),
                "message": gap.why,
                "type": "not_recorded",
            }
            for gap in found
        ],
        hint=hint,
    )


def changed(parameters: Mapping[str, Any], values: Mapping[Path, Any]) -> dict[str, Any]:
    """``parameters`` with other values at some places; those that are not there are made.

    Raises :class:`ParameterError` for a place inside of what has no inside.
    """
    result: Any = dict(parameters)
    for path, value in values.items():
        result = _put(result, path, value, path)
    return dict(result)


def as_given(parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """``parameters`` without those that are what the pipeline takes by itself.

    What a record has of them may come from a default, which no validation ever saw: an integer
    where the type says float stays one only if it is left to the pipeline again.
    """
    known: Mapping[str, Any] = schema.get("properties") or {}
    return {
        name: value
        for name, value in parameters.items()
        if "default" not in known.get(name, {}) or not _same(known[name]["default"], value)
    }


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are written in the same way: 72 and 72.0 are not."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)


def _put(inside: Any, path: Path, value: Any, whole: Path) -> Any:
    if not path:
        return value
    first, rest = path[0], path[1:]
    if inside is None or is_description(inside):
        inside = {}
    if isinstance(inside, Mapping):
        return {**inside, str(first): _put(inside.get(str(first)), rest, value, whole)}
    if isinstance(inside, list) and str(first).isdecimal() and int(first) < len(inside):
        copied = list(inside)
        copied[int(first)] = _put(copied[int(first)], rest, value, whole)
        return copied
    name = ".".join(map(str, whole))
    raise ParameterError(f"There is no place '{name}' in the parameters of this run.")


def _why(described: Mapping[str, Any]) -> str:
    kind = described.get("$content_type") or described["$type"]
    size = described.get("$size")
    what = f"{kind} of {size:,} bytes" if size else str(kind)
    return f"the history has only a description of this {what}"


def _redacted(value: Any, path: Path, depth: int) -> Iterator[Path]:
    """The places in ``value`` that were masked because of their name or of a named secret."""
    if isinstance(value, str):
        if REDACTED in value:
            yield path
    elif isinstance(value, Mapping) and depth <= _DEPTH:
        for name, inner in value.items():
            yield from _redacted(inner, (*path, name), depth + 1)
    elif isinstance(value, list) and depth <= _DEPTH:
        for index, inner in enumerate(value):
            yield from _redacted(inner, (*path, index), depth + 1)


def _hidden(
    value: Any, part: Any, schema: Mapping[str, Any], path: Path, depth: int
) -> Iterator[Path]:
    """The places of masked secrets in ``value``, of which ``part`` is the schema."""
    if not isinstance(part, Mapping) or depth > _DEPTH:
        return
    if part.get("writeOnly") and value == MASK:
        yield path
        return
    if "$ref" in part:
        target: Any = schema
        for segment in str(part["$ref"]).removeprefix("#/").split("/"):
            target = target.get(segment, {}) if isinstance(target, Mapping) else {}
        yield from _hidden(value, target, schema, path, depth + 1)
    found: dict[Path, None] = {}  # the branches of a union may name a place twice
    for union in ("anyOf", "oneOf", "allOf"):
        for one in part.get(union) or ():
            found.update(dict.fromkeys(_hidden(value, one, schema, path, depth + 1)))
    yield from found
    if isinstance(value, Mapping):
        named = part.get("properties") or {}
        for name, inner in value.items():
            below = named.get(name, part.get("additionalProperties"))
            yield from _hidden(inner, below, schema, (*path, name), depth + 1)
    elif isinstance(value, list):
        first = part.get("prefixItems") or ()
        for index, inner in enumerate(value):
            below = first[index] if index < len(first) else part.get("items")
            yield from _hidden(inner, below, schema, (*path, index), depth + 1)
