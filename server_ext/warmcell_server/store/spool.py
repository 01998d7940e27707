"""The spool: files of JSON lines that stand between an answer and the database.

Each host appends to files of its own, and only to them. A line that was written is in the hands of
the operating system and survives ``kill -9``. The owner of the store reads the files of all hosts
and deletes what it has ingested.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from warmcell.errors import StoreError, StoreFull
from warmcell.ids import now

__all__ = ["Spool", "SpoolFile", "check_host_id", "files"]

ROTATE_AT = 1 << 20  # small, so that a full disk does not hold much that is ingested already
_PROBE = b"\n" * (64 << 10)  # blank lines; more than the tail of a block that is already there
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NAME = re.compile(r"(?P<host>[A-Za-z0-9_-]+)-(?P<number>[0-9]+)\.jsonl")


def check_host_id(host_id: str) -> None:
    """Raise :class:`StoreError` unless ``host_id`` can be part of a file's name."""
    if not _NAME.fullmatch(f"{host_id}-0.jsonl"):
        raise StoreError(f"The host id {host_id!r} may hold letters, digits, - and _ only.")


class Spool:
    """The end of a host's spool where lines are added. Any thread may call."""

    def __init__(self, folder: Path, host_id: str) -> None:
        self.host_id = host_id
        self.full = False
        self._folder = folder
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0
        self._torn = False
        self._closed = False
        self._name = ""
        self._open_next()

    @property
    def name(self) -> str:
        """The name of the file that lines go to now."""
        return self._name

    def append(self, line: bytes) -> None:
        """Write one line, without its newline, to the operating system.

        Either the whole line is there afterwards or none of it. Raises :class:`StoreFull` where
        there is no room, and :class:`StoreError` for any other trouble.
        """
        if b"\n" in line or b"\r" in line:  # white space between the tokens of a caller's JSON
            line = line.replace(b"\n", b" ").replace(b"\r", b" ")
        with self._lock:
            # A break first, where what is left of an earlier line could not be taken back.
            data = b"\n" + line + b"\n" if self._torn else line + b"\n"
            try:
                written = os.write(self._fd, data)
                while written < len(data):
                    written += os.write(self._fd, data[written:])
            except OSError as error:
                self._take_back()
                raise self._failed(error) from error
            self._size += len(data)
            self._torn = self.full = False
            if self._size >= ROTATE_AT:
                self._open_next()

    def probe(self) -> bool:
        """Tell whether there is room again, by writing and taking back some blank lines."""
        with self._lock:
            if self._closed:
                return False
            try:
                written = os.write(self._fd, _PROBE)
            except OSError:
                written = 0
            self.full = written < len(_PROBE)
            self._take_back()
            return not self.full

    def close(self) -> None:
        """Stop taking lines; harmless when repeated."""
        with self._lock:
            fd, self._fd, self._closed = self._fd, -1, True
            if fd >= 0:
                os.close(fd)
            if fd >= 0 and self._size == 0:
                (self._folder / self._name).unlink(missing_ok=True)

    def _open_next(self) -> None:
        # The time in the name keeps names unique for ever: positions are kept by name.
        name = f"{self.host_id}-{now()}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            fd = os.open(self._folder / name, flags, 0o600)
        except OSError as error:
            if self._fd >= 0:
                return  # the old file goes on growing
            raise self._failed(error) from error
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._name, self._size, self._torn = fd, name, 0, False

    def _failed(self, error: OSError) -> StoreError:
        if self._closed:
            return StoreError("The store is closed.")
        if error.errno in _FULL:
            self.full = True
            return StoreFull(
                f"The disk of the store is full: {self._folder.parent}.",
                hint="Free some space; calls are taken again as soon as a record can be written.",
            )
        return StoreError(f"The spool {str(self._folder)!r} cannot be written: {error.strerror}.")

    def _take_back(self) -> None:
        if self._closed:
            return
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._size = os.fstat(self._fd).st_size
            self._torn = True


@dataclass(frozen=True)
class SpoolFile:
    """A spool file of some host."""

    path: Path
    host_id: str
    number: int

    @property
    def name(self) -> str:
        return self.path.name

    def read(self, position: int, limit: int) -> bytes:
        """Return the whole lines from ``position`` on, about ``limit`` bytes and at least one line
        if there is one; empty if there is none."""
        with open(self.path, "rb") as stream:
            stream.seek(position)
            data = stream.read(limit)
            end = data.rfind(b"\n")
            while end < 0 and len(data) % limit == 0 and data:
                more = stream.read(limit)
                if not more:
                    break
                end = more.rfind(b"\n")
                end = end if end < 0 else end + len(data)
                data += more
        return data[: end + 1]

    def tail(self, position: int) -> bytes:
        """Return everything from ``position`` on: what a dead host left of its last line."""
        with open(self.path, "rb") as stream:
            stream.seek(position)
            return stream.read()


def files(folder: Path) -> list[SpoolFile]:
    """Return the spool files of all hosts, each host's in the order they were written."""
    found = []
    for entry in os.scandir(folder):
        match = _NAME.fullmatch(entry.name)
        if match:
            found.append(SpoolFile(Path(entry.path), match["host"], int(match["number"])))
    found.sort(key=lambda file: (file.number, file.host_id))
    return found
