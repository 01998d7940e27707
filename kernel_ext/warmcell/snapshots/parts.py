"""The files of a stored snapshot: written, checked and read by the SHA-256 of what is in them.

SHA-256 and not a faster hash, for all of them: whoever could make other bytes with the same digest
could have a signed snapshot run their code. Buffers carry code as well: an array of bytes that its
owner unpickles, the structure of a tree that C code follows unchecked. It takes 0.6 s per GB,
behind the answer of a deploy and once per restore.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec

from warmcell.blobs import write as write_blob
from warmcell.errors import SnapshotError

__all__ = ["Blob", "check", "mapped", "put", "read"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe in the folder of a foreign store keeps nobody waiting
    | getattr(os, "O_BINARY", 0)
)


class Blob(msgspec.Struct, array_like=True, frozen=True):
    """A file in the folder of blobs: the SHA-256 of its content and its ``size`` in bytes."""

    sha256: str
    size: int

    @property
    def digest(self) -> str:
        """Its name in the folder, 32 hexadecimal digits, as for every other blob."""
        return self.sha256[:32]


def put(data: Any, blobs: Path) -> Blob:
    """Write one blob unless it is there already, undamaged. Raises :class:`SnapshotError`."""
    view = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    blob = Blob(hashlib.sha256(view).hexdigest(), view.nbytes)
    try:
        write_blob(view, blob.digest, blobs, anew=not _intact(blob, blobs))
    except OSError as error:
        raise SnapshotError(
            f"The snapshot cannot be written to {blobs}: {error.strerror}."
        ) from error
    return blob


def check(blob: Blob, blobs: Path) -> None:
    """Raise :class:`SnapshotError` unless the blob is there, byte for byte."""
    if not _intact(blob, blobs):
        raise _damaged(blob)


def read(blob: Blob, blobs: Path) -> bytes:
    """The bytes of a blob, which are those that were checked. Raises :class:`SnapshotError`."""
    try:
        with _open(blob, blobs) as file:
            data = file.read(blob.size + 1)
    except OSError as error:
        raise _damaged(blob) from error
    if len(data) != blob.size or hashlib.sha256(data).hexdigest() != blob.sha256:
        raise _damaged(blob)
    return data


def mapped(blob: Blob, blobs: Path) -> memoryview:
    """The bytes of a blob as a private, writable map, checked in that very map.

    Such a map shows what others write to the file later on, so that a file which others may write
    is copied. Raises :class:`SnapshotError`.
    """
    try:
        with _open(blob, blobs) as file:
            status = os.fstat(file.fileno())
            if status.st_size != blob.size:
                raise _damaged(blob)
            if blob.size and _only_mine(status):
                view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
            else:
                view = memoryview(bytearray(file.read()))
    except OSError as error:
        raise _damaged(blob) from error
    if view.nbytes != blob.size or hashlib.sha256(view).hexdigest() != blob.sha256:
        raise _damaged(blob)
    return view


def _intact(blob: Blob, blobs: Path) -> bool:
    try:
        with _open(blob, blobs) as file:
            if os.fstat(file.fileno()).st_size != blob.size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == blob.sha256
    except OSError:
        return False


def _open(blob: Blob, blobs: Path) -> io.BufferedReader:
    """Open a regular file of the folder and nothing else: a manifest may be a foreign one."""
    if not _SHA256.fullmatch(blob.sha256):
        raise OSError(f"{blob.sha256[:80]!r} is no digest")
    descriptor = os.open(blobs / blob.digest, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is no file")
    return os.fdopen(descriptor, "rb")


def _only_mine(status: os.stat_result) -> bool:
    if os.name != "posix":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _damaged(blob: Blob) -> SnapshotError:
    return SnapshotError(
        f"A part of this snapshot ({blob.digest[:32]}, {blob.size} bytes) is missing or damaged.",
        hint="Deploy the pipeline again from its notebook.",
    )
