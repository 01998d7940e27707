"""Files of an artifact that is written or read, by ZenML's names: they are on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO, Any

__all__ = [
    "copy", "exists", "glob", "isdir", "listdir", "makedirs", "mkdir", "open", "remove", "rename",
    "rmtree", "size",
]  # fmt: skip

copy = shutil.copyfile
exists = os.path.exists
isdir = os.path.isdir
listdir = os.listdir
mkdir = os.mkdir
remove = os.remove
rename = os.replace
rmtree = shutil.rmtree
size = os.path.getsize


def open(path: str | os.PathLike[str], mode: str = "r") -> IO[Any]:
    """Open the file ``path``; text is UTF-8."""
    return Path(path).open(mode, encoding=None if "b" in mode else "utf-8")


def makedirs(path: str | os.PathLike[str]) -> None:
    """Make the folder ``path`` and those above it, unless they are there."""
    Path(path).mkdir(parents=True, exist_ok=True)


def glob(pattern: str) -> list[str]:
    """The paths that fit ``pattern``."""
    import glob as globbing

    return globbing.glob(pattern)
