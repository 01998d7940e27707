"""A copy of the store as Parquet files that other tools read, made while the server runs.

An export is a folder: ``manifest.json``, one Parquet file per table, and in ``blobs`` the files
that the rows refer to. All tables are of one moment. It appears under its name once it is whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import __version__
from warmcell.errors import StoreError, UsageError
from warmcell.ids import now, rfc3339

from .files import Layout
from .retention import referenced

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["BLOBS", "FORMAT", "MANIFEST", "Manifest", "export", "staging", "tables"]

FORMAT = 1
MANIFEST = "manifest.json"
BLOBS = "blobs"

# What is surely a file. A manifest's digests may be halves of longer ones.
_NEEDED = """
SELECT unnest(files ->> '$[*].blob') FROM data.artifact_versions WHERE status = 'stored'
UNION SELECT digest FROM data.artifacts WHERE kind = 'output' AND digest IS NOT NULL
"""

_DIGEST = re.compile(r"[0-9a-f]{32}")
_OWN = frozenset({"spool_offsets", "schema_version"})  # of this very file


class Manifest(msgspec.Struct):
    """What an export says of itself. ``tables`` are numbers of rows; ``blobs`` is None where the
    files were left out."""

    format: int
    schema_version: int
    warmcell: str
    created_at: str
    tables: dict[str, int]
    blobs: int | None = None


def export(
    cursor: DuckDBPyConnection, layout: Layout, to: str | None, *, blobs: bool
) -> dict[str, Any]:
    """Write everything to the folder ``to``, which must not be there or be empty; by default to
    a new one inside the store. Without ``blobs`` the rows only.

    Returns ``folder``, ``tables`` (rows of each), ``blobs``, their ``bytes`` with those of the
    tables, and ``missing``: files that were lost before. Raises :class:`UsageError` for a folder
    that cannot be taken, and :class:`StoreError` where the disk refuses.
    """
    target = _target(layout, to)
    near = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        with staging(layout) as stage:
            near.mkdir(mode=0o700)
            try:
                found = _fill(cursor, layout, stage, near, blobs=blobs)
                if target.exists():
                    target.rmdir()
                near.rename(target)
            except BaseException:
                shutil.rmtree(near, ignore_errors=True)
                raise
    except OSError as error:
        raise StoreError(
            f"The export to {str(target)!r} failed: {error.strerror or error}.",
            hint="Nothing of it was left behind.",
        ) from error
    return {"folder": str(target), **found}


@contextlib.contextmanager
def staging(layout: Layout) -> Iterator[Path]:
    """Give a folder that DuckDB may read and write, and remove it afterwards."""
    stage = layout.export / f".{secrets.token_hex(8)}"
    stage.mkdir(mode=0o700)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def tables(cursor: DuckDBPyConnection) -> list[str]:
    """The tables that are exported, by name."""
    rows = cursor.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'data' ORDER BY table_name"
    ).fetchall()
    return [name for (name,) in rows if name not in _OWN]


def _target(layout: Layout, to: str | None) -> Path:
    if to is None:
        stamp = rfc3339(now()).translate({ord(sign): None for sign in "-:."})
        return layout.export / f"{stamp}-{secrets.token_hex(2)}"
    target = Path(to)
    if not target.is_absolute():
        raise UsageError(f"The folder {to!r} is not absolute.", hint="Name it from the root on.")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{to!r} is no folder.", hint="Name one that is not there yet.")
    if target.exists() and any(target.iterdir()):
        raise UsageError(
            f"The folder {to!r} is not empty.", hint="Name one that is not there yet, or empty."
        )
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {str(target.parent)!r} to make it in.")
    blobs = layout.blobs.resolve()
    if blobs in (target.resolve(), *target.resolve().parents):
        raise UsageError("The folder of the store's own files takes no exports.")
    return target


def _fill(
    cursor: DuckDBPyConnection, layout: Layout, stage: Path, folder: Path, *, blobs: bool
) -> dict[str, Any]:
    rows: dict[str, int] = {}
    size = 0
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    version = cursor.execute("SELECT max(version) FROM data.schema_version").fetchall()[0][0]
    for table in tables(cursor):
        path = stage / f"{table}.parquet"
        quoted = str(path).replace("'", "''")
        rows[table] = cursor.execute(
            f"COPY data.{table} TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)"
        ).fetchall()[0][0]
        size += path.stat().st_size
        shutil.move(path, folder / path.name)
    named = referenced(cursor, layout.blobs) if blobs else set()
    needed = {digest for (digest,) in cursor.execute(_NEEDED).fetchall()} if blobs else set()
    cursor.execute("COMMIT")
    # A store may have come from elsewhere: what is no digest leads nowhere.
    wanted = sorted(filter(_DIGEST.fullmatch, named))
    count, missing = 0, 0
    if blobs:
        # What is young is not swept, so that none goes while the others are copied.
        for digest in wanted:
            with contextlib.suppress(OSError):
                os.utime(layout.blobs / digest)
        place = folder / BLOBS
        place.mkdir(mode=0o700)
        for digest in wanted:
            try:
                shutil.copyfile(layout.blobs / digest, place / digest)
            except FileNotFoundError:
                missing += digest in needed
                continue
            count += 1
            size += (place / digest).stat().st_size
    manifest = Manifest(
        FORMAT, version, __version__, rfc3339(now()), rows, count if blobs else None
    )
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")
    return {"tables": rows, "blobs": count, "bytes": size, "missing": missing}
