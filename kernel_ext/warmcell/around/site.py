"""A deployment's own front end: a folder of files, copied into the store when it is deployed."""

from __future__ import annotations

import mimetypes
import os
import re
from pathlib import Path, PurePosixPath

import msgspec

from warmcell.blobs import keep
from warmcell.errors import DeployError, UsageError

__all__ = ["Asset", "Site", "publish"]

INDEX = "index.html"
MAX_FILES = 5000
MAX_BYTES = 512 << 20

# Not from the machine's own tables: a site is the same wherever it was deployed.
_TYPES = {
    ".css": "text/css",
    ".gif": "image/gif",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}
_ABSOLUTE = re.compile(rb"""\b(?:src|href)\s*=\s*["']/(?!/)([^"'?#]*)""", re.IGNORECASE)


class Asset(msgspec.Struct, frozen=True, array_like=True):
    """A file: the digest of its blob, its size in bytes and its media type."""

    digest: str
    size: int
    content_type: str


class Site(msgspec.Struct, frozen=True):
    """The files by their paths below the folder, with slashes between the parts."""

    files: dict[str, Asset]


def publish(folder: str, blobs: Path) -> tuple[str, list[str]]:
    """Copy the files of ``folder`` into ``blobs``; return the digest of the site's manifest, and
    sentences on what its author should know.

    Raises:
        UsageError: it is no folder with an ``index.html``, or too large.
        DeployError: a file cannot be read.
        StoreError: the disk refuses.
    """
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise UsageError(
            f"dashboard_files_path names '{folder}', which is no folder here.",
            hint=f"It is looked up from {Path.cwd()}.",
        )
    if not (root / INDEX).is_file():
        raise UsageError(
            f"The folder '{folder}' of dashboard_files_path has no {INDEX}.",
            hint="Name the folder that a build of the front end makes, often dist or build.",
        )
    paths, hidden = _listed(root, folder)
    files = {}
    try:
        for path in paths:
            data = (root / path).read_bytes()
            files[path] = Asset(keep(data, blobs), len(data), _content_type(path))
        index = (root / INDEX).read_bytes()
    except OSError as error:
        raise DeployError(f"The front end cannot be read: {error}.") from error
    manifest = msgspec.json.encode(Site(dict(sorted(files.items()))), order="deterministic")
    return keep(manifest, blobs), _notes(index, files, hidden)


def _listed(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """The files to copy, and hidden ones that stay behind: those may hold secrets."""
    found: list[str] = []
    hidden: list[str] = []
    size = 0
    real = root.resolve()
    for place, folders, names in os.walk(root):
        below = PurePosixPath(Path(place).relative_to(root).as_posix())
        for name in [n for n in folders if n.startswith(".") and n != ".well-known"]:
            folders.remove(name)
            hidden.append(f"{below / name}/")
        for name in names:
            path = Path(place) / name
            if name.startswith("."):
                hidden.append(str(below / name))
                continue
            if not path.resolve().is_relative_to(real):
                raise UsageError(
                    f"The file '{below / name}' of dashboard_files_path leads out of its folder.",
                    hint="Copy it into the folder.",
                )
            size += path.stat().st_size
            found.append(str(below / name))
    if len(found) > MAX_FILES or size > MAX_BYTES:
        raise UsageError(
            f"The folder '{folder}' of dashboard_files_path has {len(found)} files of "
            f"{size} bytes together, more than {MAX_FILES} or {MAX_BYTES >> 20} MiB.",
            hint="Name the folder that a build of the front end makes, not its sources.",
        )
    return found, sorted(hidden)


def _content_type(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    known = _TYPES.get(suffix) or mimetypes.guess_type(path, strict=False)[0]
    kind = known or "application/octet-stream"
    text = kind.startswith("text/") or kind in ("application/json", "image/svg+xml")
    return f"{kind}; charset=utf-8" if text and kind != "text/html" else kind


def _notes(index: bytes, files: dict[str, Asset], hidden: list[str]) -> list[str]:
    notes = []
    if hidden:
        notes.append(
            f"Hidden files of the front end are not served: {', '.join(hidden[:3])}"
            + (f" and {len(hidden) - 3} more." if len(hidden) > 3 else ".")
        )
    absolute = {match.decode("utf-8", "replace") for match in _ABSOLUTE.findall(index)}
    missing = sorted(path for path in absolute if path and path not in files)
    if missing:
        notes.append(
            f"{INDEX} of the front end refers to '/{missing[0]}', which is not below the "
            "deployment: build it with a relative base (base: './' in Vite, homepage '.' in "
            "Create React App)."
        )
    return notes
