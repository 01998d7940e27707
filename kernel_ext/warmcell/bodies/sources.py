"""Source: the bytes of a body or of a part, and what kind of file they are."""

from __future__ import annotations

import io
import mimetypes
import mmap
import os
import re
from pathlib import Path
from typing import NamedTuple

from warmcell.bodies import media
from warmcell.bodies.media import MediaType

__all__ = ["FEATHER", "PARQUET", "Source", "file_name", "mapped", "sniffed"]

PARQUET = "application/vnd.apache.parquet"
FEATHER = "application/vnd.apache.arrow.file"
_VAGUE = frozenset({media.OCTETS, media.TEXT, "application/unknown", ""})
_SUFFIXES = {
    ".csv": media.CSV,
    ".arrow": FEATHER,
    ".arrows": media.ARROW,
    ".feather": FEATHER,
    ".parquet": PARQUET,
    ".npy": media.NPY,
    ".json": media.JSON,
    ".png": media.PNG,
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", media.PNG),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ARROW1\0\0", FEATHER),
    (b"PAR1", PARQUET),
    (b"\x93NUMPY", media.NPY),
)


class Source(NamedTuple):
    """``declared`` is what the client says it is."""

    data: memoryview
    declared: MediaType
    filename: str | None = None

    @property
    def type(self) -> str:
        """The media type, by what the client says, else by the file's name, else by its
        beginning."""
        declared = self.declared.name
        if declared not in _VAGUE:
            return FEATHER if self._is_file(declared) else declared
        suffix = os.path.splitext(self.filename or "")[1].lower()
        found = _SUFFIXES.get(suffix) or sniffed(self.data)
        if found == FEATHER and not self._is_file(media.ARROW):
            return media.ARROW
        return found or declared or media.OCTETS

    def _is_file(self, declared: str) -> bool:
        """Whether what counts as an Arrow stream is Arrow's other form, which ends in an index."""
        return declared == media.ARROW and bytes(self.data[:6]) == b"ARROW1"

    @property
    def encoding(self) -> str:
        """The charset of a text."""
        return self.declared.parameters.get("charset") or "utf-8"

    def reader(self) -> io.BufferedReader:
        """The bytes as a file that is open for reading."""
        return io.BufferedReader(_Raw(self.data))

    def text(self) -> str:
        """The bytes as text. Raises ``UnicodeDecodeError``, or ``LookupError`` for a charset that
        there is not."""
        return bytes(self.data).decode(self.encoding)


class _Raw(io.RawIOBase):
    def __init__(self, data: memoryview) -> None:
        super().__init__()
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._data[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at


def sniffed(data: memoryview | bytes) -> str | None:
    """Name the type of a file by how it begins, None where that says nothing."""
    start = bytes(data[:16])
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


def mapped(path: str) -> mmap.mmap:
    """Map a file into memory; it may be removed meanwhile."""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def file_name(source: Source) -> str:
    """A name for a file that holds the source: the client's, made harmless, or one of its type."""
    given = re.split(r"[\\/]", source.filename or "")[-1]
    safe = re.sub(r"[^\w.,+=@ -]", "_", given).strip(" .")[-120:]
    if safe:
        return safe
    suffix = next((s for s, name in _SUFFIXES.items() if name == source.type), None)
    suffix = suffix or mimetypes.guess_extension(source.type, strict=False) or ".bin"
    return str(Path("body").with_suffix(suffix))
