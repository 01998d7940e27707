"""Taking in an export, or another store: what is here already stays as it is.

The folder may be of anybody: names lead nowhere else, each blob must have the content that its name
says, each value the type of its column, and what is signed by another user stays foreign, so that
no code of it runs before somebody trusts it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import duckdb
import msgspec

from warmcell import __version__
from warmcell.errors import QueryError, StoreError, StoreTooNew
from warmcell.ids import new_id

from .exporting import BLOBS, FORMAT, MANIFEST, Manifest
from .files import Layout
from .merging import Merged, merge

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["fetched", "opened", "take_in"]

_DIGEST = re.compile(r"[0-9a-f]{32}")
_PIECE = 1 << 20
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@contextlib.contextmanager
def opened(layout: Layout, source: str, known: int, stage: Path) -> Iterator[tuple[Path, Manifest]]:
    """Give the folder of an export and its manifest; of a store, an export of it in ``stage``.

    ``known`` is the schema version of this Warmcell. Raises :class:`StoreTooNew` for a newer one,
    and :class:`QueryError` for a folder that is neither.
    """
    folder = Path(source)
    if not folder.is_absolute():
        raise QueryError(
            f"The folder {source!r} is not absolute.", hint="Name it from the root on."
        )
    if folder.resolve() == layout.home.resolve():
        raise QueryError(f"{source!r} is this very store.")
    if (folder / "store.duckdb").is_file():
        folder = _exported(folder, stage / "other")
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise QueryError(
            f"{source!r} is neither an export nor a store: it has no {MANIFEST}.",
            hint="Make one with: warmcell store export FOLDER",
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise QueryError(f"The {MANIFEST} of {source!r} cannot be read: {error}.") from error
    if manifest.format > FORMAT or manifest.schema_version > known:
        raise StoreTooNew(
            f"The export {source!r} was made by Warmcell {manifest.warmcell}, with schema version "
            f"{manifest.schema_version}; this Warmcell {__version__} knows {known}.",
            found=manifest.schema_version,
            known=known,
            hint="Upgrade Warmcell here first.",
        )
    yield folder, manifest


def fetched(folder: Path, manifest: Manifest, stage: Path, blobs: Path) -> dict[str, Any]:
    """Copy the tables into ``stage``, where DuckDB may read them, and the blobs that are not here
    yet into ``blobs``; return how many ``blobs`` of how many ``bytes`` came, and how many are
    ``damaged``: those stay out. Raises :class:`StoreError` where the disk refuses."""
    try:
        for table in manifest.tables:
            if re.fullmatch(r"[a-z_]+", table):
                name = f"{table}.parquet"
                with _plain(folder / name) as data, open(stage / name, "wb") as copy:
                    shutil.copyfileobj(data, copy, _PIECE)
        return _blobs(folder / BLOBS, blobs)
    except OSError as error:
        raise StoreError(
            f"The import of {str(folder)!r} failed: {error.strerror or error}.",
            hint="Run it again: what came already stays.",
        ) from error


def take_in(
    do: Callable[[Callable[[DuckDBPyConnection], Merged]], Merged],
    stage: Path,
    manifest: Manifest,
    blobs: Path,
) -> Merged:
    """Put the rows of the files in ``stage`` into the tables. ``do`` does each part of that, always
    with the writer's connection and in a transaction of its own.

    Raises :class:`QueryError` for files that do not have what they should.
    """
    present = {path.name for path in blobs.iterdir() if _DIGEST.fullmatch(path.name)}
    return merge(lambda part: do(partial(_checked, part)), stage, manifest, present)


def _checked(
    part: Callable[[DuckDBPyConnection], Merged], connection: DuckDBPyConnection
) -> Merged:
    try:
        return part(connection)
    except (
        duckdb.DataError,
        duckdb.ConstraintException,  # two rows of one id, or one without it
        duckdb.ProgrammingError,
        duckdb.InvalidInputException,
        duckdb.IOException,
    ) as error:
        if isinstance(error, duckdb.IOException) and "No space" in str(error):
            raise
        raise QueryError(
            f"The export is damaged: {error}",
            hint="What came before that stays. Import it again once it is whole.",
        ) from error


def _exported(home: Path, folder: Path) -> Path:
    """Export another store, which is opened for that, or asked if it is open."""
    from .facade import Store

    store = Store.open(home, host_id=new_id(), label="import")
    try:
        return Path(store.export(str(folder)).result()["folder"])
    finally:
        store.close()


def _blobs(source: Path, blobs: Path) -> dict[str, Any]:
    count = size = damaged = 0
    names = sorted(os.listdir(source)) if source.is_dir() and not source.is_symlink() else []
    for name in names:
        if not _DIGEST.fullmatch(name):
            damaged += 1
            continue
        if (blobs / name).exists():
            os.utime(blobs / name)  # retention goes by age
            continue
        part = blobs / f".{name}.import"
        try:
            try:
                data = _plain(source / name)
            except OSError:
                damaged += 1
                continue
            taken = _copied(data, part)
            if taken[0] == name:
                part.replace(blobs / name)
                count, size = count + 1, size + taken[1]
            else:
                damaged += 1
        finally:
            part.unlink(missing_ok=True)
    return {"blobs": count, "bytes": size, "damaged": damaged}


def _copied(source: BinaryIO, target: Path) -> tuple[str, int]:
    """Copy a file, and close it; return the digest of what was copied, and its bytes."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as copy, source:
        while piece := source.read(_PIECE):
            digest.update(piece)
            copy.write(piece)
            size += len(piece)
    return digest.hexdigest()[:32], size


def _plain(path: Path) -> BinaryIO:
    """Open a file that is no link. Raises ``OSError``."""
    descriptor = os.open(path, _READ)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(0, "it is no file", str(path))
    return os.fdopen(descriptor, "rb")
