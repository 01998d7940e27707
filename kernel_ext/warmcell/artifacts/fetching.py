"""Where the files of an artifact version are on this machine; fetched where they are not."""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from warmcell.errors import ArtifactError
from warmcell.records import FileRecord

if TYPE_CHECKING:
    from warmcell.artifacts.files import Blobs
    from warmcell.remote.transport import Transport

__all__ = ["fetching"]

PIECE = 1 << 20  # bytes: a file may have no line at all
_BLOB = re.compile(r"[0-9a-f]{32}")


def fetching(transport: Transport, version: str) -> Blobs:
    """Return what finds the files of the artifact version ``version`` (an id).

    A store on this machine is read in place. From elsewhere a file is fetched once, into a folder
    that ends with this process. Whoever reads a file checks what is in it.
    """

    def find(file: FileRecord) -> Path:
        if not _BLOB.fullmatch(file.blob):
            raise ArtifactError(f"The file {file.name!r} of this artifact version has no address.")
        here = _folder(transport)
        if here is not None and _complete(here / file.blob, file):
            return here / file.blob
        kept = Path(_fetched().name) / file.blob
        if not _complete(kept, file):
            name = quote(file.name, safe="/")
            path = f"api/v1/artifact-versions/{quote(version, safe='')}/files/{name}"
            made = kept.with_suffix(f".{secrets.token_hex(8)}")
            try:
                # Lines are pieces like any others, and memory holds one of them at a time.
                sent = transport.lines("GET", path, piece=PIECE)
                with made.open("wb") as target, sent as pieces:
                    target.writelines(_bounded(pieces, file))
                made.replace(kept)
            finally:
                made.unlink(missing_ok=True)
        return kept

    return find


def _bounded(pieces: Iterable[bytes], file: FileRecord) -> Iterator[bytes]:
    """``pieces``, unless they are more than the file has: a server may send without an end."""
    left = file.size
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise ArtifactError(f"The server sends more for {file.name!r} than it is said to have.")
        yield piece


def _complete(path: Path, file: FileRecord) -> bool:
    try:
        return path.is_file() and path.stat().st_size == file.size
    except OSError:
        return False


def _folder(transport: Transport) -> Path | None:
    """The folder of blobs of the transport's store, if it seems to be on this machine."""
    found: Path | None = getattr(transport, "_blobs_here", None)
    if found is None:
        home = transport.control("GET", "api/v1/status")["home"]
        found = Path(home) / "blobs"
        transport._blobs_here = found  # type: ignore[attr-defined]
    try:
        return found if found.is_dir() else None
    except OSError:
        return None


@lru_cache(1)
def _fetched() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="warmcell-")
