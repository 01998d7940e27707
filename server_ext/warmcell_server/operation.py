"""Operation: one thing that the control plane can do, and the call that asks for it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec

from warmcell.errors import BadRequest, UsageError
from warmcell_server.workers import Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["BODIES", "Call", "Operation", "Result", "Route", "Routes", "decode", "number"]


@dataclass
class Call:
    """One request of the control plane."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: str | None = None
    worker: Worker | None = None
    arguments: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


Result: TypeAlias = tuple[int, Any]
Operation: TypeAlias = Callable[["Host", Call], Awaitable[Result]]


BODIES: dict[Operation, type[msgspec.Struct]] = {}
"""What the bodies of operations are, of those that say so."""


class Route(NamedTuple):
    """A method and a path, relative to ``…/warmcell/``, and what it does."""

    method: str
    pattern: re.Pattern[str]
    operation: Operation


class Routes(list[Route]):
    """The routes of one concept, filled by its functions."""

    def add(
        self, method: str, path: str, takes: type[msgspec.Struct] | None = None
    ) -> Callable[[Operation], Operation]:
        """Decorate an operation with its route; ``*`` stands for one part of the path. ``takes``
        is what its body is, for the description of the API."""
        pattern = re.compile(path.replace("*", "([^/]+)"))

        def register(operation: Operation) -> Operation:
            self.append(Route(method, pattern, operation))
            if takes is not None:
                BODIES[operation] = takes
            return operation

        return register


def decode(call: Call, type_: type[Any]) -> Any:
    try:
        return msgspec.json.decode(call.body or b"{}", type=type_)
    except msgspec.ValidationError as error:
        raise UsageError(f"The body of {call.method} {call.path} does not fit: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body of {call.method} {call.path} is no JSON: {error}.") from error


def number(call: Call, name: str, default: float) -> float:
    text = call.query.get(name)
    try:
        return default if text is None else float(text)
    except ValueError:
        raise UsageError(f"'{name}' must be a number, not '{text}'.") from None
