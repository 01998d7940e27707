"""Results that are taken again, loaded when somebody needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, SupportsIndex

__all__ = ["Kept", "Values"]


class Kept:
    """The stored result of a step. Any thread may ask for the value; it is loaded once."""

    __slots__ = ("_load", "_loaded", "_lock", "_value")

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._loaded = False
        self._value: Any = None
        self._lock = threading.Lock()

    @property
    def value(self) -> Any:
        """The value. Raises what its step raises where it has to run after all."""
        with self._lock:
            if not self._loaded:
                self._value = self._load()
                self._loaded = True
        return self._value


class Values(list[Any]):
    """The values of the steps of a run, of which a kept one is loaded when it is taken."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        found = super().__getitem__(index)
        if type(found) is Kept:
            return found.value
        return found
