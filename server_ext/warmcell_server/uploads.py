"""Large bodies of requests on their way to a worker: files that live no longer than their run."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from warmcell.errors import StoreFull
from warmcell.ids import new_id
from warmcell_server.store.locks import is_held

__all__ = ["Upload", "Uploads"]

log = logging.getLogger("warmcell.uploads")


class Uploads:
    """The folder ``uploads`` of a store. Each host has a folder of its own in it, so that a host
    that starts can clear away what those that died have left."""

    def __init__(self, home: Path, host_id: str) -> None:
        self.folder = home / "uploads" / host_id
        self._hosts = home / "hosts"

    def start(self) -> None:
        """Make the folder and remove those of hosts that do not live any more."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.parent.chmod(0o700)
        for other in self.folder.parent.iterdir():
            if other != self.folder and not is_held(self._hosts / f"{other.name}.lock"):
                shutil.rmtree(other, ignore_errors=True)

    def close(self) -> None:
        """Remove what is left. Harmless when repeated."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def create(self, *, hashed: bool = False) -> Upload:
        """A new empty file; ``hashed`` ones also have a digest. Raises :class:`StoreFull`."""
        return Upload(self.folder / new_id(), hashed=hashed)


class Upload:
    """One file. Belongs to the event loop; writing and removing is done on other threads."""

    def __init__(self, path: Path, *, hashed: bool) -> None:
        self.path = path
        self._hash = hashlib.sha256() if hashed else None
        self._writing = False
        self._gone = False
        try:
            self._file: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise _full(error) from error

    @property
    def digest(self) -> str | None:
        """The SHA-256 of what was written, in hex, where that was asked for."""
        return None if self._hash is None else self._hash.hexdigest()

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Append. Raises :class:`StoreFull` where the disk refuses; not to be called twice at
        once."""
        self._writing = True
        try:
            await asyncio.to_thread(self._write, chunks)
        except OSError as error:
            raise _full(error) from error
        finally:
            self._writing = False
            if self._gone:
                self.close()

    def _write(self, chunks: Sequence[bytes]) -> None:
        if self._file is None:
            return
        for chunk in chunks:
            if self._hash is not None:
                self._hash.update(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def close(self) -> None:
        """Nothing more is written. Harmless when repeated."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def remove(self) -> None:
        """Delete the file, in the background: a large one takes its time. Harmless when
        repeated."""
        if self._gone:
            return
        self._gone = True
        if not self._writing:
            self.close()
        with contextlib.suppress(RuntimeError):  # without a loop, the next start removes it
            asyncio.get_running_loop().run_in_executor(None, _unlink, self.path)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("The upload %s could not be removed: %s", path, error)


def _full(error: OSError) -> StoreFull:
    return StoreFull(
        f"The body could not be written to the folder of the store: {error.strerror}.",
        hint="Free some space on the disk of the store, or send less.",
    )
