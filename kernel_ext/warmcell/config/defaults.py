"""What a deployment has by itself, and which of it is left out."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, TypeVar

from warmcell.options import close_match

__all__ = ["DeploymentDefaultEndpoints", "DeploymentDefaultMiddleware", "chosen"]


class DeploymentDefaultEndpoints(enum.Flag):
    """The endpoints of every deployment. ``HEALTH`` includes ``livez`` and ``readyz``, ``DOCS``
    the OpenAPI document, ``INVOKE`` the runs by their ids."""

    NONE = 0
    DOCS = enum.auto()
    INVOKE = enum.auto()
    SUBMIT = enum.auto()
    HEALTH = enum.auto()
    INFO = enum.auto()
    METRICS = enum.auto()
    DASHBOARD = enum.auto()
    API = INVOKE | SUBMIT | HEALTH | INFO | METRICS
    ALL = API | DOCS | DASHBOARD


class DeploymentDefaultMiddleware(enum.Flag):
    """What is around every answer of a deployment."""

    NONE = 0
    CORS = enum.auto()
    SECURE_HEADERS = enum.auto()
    ALL = CORS | SECURE_HEADERS


_Flag = TypeVar("_Flag", bound=enum.Flag)


def chosen(kind: type[_Flag], value: Any) -> _Flag:
    """A flag of ``kind`` from True (all), False (none), a flag, a name, or a list of the latter.
    Raises ValueError for another."""
    if isinstance(value, kind):
        return value
    if isinstance(value, bool):
        return kind["ALL"] if value else kind["NONE"]
    if isinstance(value, str):
        name = value.upper()
        if name in kind.__members__:
            return kind[name]
        known = [member.lower() for member in kind.__members__]
        near = close_match(value, known) or f"Known: {', '.join(known)}."
        raise ValueError(f"there is no '{value}'. {near.rstrip('.')}")
    if isinstance(value, Iterable):
        found = kind["NONE"]
        for item in value:
            found |= chosen(kind, item)
        return found
    raise ValueError("True, False or a list of names is expected")
