"""The stored form: the stream of a snapshot and what it refers to, in content-addressed blobs."""

from __future__ import annotations

import io
import json
import linecache
import mmap
import os
import pickle
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from warmcell.errors import SnapshotError
from warmcell.snapshots import memory, trust
from warmcell.snapshots.kinds import (
    SMALL_BYTES,
)
from warmcell.snapshots.loader import Loader
from warmcell.snapshots.parts import Blob, check, mapped, put, read
from warmcell.snapshots.pickler import EMPTY, ReferencePickler

FORMAT = 2
STORED = "stored"
_MOST_SIGNATURES = 31  # of others; each who trusts a store that goes round adds one


class StoredForm(msgspec.Struct, omit_defaults=True):
    """The manifest of a stored snapshot.

    ``status`` is ``"stored"``, or says why this cannot be restored: ``"refused: …"`` when it was
    not written, ``"changed before stored: …"`` when an object changed meanwhile. ``files`` maps the
    file name of each piece of code to the name that it has once restored. ``signatures`` are those
    of the users who trust it: its author, and who said so of a store from elsewhere.
    """

    status: str
    digest: str = ""
    python: str = ""
    code: Blob | None = None
    references: Blob | None = None
    sources: Blob | None = None
    buffers: list[Blob] = []
    files: dict[str, str] = {}
    signatures: list[str] = []
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
    pickler = ReferencePickler(file, EMPTY, keep, references)
    pickler.dump([memory.set_apart(r) for r in references])
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
    form.signatures = [trust.sign(_statement(form))]
    return form


def survives(target: object) -> bool:
    """Whether one object can be written and loaded again."""
    file = io.BytesIO()
    try:
        ReferencePickler(file, EMPTY, lambda _: True).dump(target)
        Loader(file.getbuffer(), ()).load_plain()
    except Exception:  # the object's own code
        return False
    return True


def _statement(form: StoredForm) -> bytes:
    """What a signature covers: every byte that is loaded, and what the code is called."""
    parts = [
        "warmcell snapshot",
        form.format,
        form.python,
        form.digest,
        [
            None if b is None else [b.sha256, b.size]
            for b in (form.code, form.references, form.sources)
        ],
        [[b.sha256, b.size] for b in form.buffers],
        sorted(form.files.items()),
    ]
    return json.dumps(parts).encode()


def trusted(form: StoredForm) -> bool:
    """Whether this user's signature is among those of a snapshot. Reads no blob: what they are is
    checked when they are loaded. Raises :class:`SnapshotError` for a key that cannot be read."""
    return trust.signed(_statement(form), form.signatures)


def endorse(form: StoredForm, blobs: Path) -> StoredForm:
    """The manifest with this user's signature. From now on this user's kernels run its code.

    Raises :class:`SnapshotError` for what cannot be restored, or where a byte differs from what its
    author signed.
    """
    _check_format(form)
    for blob in form.blobs:
        check(blob, blobs)
    mine = trust.sign(_statement(form))
    others = [one for one in form.signatures if one != mine][-_MOST_SIGNATURES:]
    return msgspec.structs.replace(form, signatures=[*others, mine])


def _shown(files: Iterable[str], digest: str) -> dict[str, str]:
    """The names that code has in tracebacks of a restored snapshot."""
    shown: dict[str, str] = {}
    for number, name in enumerate(files, 1):
        base = os.path.basename(name)
        known = "cell" if "ipykernel" in name or "ipython-input" in name else base.strip("<>")
        shown[name] = f"<{known} #{number} of snapshot {digest[:8]}>"
    return shown


def restore(form: StoredForm, blobs: Path) -> dict[str, object]:
    """Load a stored snapshot in a fresh process and return its roots.

    Large arrays are private maps of their files: read at first touch, writable, shared between
    processes. Raises :class:`SnapshotError` for what is not signed by this user, was written by
    another Python, or is incomplete.
    """
    _check_format(form)
    if form.python != python_version():
        raise SnapshotError(
            f"This snapshot was written by {form.python}, and this is {python_version()}.",
            hint="Deploy the pipeline again from its notebook, or start a kernel of that Python.",
        )
    trust.verify(_statement(form), form.signatures)
    assert form.code is not None
    assert form.references is not None
    stream, listed = read(form.code, blobs), read(form.references, blobs)
    sources = read(form.sources, blobs) if form.sources is not None else b"{}"
    buffers = [mapped(blob, blobs) for blob in form.buffers]
    _register_sources(form, sources)  # all is checked before anything is used
    return _load(form, stream, listed, buffers)


def rehearse(form: StoredForm, blobs: Path) -> None:
    """Load what this process has just written, and drop it. Raises :class:`SnapshotError`.

    Only for one's own: nothing is verified, which for large arrays would take longer than the rest.
    """
    _check_format(form)
    assert form.code is not None
    assert form.references is not None
    parts = [read(b, blobs) for b in (form.code, form.references)]
    buffers = []
    for blob in form.buffers:
        with (blobs / blob.digest).open("rb") as file:
            buffers.append(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)))
    _load(form, parts[0], parts[1], buffers)


def _load(
    form: StoredForm, stream: bytes, listed: bytes, buffers: Sequence[memoryview]
) -> dict[str, object]:
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


def _check_format(form: StoredForm) -> None:
    if not form.restorable or form.code is None or form.references is None:
        raise SnapshotError(f"This snapshot cannot be restored ({form.status}).")
    if form.format != FORMAT:
        raise SnapshotError(
            "This snapshot was stored by another version of Warmcell.",
            hint="Deploy the pipeline again from its notebook.",
        )


def _register_sources(form: StoredForm, data: bytes) -> None:
    """Let tracebacks of restored code show its lines."""
    sources: dict[str, str] = json.loads(data)
    for name, text in sources.items():
        shown = form.files.get(name)
        if shown and text:
            linecache.cache[shown] = (len(text), None, text.splitlines(True), shown)
