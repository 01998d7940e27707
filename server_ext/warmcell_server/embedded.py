"""The same host inside a kernel that no Jupyter server with Warmcell started.

It runs on a thread and event loop of its own, listens on 127.0.0.1 only, on a port that it
remembers per store, and asks for a token of its own (in ``embedded.json`` of the store, mode 0600).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from pathlib import Path
from typing import Any

import msgspec
from tornado import web
from tornado.httpserver import HTTPServer

from warmcell.errors import LinkError
from warmcell_server.host import Host, find_home

__all__ = ["EmbeddedHost"]

CALLBACK_VARIABLE = "WARMCELL_CALLBACK_ALLOW"  # what Warmcell.callback_allow is in a server
START_SECONDS = 60.0
CLOSE_SECONDS = 30.0

log = logging.getLogger("warmcell.embedded")


class _Memory(msgspec.Struct):
    """What an embedded host remembers of itself in the store's folder."""

    port: int
    token: str


class EmbeddedHost:
    """A host on a thread of this process. :meth:`start` makes one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = ""
        self.token = ""
        self.connection_file: Path
        allow = os.environ.get(CALLBACK_VARIABLE, "").replace(",", " ").split()
        self.host = Host(home, mode="embedded", callback_allow=allow)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="warmcell-host", daemon=True)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event
        self._closed = False

    @classmethod
    def start(cls, folder: Path) -> EmbeddedHost:
        """Start a host for notebooks in ``folder`` and return it once it listens.

        Raises:
            LinkError: it did not start in time.
            StoreError: the store cannot be opened.
        """
        embedded = cls(find_home(folder))
        embedded._thread.start()
        if not embedded._ready.wait(START_SECONDS):
            raise LinkError(f"The embedded host did not start within {START_SECONDS:g} s.")
        if embedded._failure is not None:
            raise embedded._failure
        return embedded

    def close(self) -> None:
        """Stop serving and close the store. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        memory = self._remember()
        listening = _bind(memory.port)
        port = listening.getsockname()[1]
        self.token = memory.token
        self._write(_Memory(port, memory.token))
        self.url = f"http://127.0.0.1:{port}/warmcell/"
        try:
            self.connection_file = await self.host.start(url=self.url, base_path="/warmcell/")
        except BaseException:
            listening.close()
            raise
        server = HTTPServer(application(self.host, memory.token), max_buffer_size=1 << 30)
        server.add_socket(listening)
        self._ready.set()
        await self._stop.wait()
        server.stop()
        await self.host.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), 5)

    def _remember(self) -> _Memory:
        try:
            return msgspec.json.decode((self.home / "embedded.json").read_bytes(), type=_Memory)
        except (OSError, msgspec.DecodeError):
            return _Memory(0, secrets.token_urlsafe(32))

    def _write(self, memory: _Memory) -> None:
        path = self.home / "embedded.json"
        temporary = path.with_suffix(f".{os.getpid()}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(memory))
        temporary.replace(path)


def _bind(port: int) -> socket.socket:
    """Listen on the remembered port, or on a free one when another process has it."""
    try:
        listening = socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError:
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    listening.setblocking(False)
    return listening


def application(host: Host, token: str) -> web.Application:
    """The Tornado application of an embedded host: Jupyter server's settings, our routes."""
    from jupyter_server.auth.authorizer import AllowAllAuthorizer
    from jupyter_server.auth.identity import IdentityProvider
    from traitlets.config import Config

    from warmcell_server.handlers import routes

    provider = IdentityProvider(config=Config(), log=log)
    provider.token = token
    settings: dict[str, Any] = {
        "warmcell": host,
        "base_url": "/",
        "identity_provider": provider,
        "authorizer": AllowAllAuthorizer(config=Config(), log=log),
        "cookie_secret": secrets.token_bytes(32),
        "allow_origin": "",
        "allow_origin_pat": "",
        "allow_credentials": False,
        "allow_remote_access": False,
        "local_hostnames": ["localhost"],
        "disable_check_xsrf": False,
        "xsrf_cookies": True,
        "headers": {},
        "login_url": "/login",
        "allow_unauthenticated_access": False,
        "log_function": lambda handler: None,
    }
    return web.Application(routes("/"), **settings)
