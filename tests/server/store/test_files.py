"""Locks, and the kind of disk that a store is on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from warmcell_server.store.files import network_notice
from warmcell_server.store.locks import FileLock, is_held


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    """The second gets it only after the first has released it; both may release twice."""
    path = tmp_path / "a.lock"
    assert not is_held(path)
    first, second = FileLock(path), FileLock(path)
    assert first.take(b"mine")
    assert first.held
    assert is_held(path)
    assert not second.take(patience=0.02)
    assert path.read_bytes() == b"mine"
    first.release()
    first.release()
    assert second.take()
    second.release()
    assert not is_held(path)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_a_lock(tmp_path: Path) -> None:
    """A child that outlives the process would otherwise keep the store owned by nobody."""
    lock = FileLock(tmp_path / "a.lock")
    assert lock.take()
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b".")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert is_held(lock.path)
    lock.release()
    assert not is_held(lock.path)
    os.write(done[1], b".")
    os.waitpid(child, 0)
    for fd in (*ready, *done):
        os.close(fd)


def test_a_network_file_system_is_named(tmp_path: Path) -> None:
    """The innermost mount of the folder counts; a local one says nothing."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/vda rw\n"
        "23 22 0:40 / /home/a\\040b rw shared:1 - nfs4 server:/x rw\n"
        "24 23 0:41 / /home/a\\040b/scratch rw - xfs /dev/vdb rw\n"
        "nonsense\n"
    )
    notice = network_notice(Path("/home/a b/project/.warmcell"), mounts)
    assert notice is not None
    assert "nfs4" in notice
    assert "WARMCELL_HOME" in notice
    assert network_notice(Path("/home/a b/scratch/x"), mounts) is None
    assert network_notice(Path("/var"), mounts) is None
    assert network_notice(Path("/var"), tmp_path / "none") is None
