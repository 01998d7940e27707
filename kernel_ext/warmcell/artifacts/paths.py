"""Files and folders that a step names by a path: what is in them is kept."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing, inside
from warmcell.artifacts.serializer import Serializer, Summary

__all__ = ["Paths", "content_of", "copies"]

_MOST_FILES = 10_000
_MOST_BYTES = 16 << 30


class Paths(Serializer):
    """Paths. That of a file or a folder comes back as the path of a copy, in a folder that goes
    with the process; that of nothing comes back as it was."""

    kind: ClassVar[str] = "path"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Path)

    def summarise(self, value: Path) -> Summary:
        return Summary(None, str(value)[:1000])

    def save(self, value: Path, out: Outgoing) -> None:
        out.form["name"] = value.name
        if value.is_file():
            out.form["of"] = "file"
            out.copy("content", value)
        elif value.is_dir():
            out.form["of"] = "folder"
            files, folders = content_of(value)
            out.form["folders"] = [folder.relative_to(value).as_posix() for folder in folders]
            for file in files:
                out.copy(f"content/{file.relative_to(value).as_posix()}", file)
        else:
            out.form["of"] = "nothing"
            out.inline(str(value))

    def load(self, parts: Incoming) -> Any:
        of = parts.form.get("of")
        if of == "nothing":
            return Path(parts.value)
        folder = Path(tempfile.mkdtemp(dir=copies()))
        target = folder / inside(parts.form.get("name") or "content").name
        if of == "file":
            parts.copy("content", target)
            return target
        target.mkdir()
        for name in parts.form.get("folders", ()):
            (target / inside(name)).mkdir(parents=True, exist_ok=True)
        for name in parts.names:
            parts.copy(name, target / inside(name.removeprefix("content/")))
        return target

    def facts(self, value: Path) -> dict[str, Any]:
        if value.is_file():
            return {"files": 1, "bytes": value.stat().st_size}
        if value.is_dir():
            files, _ = content_of(value)
            return {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
        return {"files": 0}


def content_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files and the folders below ``folder``. Raises ``ValueError`` for what is too much, or
    no file: it is not pickled then either."""
    files: list[Path] = []
    folders: list[Path] = []
    size = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ValueError(f"{path} is a link, or no file: only files and folders are kept.")
        if path.is_dir():
            folders.append(path)
            continue
        files.append(path)
        size += path.stat().st_size
        if len(files) > _MOST_FILES or size > _MOST_BYTES:
            raise ValueError(f"{folder} has more than {_MOST_FILES} files or {_MOST_BYTES} bytes.")
    return files, folders


@functools.cache
def copies() -> str:
    """A folder for copies of what was loaded; it goes with this process."""
    made = tempfile.TemporaryDirectory(prefix="warmcell-")
    atexit.register(made.cleanup)
    return made.name
