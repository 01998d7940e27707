"""The files of one artifact version: written into the folder of blobs, and read back checked.

A file is named by what is in it, 32 hexadecimal digits of its SHA-256, so that equal files are
there once. It gets that name when it is complete: a crash leaves no half file that anything names.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from warmcell import blobs
from warmcell.artifacts.hashing import PIECE, HashedFile
from warmcell.artifacts.secrecy import check_bytes, check_file
from warmcell.errors import ArtifactError, StoreError
from warmcell.records import FileRecord

__all__ = ["INLINE", "VISUALS", "Blobs", "Incoming", "Outgoing", "canonical", "in_folder"]

INLINE = 16_384
"""The most bytes of JSON that are kept inline."""

VISUALS = "visualizations/"
"""What the names of files begin with that only show a value; the digest leaves them out."""

Blobs: TypeAlias = Callable[[FileRecord], Path]
"""Where a file is on this machine; fetches it where it is not."""

_BLOB = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NONE = object()


def canonical(value: Any) -> bytes:
    """The JSON of ``value``, the same bytes for equal values in equal order. Raises ``TypeError``
    or ``ValueError`` for what JSON does not have."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode()


def in_folder(folder: Path) -> Blobs:
    """Files that are in the folder of blobs of a store on this machine."""
    return lambda file: folder / file.blob


class Outgoing:
    """What a serializer writes: small JSON inline, or files. ``form`` is what a load needs to know
    beside them, as JSON; it counts for the digest. ``visuals`` says what files are that only show
    the value (a :class:`~warmcell.enums.VisualizationType` by name, which begins with
    :data:`VISUALS`), none with ``visualize`` false."""

    def __init__(self, folder: Path, *, visualize: bool = True, hold: int = 0) -> None:
        self.visualize = visualize
        self._hold = hold  # bytes that wait in memory until close()
        self._held: dict[str, bytes] = {}
        self.visuals: dict[str, str] = {}
        self.form: dict[str, Any] = {}
        self.value: Any = _NONE
        self.files: list[FileRecord] = []
        self.sha256: dict[str, str] = {}
        self._folder = folder
        self._open: dict[str, Path] = {}
        self._digests: dict[str, str] = {}  # of those that were hashed while they were written

    @property
    def inlined(self) -> bool:
        """Whether :meth:`inline` took the value."""
        return self.value is not _NONE

    def inline(self, value: Any) -> bool:
        """Take the JSON value ``value`` if it is small. Raises as :func:`canonical` does."""
        data = canonical(value)
        if len(data) > INLINE:
            return False
        check_bytes(memoryview(data))
        self.value = value
        return True

    def write(self, name: str, data: bytes | bytearray | memoryview) -> None:
        """Write the file ``name``. Raises :class:`StoreError` where the disk refuses."""
        view = memoryview(data).cast("B")
        if view.nbytes <= self._hold:
            self._hold -= view.nbytes
            self._held[name] = data if type(data) is bytes else bytes(view)
            return
        self._put(name, view)

    def _put(self, name: str, view: memoryview) -> None:
        check_bytes(view)
        digest = hashlib.sha256(view).hexdigest()
        try:
            blobs.write(view, digest[:32], self._folder)
        except OSError as error:
            raise _refused(error) from error
        self._add(name, digest, view.nbytes)

    def path(self, name: str) -> Path:
        """Where to write the file ``name``, for a library that writes files itself."""
        # 32 digits: what a crash leaves is swept with the blobs that nothing names.
        made = self._folder / f".{secrets.token_hex(16)}.part"
        self._open[name] = made
        return made

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[io.BufferedIOBase]:
        """The file ``name``, for a library that writes into one from beginning to end: that spares
        reading it again for its digest."""
        file = HashedFile(self.path(name))
        with io.BufferedWriter(file, PIECE) as buffered:
            yield buffered
        if file.digest is not None:
            self._digests[name] = file.digest

    def copy(self, name: str, source: Path) -> None:
        """Write the file ``name`` as ``source`` is now."""
        shutil.copyfile(source, self.path(name))

    def close(self) -> None:
        """Write what waits, and give the files that were written their names. Raises
        :class:`StoreError`."""
        try:
            while self._held:
                name = next(iter(self._held))
                self._put(name, memoryview(self._held.pop(name)))
            for name, made in self._open.items():
                made.chmod(0o600)
                check_file(made)
                digest, size = self._digests.get(name), made.stat().st_size
                if digest is None:
                    with made.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                kept = self._folder / digest[:32]
                if kept.exists() and kept.stat().st_size == size:
                    os.utime(kept)  # retention goes by age
                    made.unlink()
                else:
                    made.replace(kept)
                self._add(name, digest, size)
        except OSError as error:
            raise _refused(error) from error
        finally:
            self.drop()

    def drop(self) -> None:
        """Forget the files that have no name yet. Harmless when repeated."""
        for made in self._open.values():
            made.unlink(missing_ok=True)
        self._open.clear()
        self._held.clear()
        self._digests.clear()

    def restart(self) -> None:
        """Begin anew: another serializer takes over."""
        self.drop()
        self.form, self.value = {}, _NONE
        self.files, self.sha256, self.visuals = [], {}, {}

    def _add(self, name: str, digest: str, size: int) -> None:
        self.files.append(FileRecord(name, digest[:32], size))
        self.sha256[name] = digest


