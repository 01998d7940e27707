"""This kernel's place in Warmcell: which host it belongs to, and the one link to it.

A kernel finds its host, in this order, by ``WARMCELL_CONNECTION`` (set by the server extension for
every kernel it starts), by the connection file of the process that started it, or by starting a
host of its own inside the kernel.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.connection import Connection, LinkStatus, connect
from warmcell.errors import LinkError, StoreFull, WarmcellError, error_from_problem
from warmcell.records import RunDetail, RunRecord
from warmcell.serving import Binding, Serving

if TYPE_CHECKING:
    from warmcell.runner.execution import Execution

__all__ = ["Kernel", "LinkRecorder", "control", "kernel", "notebook", "status"]

ACKNOWLEDGE_SECONDS = 10.0
RECONNECT_SECONDS = 60.0

log = logging.getLogger("warmcell.kernel")


class Kernel:
    """Owns the link of this process. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.serving = Serving()
        self._notice: str | None = None
        self._said: str | None = None
        self._announced: dict[str, wire.Deploy] = {}
        self._renewed: dict[str, wire.Deploy] = {}  # what follows a binding, by the key of that
        self._elsewhere: dict[str, Binding] = {}  # deployed from here, served from other kernels
        self._lock = threading.RLock()
        self._link: Connection | None = None
        self._embedded: Any = None
        self._closing = False

    # -- the link ----------------------------------------------------------------------------

    def link(self) -> Connection:
        """Return the link, connecting first where there is none. Raises LinkError."""
        with self._lock:
            self._closing = False
            link = self._link
            if link is not None and not link.closed.is_set():
                return link
            link = self._connect()
            self._announce(link)  # before anybody else gets to use the link
            self._link = link
            return link

    def _connect(self) -> Connection:
        errors = []
        for file in _connection_files():
            try:
                return self._connect_to(file)
            except LinkError as error:
                errors.append(str(error))
        if self._embedded is None:
            from warmcell_server.embedded import EmbeddedHost

            self._embedded = EmbeddedHost.start(Path.cwd())
            self._notice = (
                "Warmcell: this kernel has no Jupyter server with Warmcell, so it hosts itself at "
                f"{self._embedded.url} (store: {self._embedded.home})."
            )
        try:
            return self._connect_to(self._embedded.connection_file)
        except LinkError as error:
            raise LinkError("; ".join([*errors, str(error)])) from error

    def _connect_to(self, file: Path) -> Connection:
        return connect(
            file,
            kernel_id=_kernel_id(),
            notebook=notebook(),
            serving=self.serving,
            ended=self._ended,
        )

    def _ended(self) -> None:
        """The link closed by itself: reconnect when there is something to serve."""
        if not self._closing and self.serving.holds():
            threading.Thread(target=self._reconnect, name="warmcell-reconnect", daemon=True).start()

    def _reconnect(self) -> None:
        pause, until = 0.1, time.monotonic() + RECONNECT_SECONDS
        while time.monotonic() < until and not self._closing:
            try:
                self.link()
            except WarmcellError as error:
                log.info("Reconnecting: %s", error)
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return

    def status(self) -> LinkStatus:
        """Where the host is; mode "none" before the first connection."""
        link = self._link
        return link.status if link is not None else LinkStatus("none")

    def close(self) -> None:
        """Let go of the host: what this kernel served is no longer served. Harmless when
        repeated."""
        self._closing = True
        with self._lock:
            link, self._link = self._link, None
            embedded, self._embedded = self._embedded, None
        if link is not None:
            link.close()
        self.serving.close()
        self._announced.clear()
        self._elsewhere.clear()
        if embedded is not None:
            embedded.close()

    def say_where(self) -> None:
        """Tell the user in one line, once, that this kernel had to start a host of its own."""
        with self._lock:
            notice, said = self._notice, self._said
            self._said = notice or said
        if notice is not None and notice != said:
            print(notice)

    # -- asking the host -----------------------------------------------------------------------

    def control(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        link: Connection | None = None,
    ) -> Any:
        """Call the control plane; ``path`` is relative to ``…/warmcell/`` and may have a query.

        Returns the decoded JSON of the answer. Raises the error of :mod:`warmcell.errors` that
        the host's problem names. With ``link`` no other is made: what goes on in the background
        must not bring back a host that was let go.
        """
        link = link or self.link()
        return _told(link.ask(_request(method, path, body, headers), timeout))

    async def acontrol(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = 30.0,
    ) -> Any:
        """:meth:`control` for an event loop."""
        link = self._link
        if link is None or link.closed.is_set():
            link = await asyncio.to_thread(self.link)
        return _told(await link.ask_async(_request(method, path, body, headers), seconds))

    def announce(self, body: wire.Deploy) -> dict[str, Any]:
        """Have the host serve a binding of this kernel; returns the deployment as JSON."""
        deployed: dict[str, Any] = self.control("POST", "api/v1/deployments", body)
        self._announced[body.name] = body
        self._elsewhere.pop(body.name, None)
        self.link().follow_holdings()
        return deployed

    def _announce(self, link: Connection) -> None:
        """Tell a host that was just connected to what this kernel already serves."""
        link.follow_holdings()
        for name, body in list(self._announced.items()):
            if body.key not in self.serving and body.key in self._renewed:
                body = self._announced[name] = self._newest(body)
            if body.key not in self.serving:
                del self._announced[name]
                continue
            known = msgspec.structs.replace(body, again=True, overtake=False)
            data = msgspec.json.encode(known)
            link.ask(lambda n, d=data: wire.Request(n, "POST", "api/v1/deployments", d), 30.0)  # type: ignore[misc]

    def served(self) -> list[str]:
        """Names of the deployments that this kernel serves, or that were deployed from here to
        kernels of their own."""
        own = [
            name
            for name, body in list(self._announced.items())
            if self._newest(body).key in self.serving
        ]
        return own + list(self._elsewhere)

    def keep(self, name: str, binding: Binding) -> None:
        """Remember what was deployed from here to a kernel of its own."""
        self._announced.pop(name, None)  # the host says when to forget what was served from here
        self._elsewhere[name] = binding

    def binding(self, name: str) -> Binding | None:
        """What this kernel deployed last under ``name``, while it holds or remembers that."""
        if (kept := self._elsewhere.get(name)) is not None:
            return kept
        body = self._announced.get(name)
        return self.serving.find(self._newest(body).key) if body is not None else None

    def renewed(self, key: str, newer: Binding) -> None:
        """Remember what takes the place of binding ``key``, for when that is dropped."""
        for body in (*self._announced.values(), *self._renewed.values()):
            if body.key == key and newer.models is not None:
                told = newer.models.told
                self._renewed[key] = msgspec.structs.replace(body, key=newer.key, model=told)
                return

    def _newest(self, body: wire.Deploy) -> wire.Deploy:
        """What is held now of what was announced as ``body``."""
        while body.key not in self.serving and body.key in self._renewed:
            body = self._renewed[body.key]
        return body

    def recorder(self) -> LinkRecorder:
        """Return a recorder for runs that this kernel starts. Raises LinkError without a host."""
        return LinkRecorder(self.link())


