"""Stand-ins while a graph is made: for the result of a step, and for an input while planning."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from warmcell.graph import Part, Ref

__all__ = ["Deferred", "Symbol", "ref_of"]


class Owner(Protocol):
    """The body that made a stand-in."""

    plans: bool

    def real(self, value: Any) -> Any:
        """The value that is stood in for."""


class Symbol:
    """Stands for an input while a body is planned."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Deferred:
    """The result of a step that has not run yet.

    ``[i]`` and ``.field`` of it are deferred too. Anything else that needs the value runs the step
    first: the analysis keeps such bodies from being deferred, and this is the net below it.
    """

    __slots__ = ("_count", "_owner", "_ref")

    _owner: Owner
    _ref: Ref
    _count: int

    def __init__(self, owner: Owner, ref: Ref, count: int = 1) -> None:
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_ref", ref)
        object.__setattr__(self, "_count", count)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            return getattr(_value(self), name)
        return self._part("field", name)

    def __getitem__(self, key: Any) -> Deferred:
        return self._part("item", key)

    def _part(self, kind: str, key: Any) -> Deferred:
        return Deferred(self._owner, Ref(self._ref.node, (*self._ref.path, Part(kind, key))))

    def __iter__(self) -> Iterator[Any]:
        if self._count > 1:  # one for each output of the step
            return iter([self[index] for index in range(self._count)])
        return iter(_value(self))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_value(self), name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Deferred if self._owner.plans else type(_value(self))

    def __hash__(self) -> int:
        return hash(_value(self))


def ref_of(deferred: Deferred) -> Ref:
    """What a deferred value refers to."""
    return deferred._ref


def _value(deferred: Deferred) -> Any:
    return deferred._owner.real(deferred)


_BUILTINS: dict[str, Callable[..., Any]] = {
    "repr": repr, "str": str, "format": format, "bool": bool, "len": len, "int": int,
    "float": float, "complex": complex, "round": round, "reversed": reversed, "next": next,
    "bytes": bytes,
}  # fmt: skip
_BINARY = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
    "lshift", "rshift",
)  # fmt: skip
_OPERATORS = (
    "eq", "ne", "lt", "le", "gt", "ge", "contains", "index", "neg", "pos", "abs", "invert",
    "setitem", "delitem",
)  # fmt: skip
_METHODS = ("enter", "exit", "array", "fspath", "call")


def _forced(act: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Deferred, *args: Any) -> Any:
        real = [_value(arg) if type(arg) is Deferred else arg for arg in args]
        return act(_value(self), *real)

    return method


def _mirrored(act: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, other: act(other, value)


def _method(name: str) -> Callable[..., Any]:
    return lambda value, *args: getattr(value, name)(*args)


for _name, _act in _BUILTINS.items():
    setattr(Deferred, f"__{_name}__", _forced(_act))
for _name in [*_BINARY, *_OPERATORS]:
    setattr(Deferred, f"__{_name}__", _forced(getattr(operator, f"__{_name}__")))
for _name in _BINARY:
    setattr(Deferred, f"__r{_name}__", _forced(_mirrored(getattr(operator, f"__{_name}__"))))
for _name in _METHODS:
    setattr(Deferred, f"__{_name}__", _forced(_method(f"__{_name}__")))
