"""Finds the name of a library's module-level singleton, such as ``dataclasses.MISSING``."""

from __future__ import annotations

import sys
from typing import Any

from warmcell.snapshots.homes import (
    is_local_module,
)


class Sentinels:
    """A lookup by identity over the modules of the types asked about, built when first needed."""

    def __init__(self) -> None:
        self._modules: dict[str, dict[int, str]] = {}

    def find(self, target: Any) -> tuple[Any, tuple[Any, str]] | None:
        """``(getattr, (module, name))`` if a module-level name is that very object."""
        home = type(target).__module__
        names = self._modules.get(home)
        if names is None:
            module = sys.modules.get(home)
            names = {}
            if module is not None and home != "__main__" and not is_local_module(module):
                names = {
                    id(v): k
                    for k, v in list(vars(module).items())
                    if type(v).__module__ == home and not k.startswith("__")
                }
            self._modules[home] = names
        name = names.get(id(target))
        if name is None:
            return None
        return (getattr, (sys.modules[home], name))
