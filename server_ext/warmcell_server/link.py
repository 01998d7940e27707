"""The host's end of the link: a private socket on which kernels register as workers.

A Unix socket in a short 0700 folder, the peer's uid checked; TCP on the loopback interface with a
secret where there are no Unix sockets. Kernels find it through a connection file (mode 0600) in
Jupyter's runtime folder, named after this process, whose path is also in ``WARMCELL_CONNECTION``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from jupyter_core.paths import jupyter_runtime_dir

from warmcell import wire
from warmcell.wire import LENGTH, MAX_FRAME
from warmcell_server.workers import Worker

__all__ = ["CONNECTION_VARIABLE", "LinkServer"]

CONNECTION_VARIABLE = "WARMCELL_CONNECTION"
HELLO_SECONDS = 10.0

log = logging.getLogger("warmcell.link")


class LinkServer:
    """Listens for workers. All methods belong to the event loop that ran :meth:`start`."""

    def __init__(
        self,
        host_id: str,
        *,
        welcome: Callable[[], wire.Welcome],
        attached: Callable[[Worker], None],
        received: Callable[[Worker, wire.ToHost], None],
        detached: Callable[[Worker], None],
    ) -> None:
        self.host_id = host_id
        self.welcome = welcome
        self.attached = attached
        self.received = received
        self.detached = detached
        self.workers: set[Worker] = set()
        self.secret: str | None = None
        self.connection_file: Path | None = None
        self._connections: set[_WorkerProtocol] = set()
        self._folder: Path | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> Path:
        """Listen, write the connection file and return its path."""
        loop = asyncio.get_running_loop()
        if hasattr(socket, "AF_UNIX"):
            # Not below the store: socket paths over about 107 bytes fail.
            self._folder = Path(tempfile.mkdtemp(prefix="warmcell-", dir=_short_folder()))
            path = str(self._folder / "link")
            self._server = await loop.create_unix_server(lambda: _WorkerProtocol(self), path)
            os.chmod(path, 0o600)
            connection = wire.Connection(self.host_id, os.getpid(), path=path)
        else:
            self.secret = secrets.token_urlsafe(32)
            self._server = await loop.create_server(lambda: _WorkerProtocol(self), "127.0.0.1", 0)
            port = self._server.sockets[0].getsockname()[1]
            connection = wire.Connection(self.host_id, os.getpid(), port=port, secret=self.secret)
        self.connection_file = self._write(connection)
        return self.connection_file

    def _write(self, connection: wire.Connection) -> Path:
        folder = Path(jupyter_runtime_dir())
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"warmcell-{os.getpid()}.json"
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(connection))
        return path

    async def close(self) -> None:
        """Stop listening, end every connection and remove the files. Harmless when repeated."""
        if self.connection_file is not None:
            self.connection_file.unlink(missing_ok=True)
            self.connection_file = None
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        if server is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 5)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class _WorkerProtocol(asyncio.Protocol):
    """Cuts the byte stream of one connection into frames."""

    transport: asyncio.Transport

    def __init__(self, server: LinkServer) -> None:
        self.server = server
        self.worker: Worker | None = None
        self._buffer = bytearray()
        self._hello: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not _same_user(transport):
            log.warning("A process of another user tried to connect as a worker; refused.")
            transport.abort()
            return
        self.server._connections.add(self)
        loop = asyncio.get_running_loop()
        self._hello = loop.call_later(HELLO_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        start, end = 0, len(buffer)
        view = memoryview(buffer)
        try:
            while end - start >= LENGTH:
                length = int.from_bytes(view[start : start + LENGTH])
                if length > MAX_FRAME:
                    raise msgspec.DecodeError(f"a frame of {length} bytes")
                stop = start + LENGTH + length
                if stop > end:
                    break
                message = wire.to_host(view[start + LENGTH : stop])
                start = stop
                self._message(message)
        except msgspec.DecodeError as error:
            log.error("A worker sent what is no message (%s); its link is closed.", error)
            start = end
            self.transport.abort()
        finally:
            view.release()
        if buffer is self._buffer:
            del self._buffer[:start]
        elif start < end:
            self._buffer += data[start:]

    def _message(self, message: wire.ToHost) -> None:
        if self.worker is not None:
            try:
                self.server.received(self.worker, message)
            except Exception:
                # An outermost edge: all that the worker executes would be lost with its link.
                log.exception("A message of %s could not be handled", self.worker.label())
        elif isinstance(message, wire.Hello):
            self._greet(message)
        else:
            self.transport.abort()

    def _greet(self, hello: wire.Hello) -> None:
        if self._hello is not None:
            self._hello.cancel()
        secret = self.server.secret
        if hello.protocol != wire.PROTOCOL:
            reason = (
                f"The kernel's Warmcell speaks link protocol {hello.protocol}, the server's "
                f"{wire.PROTOCOL}: install the same version in both, then restart both."
            )
        elif secret is not None and not hmac.compare_digest(secret, hello.secret or ""):
            reason = "The secret is not this host's."
        else:
            self.worker = Worker(hello, self.transport)
            self.server.workers.add(self.worker)
            self.worker.send(self.server.welcome())
            self.server.attached(self.worker)
            return
        self.transport.write(wire.frame(wire.Refused(reason)))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._hello is not None:
            self._hello.cancel()
        self.server._connections.discard(self)
        worker, self.worker = self.worker, None
        if worker is not None:
            self.server.workers.discard(worker)
            worker.gone = True
            self.server.detached(worker)


def _short_folder() -> str:
    """Return a folder for sockets whose path is short: the runtime folder, else the system's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and len(runtime) < 60 and os.access(runtime, os.W_OK):
        return runtime
    temporary = tempfile.gettempdir()
    return temporary if len(temporary) < 60 else "/tmp"  # noqa: S108 - mkdtemp makes it private


def _same_user(transport: asyncio.Transport) -> bool:
    """Whether the peer of a Unix socket runs as our user; true where it cannot be asked."""
    connection = transport.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)
    if connection is None or option is None or connection.family != socket.AF_UNIX:
        return True
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, size))
    return bool(uid == os.getuid())
