"""The files of an artifact version as one ZIP file."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from warmcell.errors import UsageError

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion

__all__ = ["download"]


def download(version: ArtifactVersion, path: Path, overwrite: bool) -> Path:
    """See :meth:`~warmcell.artifacts.version.ArtifactVersion.download_files`."""
    if path.suffix != ".zip":
        raise UsageError(f"{path} does not end in .zip.", hint=f"Write to {path.name}.zip.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already.", hint="Pass overwrite=True to replace it.")
    files = version.fetch()
    made = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
            for name, file in files.items():
                target.write(file, name)
            if not files:
                target.writestr("value.json", msgspec.json.encode(version.value))
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return path
