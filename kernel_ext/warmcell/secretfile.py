"""Secrets in a file: read often, changed rarely, by several processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from warmcell.errors import StoreError

__all__ = ["SecretFile"]

T = TypeVar("T")
Version = tuple[int, int, int]


class SecretFile(Generic[T]):
    """A JSON file that only its owner can read. Any thread and any process may use one.

    ``kind`` is the type of the value, such as ``dict[str, Key]`` or a struct; ``kind()`` is the
    value of a file that is not there yet. The lock is a file beside it, ``<name>.lock``.
    """

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._kind = kind
        self._lock = path.with_name(f"{path.name}.lock")
        self._decoder = msgspec.json.Decoder(kind)
        self._seen: tuple[Version | None, T] | None = None

    def read(self) -> T:
        """Return the value, which the caller must not change; read anew only when the file is
        another one than before. Cheap enough for every request: one ``stat``.

        Raises :class:`StoreError` for a file that cannot be read.
        """
        version = self._version()
        seen = self._seen
        if seen is not None and seen[0] == version:
            return seen[1]
        # Looked at before it is read: a change in between is noticed the next time.
        value = self._load()
        self._seen = version, value
        return value

    def change(self, function: Callable[[T], T]) -> T:
        """Write what ``function`` makes of the value (which it may change in place), and return it.

        Nobody else changes the file meanwhile; readers see the old value or the new one, and what
        is returned survives a crash of the machine. Waits for the lock and for the disk: not for
        an event loop. An error of ``function`` leaves the file as it was. Raises
        :class:`StoreError` for a file that cannot be read or written.
        """
        with self._locked():
            before = self._load()
            data = msgspec.json.encode(before)
            value = function(before)
            changed = msgspec.json.encode(value)
            if changed != data:
                self._write(changed)
            return value

    def _load(self) -> T:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return self._kind()
        except OSError as error:
            raise self._failure("read", error) from error
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"The file {str(self.path)!r} is damaged: {error}.",
                hint="Restore it from a backup, or delete it: what is in it is then lost.",
            ) from error

    def _version(self) -> Version | None:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failure("read", error) from error
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _write(self, data: bytes) -> None:
        made = self.path.with_name(f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        before = self._version()
        try:
            descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            # The clock of a file system is coarse and it reuses inodes: never two versions alike.
            moment = max(time.time_ns(), before[1] + 1 if before else 0)
            os.utime(made, ns=(moment, moment))
            os.replace(made, self.path)
            _sync(self.path.parent)
        except OSError as error:
            raise self._failure("written", error) from error
        finally:
            made.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._failure("locked", error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                raise self._failure("locked", error) from error
            try:
                yield
            finally:
                # Said aloud: a child that was forked meanwhile has a copy of the descriptor.
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _failure(self, done: str, error: OSError) -> StoreError:
        return StoreError(f"The file {str(self.path)!r} cannot be {done}: {error.strerror}.")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
