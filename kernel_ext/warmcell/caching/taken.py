"""What a call of a step takes: which of it are artifact versions, and which are plain values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.graph import Input, Pack, Part, Ref
from warmcell.runner.taking import HANDLES

if TYPE_CHECKING:
    from warmcell.graph import Node

__all__ = ["Taken", "taken"]


class Taken(NamedTuple):
    """``versions`` are inputs made of what steps returned, or that stand for an artifact version:
    the references, as they are in the graph. ``values`` are all the others."""

    versions: dict[str, Any]
    values: dict[str, Any]


def taken(node: Node, arguments: Mapping[str, Any]) -> Taken:
    """Sort what ``node`` takes, in a run of a pipeline that was called with ``arguments``."""
    step = node.step
    bound = step.inputs.bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    versions: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for name, given in bound.arguments.items():
        parameter = step.inputs.parameters[name]
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            given = Pack(tuple, tuple(given))
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given = Pack(dict, tuple(given.values()), tuple(given))
        filled = _filled(given, arguments)
        if _refers(filled):
            versions[name] = filled
        else:
            values[name] = _plain(filled)
    return Taken(versions, values)


def output_of(ref: Ref, outputs: int) -> tuple[int | None, tuple[Part, ...]]:
    """The number of the output that ``ref`` means, None for all of them, and the rest of its
    path."""
    if outputs == 1:
        return 0, ref.path
    if ref.path and ref.path[0].kind == "item":
        key = ref.path[0].key
        if isinstance(key, int) and -outputs <= key < outputs:
            return key % outputs, ref.path[1:]
    return None, ref.path


def _filled(given: Any, arguments: Mapping[str, Any]) -> Any:
    if type(given) is Input:
        return arguments[given.name]
    if type(given) is Pack:
        return Pack(given.kind, tuple(_filled(one, arguments) for one in given.items), given.keys)
    return given


def _refers(given: Any) -> bool:
    if type(given) is Pack:
        return any(map(_refers, given.items))
    return type(given) is Ref or type(given) in HANDLES


def _plain(given: Any) -> Any:
    if type(given) is not Pack:
        return given
    items = [_plain(one) for one in given.items]
    if given.kind is dict:
        return dict(zip(given.keys, items, strict=True))
    return items if given.kind is list else tuple(items)
