"""A file that knows the digest of what was written to it, worked out beside the writing."""

from __future__ import annotations

import hashlib
import io
import queue
import threading
from pathlib import Path
from typing import Any

__all__ = ["PIECE", "HashedFile"]

PIECE = 1 << 20  # bytes that are worth a call
_WAITING = 32  # pieces: with more the writer waits for the hashing


class HashedFile(io.RawIOBase):
    """The file ``path``, written from its beginning to its end. ``digest`` is there once it is
    closed: SHA-256, 64 hex digits. For one thread, in pieces of about :data:`PIECE`."""

    def __init__(self, path: Path) -> None:
        self.digest: str | None = None
        self._file = path.open("xb", buffering=0)
        self._hash = hashlib.sha256()
        self._pieces: queue.Queue[Any] = queue.Queue(_WAITING)
        self._at = 0
        self._thread = threading.Thread(target=self._take, name="warmcell-hash", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        """True: it is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Write all of ``data``."""
        piece = data if type(data) is bytes else bytes(data)  # who wrote it may reuse it
        view, done = memoryview(piece), 0
        while done < len(view):
            done += self._file.write(view[done:])
        self._pieces.put(piece)
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._at

    def close(self) -> None:
        """Wait for the digest. Harmless when repeated."""
        if self.closed:
            return
        self._file.close()
        self._pieces.put(None)
        self._thread.join()
        self.digest = self._hash.hexdigest()
        super().close()

    def _take(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)
