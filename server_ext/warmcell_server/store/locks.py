"""Locks on files, held for the life of a process."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from pathlib import Path

from warmcell.errors import StoreError

__all__ = ["FileLock", "is_held"]


class FileLock:
    """An exclusive ``flock`` on a file. The operating system frees it when the process dies.

    A forked child closes its copy at once, so that it cannot keep the lock alive after the
    process that took it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def take(self, content: bytes | None = None, patience: float = 0.0) -> bool:
        """Take the lock; False if another holds it for ``patience`` seconds on.

        ``content`` becomes the content of the file. Raises :class:`StoreError` where the file
        system has no locks.
        """
        deadline = time.monotonic() + patience
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        if content is not None and self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, content, 0)
        _close_in_children(self)
        return True

    def _try(self) -> bool:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who buries a dead host removes its file: a lock on a removed file is none.
            if not _same_file(fd, self.path):
                os.close(fd)
                return False
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError as error:
            os.close(fd)
            raise StoreError(
                f"The file {str(self.path)!r} cannot be locked: {error.strerror}.",
                hint="Set WARMCELL_HOME to a folder on a local disk.",
            ) from error
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _close_in_children(lock: FileLock) -> None:
    """Close the lock's copy in every later forked child; the parent keeps the lock."""
    reference = weakref.ref(lock)

    def close() -> None:
        mine = reference()
        if mine is not None:
            mine.release()

    os.register_at_fork(after_in_child=close)


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock on ``path``; a missing file is not held."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two who ask at once do not see each other.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
