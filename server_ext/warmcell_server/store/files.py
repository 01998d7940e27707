"""The folder of a store: its layout, its permissions, and what kind of disk it is on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from warmcell.errors import StoreError

__all__ = ["Layout", "network_notice", "prepare"]

_NETWORK_NAMES = (
    "9p afs beegfs ceph cifs fuse.cephfs fuse.gcsfuse fuse.glusterfs fuse.rclone fuse.s3fs "
    "fuse.sshfs gfs2 gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs smb2 smb3 smbfs virtiofs"
)
_NETWORK = frozenset(_NETWORK_NAMES.split())


@dataclass(frozen=True)
class Layout:
    """Where everything of a store is."""

    home: Path

    @property
    def database(self) -> Path:
        """The DuckDB file. Nothing but DuckDB may ever open it: closing another handle on it
        drops DuckDB's lock, and a second process then writes over it unseen."""
        return self.home / "store.duckdb"

    @property
    def owner_lock(self) -> Path:
        """Held by the owner for its life; empty."""
        return self.home / "owner.lock"

    @property
    def owner_card(self) -> Path:
        """JSON: who the owner is and where its socket is."""
        return self.home / "owner.json"

    @property
    def hosts(self) -> Path:
        """One locked file per live host."""
        return self.home / "hosts"

    @property
    def spool(self) -> Path:
        """JSON lines that are not yet in the database."""
        return self.home / "spool"

    @property
    def blobs(self) -> Path:
        """Content-addressed bytes, each in a file that its digest names."""
        return self.home / "blobs"

    @property
    def export(self) -> Path:
        """The one folder that DuckDB itself may write copies to."""
        return self.home / "export"


def prepare(home: Path) -> Layout:
    """Create what is missing of a store's folder, for this user alone.

    Raises :class:`StoreError` if it cannot be created or written to.
    """
    layout = Layout(home.absolute())
    try:
        layout.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if layout.home.stat().st_mode & 0o077:
            layout.home.chmod(0o700)
        for folder in (layout.hosts, layout.spool, layout.blobs, layout.export):
            folder.mkdir(mode=0o700, exist_ok=True)
        ignore = layout.home / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The store folder {str(layout.home)!r} cannot be used: {error.strerror or error}.",
            hint="Set WARMCELL_HOME to a folder that you can write to.",
        ) from error
    return layout


def network_notice(home: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str | None:
    """Return a sentence if ``home`` is on a network file system, else None.

    ``mounts`` is the kernel's table of mounts; where there is none, nothing is known.
    """
    try:
        table = mounts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    place = os.path.realpath(home)
    best, kind = "", ""
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = fields[4].replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    if kind not in _NETWORK:
        return None
    return (
        f"The store {place!r} is on a network file system ({kind}), where file locks and "
        "crash safety are not sure. Set WARMCELL_HOME to a folder on a local disk."
    )
