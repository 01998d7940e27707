"""The faults, each at a process or at a disk. Times are seconds."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

__all__ = ["cut_links", "full_disk", "kernel_of", "stopped"]

_PIDFD_GETFD = 438  # the same on every architecture of Linux


def cut_links(pid: int) -> int:
    """Shut down every link of the server ``pid`` to a kernel, as if the line between them broke:
    neither end did it. Returns how many there were."""
    libc = ctypes.CDLL(None, use_errno=True)
    cut = 0
    handle = os.pidfd_open(pid)
    try:
        for one in psutil.Process(pid).net_connections("unix"):
            if Path(str(one.laddr)).name != "link" or one.fd < 0:
                continue
            fd = libc.syscall(_PIDFD_GETFD, handle, one.fd, 0)
            if fd < 0:
                raise OSError(ctypes.get_errno(), "The server's sockets cannot be reached")
            with socket.socket(fileno=fd) as link, contextlib.suppress(OSError):
                if not link.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    link.shutdown(socket.SHUT_RDWR)
                    cut += 1
    finally:
        os.close(handle)
    return cut


@contextmanager
def full_disk(pid: int, room: int) -> Iterator[None]:
    """Let no file of the server ``pid`` grow beyond ``room`` bytes: to it the disk is full.
    Children that were started meanwhile have inherited that, and are let go with it."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            for child in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT where the process is still there."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def kernel_of(pid: int) -> str:
    """The id of the kernel that the process ``pid`` is. Raises LookupError."""
    for part in psutil.Process(pid).cmdline():
        name = Path(part).name
        if name.startswith("kernel-") and name.endswith(".json"):
            return name.removeprefix("kernel-").removesuffix(".json")
    raise LookupError(f"process {pid} is no kernel")
