"""Values that a materializer writes: what it wrote into a folder, file by file."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from warmcell.artifacts.files import VISUALS, Incoming, Outgoing, inside
from warmcell.artifacts.paths import content_of
from warmcell.artifacts.serializer import Serializer
from warmcell.enums import VisualizationType
from warmcell.errors import ArtifactError, DefinitionError
from warmcell.schemas.jsonform import qualified

if TYPE_CHECKING:
    from warmcell.materializers.base_materializer import BaseMaterializer

__all__ = ["Materialized", "materializer_for"]

_CONTENT = "content/"

log = logging.getLogger("warmcell.artifacts")

_known: dict[str, type[BaseMaterializer]] = {}


class Materialized(Serializer):
    """Written by a materializer (:class:`warmcell.materializers.BaseMaterializer`). Its ``load`` is
    code of the user's that may unpickle, so that only what this user signed is read."""

    kind: ClassVar[str] = "materializer"
    runs_code = True

    def __init__(self, materializer: type[BaseMaterializer] | None = None) -> None:
        self._class = materializer
        if materializer is not None:
            _known[qualified(materializer)] = materializer
            # What a materializer says of its values is what they are.
            self.role = str(materializer.ASSOCIATED_ARTIFACT_TYPE)

    @classmethod
    def of(cls, materializer: Any) -> Materialized:
        """The serializer of a materializer's class. Raises :class:`DefinitionError`."""
        from warmcell.materializers.base_materializer import BaseMaterializer

        if not isinstance(materializer, type) or not issubclass(materializer, BaseMaterializer):
            raise DefinitionError(
                f"{materializer!r} is no materializer.",
                hint="Pass a subclass of warmcell.materializers.BaseMaterializer.",
            )
        return cls(materializer)

    def save(self, value: Any, out: Outgoing) -> None:
        if self._class is None:
            raise TypeError("no materializer was given")
        out.form["materializer"] = qualified(self._class)
        out.form["class"] = [type(value).__module__, type(value).__qualname__]
        with tempfile.TemporaryDirectory(prefix="warmcell-") as folder:
            made = self._class(folder)
            try:
                made.save(value)
            except Exception as error:
                raise _failed(self._class, "save", error) from error
            files, folders = content_of(Path(folder))
            out.form["folders"] = [one.relative_to(folder).as_posix() for one in folders]
            saved = {file.relative_to(folder).as_posix(): file.stat().st_mtime_ns for file in files}
            if out.visualize:
                _visuals(made, value, out, saved)
            for name in saved:
                shutil.move(str(Path(folder, name)), out.path(_CONTENT + name))

    def load(self, parts: Incoming) -> Any:
        kind = self._class or _class_of(str(parts.form.get("materializer")), parts.signed)
        data_type = parts.hint or _class(parts) or object
        with tempfile.TemporaryDirectory(prefix="warmcell-") as folder:
            for name in parts.form.get("folders", ()):
                (Path(folder) / inside(name)).mkdir(parents=True, exist_ok=True)
            for name in parts.names:
                if name.startswith(_CONTENT):
                    parts.copy(name, Path(folder) / inside(name.removeprefix(_CONTENT)))
            return kind(folder).load(data_type)

    def facts(self, value: Any) -> dict[str, Any]:
        if self._class is None:
            return {}
        with tempfile.TemporaryDirectory(prefix="warmcell-") as folder:
            return dict(self._class(folder).extract_metadata(value))


def materializer_for(serializer: Any, key: type) -> type[BaseMaterializer]:
    """The materializer's class of a serializer. Raises :class:`KeyError` for another one."""
    found = serializer._class if isinstance(serializer, Materialized) else None
    if found is None:
        raise KeyError(key)
    return found


def _visuals(made: BaseMaterializer, value: Any, out: Outgoing, saved: Mapping[str, int]) -> None:
    """Take along what shows the value. That it cannot be shown is no reason not to keep it."""
    try:
        shown = dict(made.save_visualizations(value))
    except Exception as error:
        log.warning("%s.save_visualizations() failed: %s", type(made).__name__, error)
        return
    for path, kind in shown.items():
        file = Path(made.uri, path)
        try:
            name = file.resolve().relative_to(Path(made.uri).resolve()).as_posix()
            kind = VisualizationType(str(getattr(kind, "value", kind)).lower())
        except ValueError as error:
            log.warning("%s cannot be shown by %r: %s", type(made).__name__, path, error)
            continue
        if file.is_file():
            shutil.copyfile(file, out.path(VISUALS + name))
            out.visuals[VISUALS + name] = str(kind)


def _class_of(name: str, signed: bool) -> type[BaseMaterializer]:
    found = _known.get(name)
    module, _, short = name.rpartition(".")
    if found is None and signed:
        if module and module not in sys.modules:
            with contextlib.suppress(ImportError):
                import_module(module)  # which makes it known
        found = _known.get(name) or getattr(sys.modules.get(module or "__main__"), short, None)
    if found is None:
        raise ArtifactError(
            f"The materializer {name} of this artifact version is not here.",
            hint="Import its module, or run the cell that defines it.",
        )
    return found


def _class(parts: Incoming) -> Any:
    module, name = parts.form.get("class") or ("", "")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _failed(kind: type, method: str, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{kind.__name__}.{method}() failed: {type(error).__name__}: {error}",
        hint="Correct the materializer, and run the step again.",
    )
