"""What was logged: plain values that also answer to ``.value``, as ZenML's do."""

from __future__ import annotations

from typing import Any

__all__ = ["logged", "plain_type"]


class _Logged:
    @property
    def value(self) -> Any:
        """The value itself."""
        return self


class _Dict(_Logged, dict[str, Any]):
    pass


class _List(_Logged, list[Any]):
    pass


class _Tuple(_Logged, tuple[Any, ...]):
    pass


class _Text(_Logged, str):
    pass


class _Whole(_Logged, int):
    pass


class _Float(_Logged, float):
    pass


_KINDS: dict[type[Any], type[Any]] = {
    dict: _Dict, list: _List, tuple: _Tuple, str: _Text, int: _Whole, float: _Float,
}  # fmt: skip


_PLAIN = {kind: plain for plain, kind in _KINDS.items()}


def plain_type(value: Any) -> type[Any]:
    """The type of a value, whether or not it has a ``.value``."""
    kind = type(value)
    return _PLAIN.get(kind, kind)


def logged(value: Any) -> Any:
    """``value`` with a ``.value``; true, false and null stay what they are."""
    kind = _KINDS.get(type(value))
    return value if kind is None else kind(value)
