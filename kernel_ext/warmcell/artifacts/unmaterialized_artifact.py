"""UnmaterializedArtifact: a step's input that is not loaded; the step gets where its files are."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import msgspec

from warmcell.artifacts.version import ArtifactVersion
from warmcell.runner.taking import AS_STORED

__all__ = ["UnmaterializedArtifact"]


class UnmaterializedArtifact(ArtifactVersion):
    """The type of a parameter that takes an artifact version instead of its value:
    ``def use(frame: UnmaterializedArtifact)``. ``uri`` is a folder with its files, of which the
    step may do what it likes; ``load()`` gives the value."""

    @functools.cached_property
    def uri(self) -> str:
        """A folder with copies of its files, which goes with this process; a small value is in
        ``value.json``. Raises :class:`~warmcell.errors.ArtifactError`."""
        from warmcell.artifacts.files import inside
        from warmcell.artifacts.paths import copies

        folder = Path(tempfile.mkdtemp(dir=copies()))
        for name, path in self.fetch().items():
            target = folder / inside(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if not self._stored().files:
            (folder / "value.json").write_bytes(msgspec.json.encode(self.value))
        return str(folder)


AS_STORED.append(UnmaterializedArtifact)