class Incoming:
    """What a serializer reads. ``value`` is the JSON that was kept inline, ``form`` what the
    serializer noted, ``type`` the name of the class; ``hint`` is the class that the reader wants,
    ``signed`` whether this user has signed it."""

    def __init__(
        self,
        where: Blobs,
        files: Sequence[FileRecord],
        sha256: Mapping[str, str],
        *,
        value: Any = None,
        form: Mapping[str, Any] | None = None,
        type: str = "",
        hint: Any = None,
        signed: bool = False,
    ) -> None:
        self.value = value
        self.form = dict(form or {})
        self.type = type
        self.hint = hint
        self.signed = signed
        self._where = where
        self._files = {file.name: file for file in files}
        self._sha256 = sha256

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        return list(self._files)

    def read(self, name: str) -> bytes:
        """The bytes of a file, checked. Raises :class:`ArtifactError`."""
        with self._opened(name) as file:
            data = file.read()
        if hashlib.sha256(data).hexdigest() != self._sha256[name]:
            raise _damaged(name)
        return data

    def path(self, name: str) -> Path:
        """Where a file is, checked, to be read only. Raises :class:`ArtifactError`."""
        with self._opened(name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self._sha256[name]:
                raise _damaged(name)
        return self._where(self._files[name])

    @contextlib.contextmanager
    def checking(self, name: str) -> Iterator[Path]:
        """Where a file is, checked while it is read; for formats that run no code. Raises
        :class:`ArtifactError` at the end, whatever the reading raised."""
        found: list[bool] = []

        def check() -> None:
            with contextlib.suppress(OSError):
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append(digest == self._sha256[name])

        with self._opened(name) as file:
            thread = threading.Thread(target=check, name="warmcell-check", daemon=True)
            thread.start()
            try:
                yield self._where(self._files[name])
            except Exception as error:
                thread.join()
                if found != [True]:
                    raise _damaged(name) from error
                raise
            thread.join()
        if found != [True]:
            raise _damaged(name)

    def copy(self, name: str, target: Path) -> None:
        """Copy a file to ``target``, checked."""
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path(name), target)

    def _opened(self, name: str) -> io.BufferedReader:
        file = self._files.get(name)
        if file is None or not _SHA256.fullmatch(str(self._sha256.get(name))):
            raise _damaged(name)
        if not _BLOB.fullmatch(file.blob) or self._sha256[name][:32] != file.blob:
            raise _damaged(name)
        try:
            descriptor = os.open(self._where(file), _FLAGS)
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
                os.close(descriptor)
                raise _damaged(name)
            return os.fdopen(descriptor, "rb")
        except OSError as error:
            raise _damaged(name) from error


def inside(name: str) -> PurePosixPath:
    """``name`` as a path below a folder. Raises :class:`ArtifactError` for one that leads out."""
    path = PurePosixPath(name)
    elsewhere = os.name == "nt" and ("\\" in name or ":" in name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or elsewhere:
        raise ArtifactError(f"{name!r} is no name of a file in a folder.")
    return path


def _refused(error: OSError) -> StoreError:
    return StoreError(
        f"The folder of blobs refuses an artifact: {error.strerror or error}.",
        hint="Make room on the disk of the store.",
    )


def _damaged(name: str) -> ArtifactError:
    return ArtifactError(
        f"The file {name!r} of this artifact version is missing or damaged.",
        hint="Run the pipeline that made it again, or import it from a copy of the store.",
    )
