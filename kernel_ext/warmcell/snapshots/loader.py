"""Reads a snapshot's stream: the same code for the live binding and for a fresh process."""

from __future__ import annotations

import builtins
import importlib
import io
import pickle
import types
from collections.abc import Mapping, Sequence
from typing import Any

from warmcell.errors import SnapshotError
from warmcell.snapshots.code import absolute_name
from warmcell.snapshots.homes import (
    NOTEBOOK,
)


class Loader(pickle.Unpickler):
    """Loads one stream.

    All functions of a snapshot share one copy of the builtins, whose ``__import__`` answers the
    snapshot's own local modules, absolute and relative, before any other.
    """

    def __init__(
        self,
        stream: bytes | memoryview,
        references: Sequence[object],
        *,
        files: Mapping[str, str] | None = None,
        buffers: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(io.BytesIO(stream), buffers=buffers)
        self._references = references
        self._files = files or {}
        self._spaces: dict[int, dict[str, Any]] = {}
        self._modules: dict[int, types.ModuleType] = {}
        self.modules: dict[str, types.ModuleType] = {}
        self.builtins: dict[str, Any] = dict(vars(builtins))

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every look-up by name in the notebook: a snapshot never depends on it."""
        if module in NOTEBOOK:
            raise SnapshotError(
                f"`{name}` was written by its name in the notebook.",
                hint="This is a defect of Warmcell; please report the cell that defines it.",
            )
        return super().find_class(module, name)

    def persistent_load(self, pid: tuple[Any, ...]) -> Any:
        """Resolve what the pickler's ``persistent_id`` wrote."""
        kind, value = pid[0], pid[1]
        if kind == "ref":
            return self._references[value]
        if kind == "file":
            return self._files.get(value, value)
        if kind == "library":
            return vars(importlib.import_module(value))
        if kind == "module":
            self._space(value, *pid[2:])
            return self._modules[value]
        return self._space(value, *pid[2:])

    def _space(self, number: int, is_module: bool, names: dict[str, Any]) -> dict[str, Any]:
        space = self._spaces.get(number)
        if space is None:
            name = str(names.get("__name__", "__main__"))
            module = types.ModuleType(name)
            space = vars(module)
            space.update(names)
            space["__builtins__"] = self.builtins
            self._spaces[number] = space
            self._modules[number] = module
            if is_module:
                self.modules[name] = module
        return space

    def load_plain(self) -> Any:
        """A stream of referenced objects."""
        return super().load()

    def load(self) -> Any:
        """The roots. Raises :class:`SnapshotError` or what the stream's own code raises."""
        _, roots = super().load()
        if self.modules:
            self.builtins["__import__"] = _importer(self.modules)
        return roots


def _importer(modules: dict[str, types.ModuleType]) -> Any:
    def __import__(
        name: str,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        absolute = absolute_name(name, level, globals)
        module = modules.get(absolute) if absolute else None
        if module is None or absolute is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist or level:
            return module
        return modules.get(absolute.partition(".")[0], module)

    return __import__
