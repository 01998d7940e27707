"""Blobs: content-addressed files in the folder of a store."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import stat
from pathlib import Path

from warmcell.errors import StoreError

__all__ = ["keep", "opened", "read", "write"]

_PIECE = 64 << 20
_DIGEST = re.compile(r"[0-9a-f]{32}")
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def keep(data: bytes, folder: Path) -> str:
    """Write ``data`` unless it is there already and return its digest, 32 hex digits.

    The digest is of SHA-256: callers choose what is in outputs, and must not be able to make one
    that passes for another's. Raises :class:`StoreError` where the disk refuses.
    """
    digest = hashlib.sha256(data).hexdigest()[:32]
    try:
        write(memoryview(data), digest, folder)
    except OSError as error:
        raise StoreError(f"The folder of blobs refuses it: {error.strerror}.") from error
    return digest


def write(view: memoryview, digest: str, folder: Path, *, anew: bool = False) -> None:
    """Write a blob named ``digest`` unless it is there already; ``anew``, also then. Raises
    ``OSError``."""
    path = folder / digest
    with contextlib.suppress(FileNotFoundError):
        if not anew and path.stat().st_size == view.nbytes:
            os.utime(path)  # retention goes by age
            return
    made = folder / f".{digest}.{secrets.token_hex(6)}"
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            done = 0
            while done < view.nbytes:
                done += file.write(view[done : done + _PIECE])
        made.replace(path)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def opened(folder: Path, digest: str) -> io.BufferedReader:
    """Open the blob that a record names. A store may have come from elsewhere: what is no digest,
    or no plain file of the folder, leads nowhere. Raises ``OSError``."""
    if not _DIGEST.fullmatch(digest):
        raise FileNotFoundError(f"{digest[:80]!r} is no digest")
    descriptor = os.open(folder / digest, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(f"{digest} is no file")
    return os.fdopen(descriptor, "rb")


def read(folder: Path, digest: str) -> bytes:
    """All of a blob; see :func:`opened`. Raises ``OSError``."""
    with opened(folder, digest) as file:
        return file.read()