def _request(
    method: str, path: str, body: object | None, headers: Mapping[str, str] | None
) -> Callable[[int], wire.Request]:
    data = None if body is None else msgspec.json.encode(body, enc_hook=_plain)
    sent = dict(headers) if headers else None
    return lambda number: wire.Request(number, method, path, data, sent)


def _told(reply: wire.Reply) -> Any:
    """The decoded JSON of a reply. Raises the error that it names."""
    decoded = msgspec.json.decode(reply.body) if reply.body else None
    if reply.status >= 400:
        raise error_from_problem(reply.status, decoded)
    return decoded


class LinkRecorder:
    """Records a run that this kernel started itself, through the host."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self.blobs: Path | None = Path(link.status.blobs)

    def start(self, run: RunRecord) -> None:
        """Make the run visible. Does not wait."""
        self._link.send(wire.Progress(msgspec.json.encode(run), run.run_id))

    def detail(self, run_id: str, detail: RunDetail) -> None:
        """Add parts to a run that goes on. Does not wait."""
        self._link.send(wire.Progress(None, run_id, msgspec.json.encode(detail)))

    def finish(self, run: RunRecord, detail: RunDetail | None = None) -> None:
        """Record the end of the run and wait until it cannot be lost any more.

        Raises:
            StoreFull: the store's disk is full.
            LinkError: the host is gone.
        """
        state = msgspec.json.encode(run)
        data = None if detail is None else msgspec.json.encode(detail)
        reply = self._link.ask(
            lambda number: wire.Progress(state, run.run_id, data, number), ACKNOWLEDGE_SECONDS
        )
        if reply.status >= 400:
            raise StoreFull(msgspec.json.decode(reply.body)["detail"])

    def follow(self, run: Execution) -> None:
        """Let those who follow the run see its events, and those who cancel it reach it."""
        self._link.serving.follow(run, self._link.send)

    def unfollow(self, run: Execution) -> None:
        """Undo :meth:`follow`."""
        self._link.serving.unfollow(run)


_one: Kernel | None = None
_one_lock = threading.Lock()


def kernel() -> Kernel:
    """Return this process's :class:`Kernel`; a forked child gets one of its own."""
    global _one
    found = _one
    if found is None or found.pid != os.getpid():
        with _one_lock:
            if _one is None or _one.pid != os.getpid():
                _one = Kernel()
            found = _one
    return found


def control(
    method: str,
    path: str,
    body: object | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30.0,
) -> Any:
    """See :meth:`Kernel.control`."""
    return kernel().control(method, path, body, headers=headers, timeout=timeout)


def status() -> LinkStatus:
    """See :meth:`Kernel.status`."""
    return kernel().status()


def _connection_files() -> list[Path]:
    from jupyter_core.paths import jupyter_runtime_dir

    files = []
    if named := os.environ.get("WARMCELL_CONNECTION"):
        files.append(Path(named))
    if parent := os.environ.get("JPY_PARENT_PID"):
        files.append(Path(jupyter_runtime_dir()) / f"warmcell-{parent}.json")
    return [file for file in dict.fromkeys(files) if file.exists()]


def _kernel_id() -> str:
    """The id that Jupyter gave this kernel, else one made of the process id."""
    application = sys.modules.get("ipykernel.kernelapp")
    if application is not None and application.IPKernelApp.initialized():
        stem = Path(application.IPKernelApp.instance().connection_file).stem
        return stem.removeprefix("kernel-")
    return f"process-{os.getpid()}"


def notebook() -> str | None:
    """The notebook of this kernel as its front end named it at the start."""
    if name := os.environ.get("JPY_SESSION_NAME"):
        return name
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    path = shell.user_ns.get("__vsc_ipynb_file__") if shell is not None else None
    return str(path) if path else None


def _plain(value: Any) -> Any:
    """A number that is more than one, as that of a run's snapshot."""
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"JSON has no {type(value).__name__}.")
