"""Names in the options of a magic, looked up among the notebook's variables. Never evaluated."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from warmcell.errors import UsageError
from warmcell.options import close_match

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline

__all__ = ["literal", "look_up", "pipeline_named", "pipelines_in"]


def look_up(namespace: Mapping[str, Any], name: str, option: str) -> Any:
    """Return what the dotted ``name`` stands for. Raises :class:`UsageError` naming ``option``."""
    first, *rest = name.split(".")
    if first in namespace:
        value = namespace[first]
    elif hasattr(builtins, first):
        value = getattr(builtins, first)
    else:
        raise UsageError(
            f"{option} names {name!r}, which is not defined.",
            hint=close_match(first, [n for n in namespace if not n.startswith("_")])
            or "Run the cell that defines it first.",
        )
    for part in rest:
        try:
            value = getattr(value, part)
        except AttributeError:
            raise UsageError(f"{option} names {name!r}, but there is no {part!r}.") from None
    return value


def literal(namespace: Mapping[str, Any], text: str, option: str) -> Any:
    """Read a number, a quoted string, True, False or None; else the value of a variable."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return look_up(namespace, text, option)


def pipelines_in(namespace: Mapping[str, Any]) -> dict[str, Pipeline]:
    """Return the pipelines among the variables, by variable name."""
    from warmcell.pipelines import Pipeline

    found = dict(namespace)
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, Pipeline) and not name.startswith("_")
    }


def pipeline_named(namespace: Mapping[str, Any], name: str) -> Pipeline:
    """Return the pipeline of a variable. Raises :class:`UsageError` if it is none."""
    found = pipelines_in(namespace)
    if name in found:
        return found[name]
    for pipeline in found.values():
        if pipeline.name == name:
            return pipeline
    kind = type(namespace[name]).__name__ if name in namespace else None
    raise UsageError(
        f"{name!r} is a {kind}, not a pipeline." if kind else f"There is no pipeline {name!r}.",
        hint=close_match(name, list(found))
        or (f"Pipelines here: {', '.join(found)}." if found else "Define one with %%pipeline."),
    )
