"""The stored form: the stream of a snapshot and what it refers to, in content-addressed blobs."""

from __future__ import annotations

import hashlib
import io
import json
import linecache
import mmap
import os
import pickle
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from warmcell.blobs import write as write_blob
from warmcell.errors import SnapshotError
from warmcell.snapshots import trust
from warmcell.snapshots.kinds import (
    SMALL_BYTES,
)
from warmcell.snapshots.loader import Loader
from warmcell.snapshots.pickler import EMPTY, ReferencePickler

FORMAT = 1
STORED = "stored"


class Blob(msgspec.Struct, array_like=True, frozen=True):
    """A file in the folder of blobs, named by the xxh3 of its content; ``size`` in bytes."""

    digest: str
    size: int


class StoredForm(msgspec.Struct, omit_defaults=True):
    """The manifest of a stored snapshot.

    ``status`` is ``"stored"``, or says why this cannot be restored: ``"refused: …"`` when it was
    not written, ``"changed before stored: …"`` when an object changed meanwhile. ``files`` maps the
    file name of each piece of code to the name that it has once restored.
    """

    status: str
    digest: str = ""
    python: str = ""
    code: Blob | None = None
    references: Blob | None = None
    sources: Blob | None = None
    buffers: list[Blob] = []
    files: dict[str, str] = {}
    signature: str = ""
    format: int = FORMAT

    @property
    def restorable(self) -> bool:
        """Whether :func:`restore` can load it."""
        return self.status == STORED

    @property
    def blobs(self) -> list[Blob]:
        """Every blob that belongs to this snapshot."""
        own = [self.code, self.references, self.sources]
        return [b for b in own if b is not None] + self.buffers


def python_version() -> str:
    """The Python that can load a stream written here: code objects differ between minors."""
    return f"{sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]}"


def write(
    stream: bytes,
    references: Sequence[object],
    sources: Mapping[str, str],
    digest: str,
    blobs: Path,
) -> StoredForm:
    """Write a snapshot's blobs; ``sources`` are the texts of its files of code.

    Raises :class:`SnapshotError` where the disk refuses, and whatever the referenced objects' own
    code raises while they are pickled.
    """
    buffers: list[Blob] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < SMALL_BYTES:
            return True
        buffers.append(put(view, blobs))
        return False

    file = io.BytesIO()
    ReferencePickler(file, EMPTY, keep).dump(list(references))
    listed = file.getbuffer()
    form = StoredForm(
        STORED,
        digest=digest,
        python=python_version(),
        code=put(stream, blobs),
        references=put(listed, blobs),
        sources=put(json.dumps(dict(sources)).encode("utf-8", "surrogatepass"), blobs),
        buffers=buffers,
        files=_shown(sources, digest),
    )
    form.signature = trust.sign(_statement(form, stream, listed))
    return form


def _statement(form: StoredForm, stream: Any, listed: Any) -> bytes:
    """What a signature covers: all that runs, and which data belongs to it."""
    parts = [
        form.format,
        form.python,
        form.digest,
        hashlib.sha256(stream).hexdigest(),
        hashlib.sha256(listed).hexdigest(),
        [[b.digest, b.size] for b in form.buffers],
    ]
    return json.dumps(parts).encode()


def _shown(files: Iterable[str], digest: str) -> dict[str, str]:
    """The names that code has in tracebacks of a restored snapshot."""
    shown: dict[str, str] = {}
    for number, name in enumerate(files, 1):
        base = os.path.basename(name)
        known = "cell" if "ipykernel" in name or "ipython-input" in name else base.strip("<>")
        shown[name] = f"<{known} #{number} of snapshot {digest[:8]}>"
    return shown


def put(data: Any, blobs: Path) -> Blob:
    """Write one blob unless it is there already. Raises :class:`SnapshotError`."""
    view = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    digest = xxhash.xxh3_128_hexdigest(view)
    try:
        write_blob(view, digest, blobs)
    except OSError as error:
        raise SnapshotError(
            f"The snapshot cannot be written to {blobs}: {error.strerror}."
        ) from error
    return Blob(digest, view.nbytes)


def restore(form: StoredForm, blobs: Path) -> dict[str, object]:
    """Load a stored snapshot in a fresh process and return its roots.

    Large arrays are private maps of their files: read at first touch, writable, shared between
    processes. Raises :class:`SnapshotError` for what is not signed by this user, was written by
    another Python, or is incomplete.
    """
    if not form.restorable or form.code is None or form.references is None:
        raise SnapshotError(f"This snapshot cannot be restored ({form.status}).")
    if form.format != FORMAT or form.python != python_version():
        raise SnapshotError(
            f"This snapshot was written by {form.python}, and this is {python_version()}.",
            hint="Deploy the pipeline again from its notebook, or start a kernel of that Python.",
        )
    stream, listed = _get(form.code, blobs), _get(form.references, blobs)
    trust.verify(_statement(form, stream, listed), form.signature)
    _register_sources(form, blobs)
    buffers = [_mapped(blob, blobs) for blob in form.buffers]
    try:
        references = Loader(listed, (), files=form.files, buffers=buffers).load_plain()
        roots = Loader(stream, references, files=form.files).load()
    except SnapshotError:
        raise
    except Exception as error:  # loading runs the snapshot's own code
        raise SnapshotError(
            f"This snapshot cannot be restored here: {type(error).__name__}: {error}."
        ) from error
    return dict(roots)


def _register_sources(form: StoredForm, blobs: Path) -> None:
    """Let tracebacks of restored code show its lines."""
    if form.sources is None:
        return
    sources: dict[str, str] = json.loads(bytes(_get(form.sources, blobs)))
    for name, text in sources.items():
        shown = form.files.get(name)
        if shown and text:
            linecache.cache[shown] = (len(text), None, text.splitlines(True), shown)


def _get(blob: Blob, blobs: Path) -> bytes:
    try:
        data = (blobs / blob.digest).read_bytes()
    except OSError as error:
        raise _missing(blob) from error
    if len(data) != blob.size or xxhash.xxh3_128_hexdigest(data) != blob.digest:
        raise _missing(blob)
    return data


def _mapped(blob: Blob, blobs: Path) -> memoryview:
    try:
        with (blobs / blob.digest).open("rb") as file:
            if os.fstat(file.fileno()).st_size != blob.size:
                raise _missing(blob)
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except OSError as error:
        raise _missing(blob) from error


def _missing(blob: Blob) -> SnapshotError:
    return SnapshotError(
        f"A part of this snapshot ({blob.digest}, {blob.size} bytes) is missing or damaged.",
        hint="Deploy the pipeline again from its notebook.",
    )
