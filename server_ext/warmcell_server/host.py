"""The host: store, link, deployments and dispatcher, wired once. Knows no web framework."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmcell import wire
from warmcell.errors import StoreError, WarmcellError
from warmcell.ids import new_id, now
from warmcell.records import DeploymentEntry, DeploymentRecord
from warmcell_server.api import Api
from warmcell_server.dashboards import Dashboards
from warmcell_server.deployments import Deployments
from warmcell_server.dispatcher import Dispatcher
from warmcell_server.endpoints import EndpointCalls
from warmcell_server.events import Events
from warmcell_server.followers import Followers
from warmcell_server.housekeeping import Housekeeping, Keep
from warmcell_server.idempotency import LIFETIME, Idempotency
from warmcell_server.keys.keyring import Keys
from warmcell_server.link import LinkServer
from warmcell_server.questions import Questions
from warmcell_server.releases import Releases
from warmcell_server.reruns import Reruns
from warmcell_server.restoring import Restoring
from warmcell_server.store import Store
from warmcell_server.trusting import Trusting
from warmcell_server.uploads import Uploads
from warmcell_server.webhooks.deliveries import Webhooks
from warmcell_server.workers import Worker

if TYPE_CHECKING:
    from warmcell_server.kernels import DedicatedKernels

__all__ = ["Host", "find_home"]

DRAIN_SECONDS = 10.0

log = logging.getLogger("warmcell")


class Host:
    """Owns the store and serves it. Everything but the store belongs to one event loop.

    ``url`` is the address of ``…/warmcell/`` as people would call it, ``base_path`` its path.
    """

    def __init__(
        self,
        home: Path,
        *,
        mode: str = "server",
        keep: Keep | None = None,
        callback_allow: Sequence[str] = (),
    ) -> None:
        self.host_id = new_id()
        self.home = home
        self.mode = mode
        self.url = ""
        self.base_path = "/warmcell/"
        self.label = f"{mode} process {os.getpid()} on {socket.gethostname()}"
        self.store: Store
        self.deployments: Deployments
        self.dispatcher: Dispatcher
        self.endpoints: EndpointCalls
        self.dashboards: Dashboards
        self.api: Api
        self.link: LinkServer
        self.housekeeping: Housekeeping
        self.restoring: Restoring
        self.releases: Releases
        self.followers: Followers
        self.reruns: Reruns
        self.keys = Keys(home)
        self.hub = Events()
        self.idempotency = Idempotency()
        self.questions = Questions()
        self.trusting = Trusting(self)
        self.webhooks: Webhooks
        self.uploads = Uploads(home, self.host_id)
        self._keep = keep or Keep()
        self._callback_allow = callback_allow
        self.kernels: DedicatedKernels | None = None  # of a Jupyter server; its extension sets it
        self._requests: set[asyncio.Task[None]] = set()
        self._running = False
        self._loop: asyncio.AbstractEventLoop

    async def start(self, *, url: str, base_path: str) -> Path:
        """Open the store, listen for workers and return the path of the connection file."""
        self.url, self.base_path = url, base_path
        self.store = await asyncio.to_thread(
            Store.open, self.home, host_id=self.host_id, label=self.label, url=url
        )
        try:
            return await self._start()
        except BaseException:
            await asyncio.to_thread(self.store.close)
            raise

    async def _start(self) -> Path:
        for notice in self.store.notices:
            log.warning(notice)
        await asyncio.to_thread(self.uploads.start)
        self.deployments = Deployments(self.store, self.host_id)
        self.webhooks = Webhooks(self.store, self.home, self.host_id, allow=self._callback_allow)
        self.dispatcher = Dispatcher(
            self.store, self.deployments, self.host_id, hub=self.hub, webhooks=self.webhooks
        )
        self.endpoints = EndpointCalls(self.deployments)
        self.dashboards = Dashboards(Path(self.store.blobs))
        self.api = Api(self)
        self.restoring = Restoring(self)
        self.releases = Releases(self)
        self.followers = Followers(self)
        self.reruns = Reruns(self)
        self.dispatcher.aborted = self.releases.aborted
        self.dispatcher.wake = self.endpoints.wake = self.restoring.lifetimes.wake
        await self.refresh()
        self.link = LinkServer(
            self.host_id,
            welcome=self._welcome,
            attached=self._attached,
            received=self._received,
            detached=self._detached,
        )
        connection_file = await self.link.start()
        self.dispatcher.start()
        self.webhooks.start()
        self.keys.start()
        self.housekeeping = Housekeeping(self.store, self._keep)
        self.housekeeping.start()
        self.restoring.start()
        self.followers.start()
        self._loop = asyncio.get_running_loop()
        self.store.ended = self._heard_of_end
        self._running = True
        return connection_file

    async def refresh(self) -> None:
        """Look again at what the store knows of deployments: other hosts may have changed it."""
        rows = await asyncio.wrap_future(self.store.deployments())
        if any(not row["alive"] and row["name"] not in self.deployments for row in rows):
            await self._know_keys()  # who called the host that ended calls here from now on
        snapshots = await asyncio.wrap_future(self.store.list_snapshots())
        known = {f"{s['pipeline']}@{s['number']}": s for s in snapshots}
        before = {deployment.name for deployment in self.deployments}
        for gone in self.deployments.load(rows, known):
            self.dispatcher.removed(gone)
        if self._running and self.kernels is not None:
            # A host ended meanwhile; what it served comes back here, unless another is faster.
            self.restoring.resume([d for d in self.deployments if d.name not in before])
        await self.trusting.judge(snapshots)

    def _heard_of_end(self) -> None:
        """Another host of the store has ended. Any thread may call."""
        with contextlib.suppress(RuntimeError):  # the loop has ended too
            self._loop.call_soon_threadsafe(self._another_ended)

    def _another_ended(self) -> None:
        if self._running and self.kernels is not None:
            self.restoring.spawn(self._take_over())

    async def _take_over(self) -> None:
        """Bring back what another host served until it ended."""
        try:
            await self.refresh()
        except WarmcellError as error:  # whoever calls looks again
            log.warning("What a host that ended has left could not be looked at: %s", error)

    async def claim(
        self, record: DeploymentRecord, *, overtake: bool = False
    ) -> dict[str, Any] | None:
        """Give a name to this host, with the Idempotency-Keys that other hosts took for it. Returns
        and raises what :meth:`Store.claim` does."""
        before = await asyncio.wrap_future(self.store.claim(record, overtake=overtake))
        served = self.deployments.find(record.name)
        if served is None or not served.ready:
            await self._know_keys(record.name)
        return before

    async def _know_keys(self, deployment: str | None = None) -> None:
        since = now() - LIFETIME
        keys = await asyncio.wrap_future(self.store.idempotency_keys(since, deployment))
        self.idempotency.load(keys)

    async def close(self) -> None:
        """Drain, end the link and close the store. Harmless when repeated."""
        if not self._running:
            return
        self._running = False
        await self.followers.close()
        await self.restoring.close()
        await self.dispatcher.drain(DRAIN_SECONDS)
        self.endpoints.close()
        await self.dispatcher.close()
        self.hub.close()
        await self.webhooks.close()
        await self.housekeeping.close()
        for task in self._requests:
            task.cancel()
        if self.kernels is not None:
            await self.kernels.close()
        await self.link.close()
        await self.keys.close()
        await asyncio.to_thread(self.uploads.close)
        await asyncio.to_thread(self.store.close)

    # -- link --------------------------------------------------------------------------------

    def _welcome(self) -> wire.Welcome:
        return wire.Welcome(
            protocol=wire.PROTOCOL,
            host_id=self.host_id,
            mode=self.mode,
            url=self.url,
            base_path=self.base_path,
            home=str(self.home),
            blobs=str(self.store.blobs),
            pid=os.getpid(),
        )

    def _attached(self, worker: Worker) -> None:
        log.info("Kernel %s (process %d) attached.", worker.kernel_id, worker.pid)

    def _received(self, worker: Worker, message: wire.ToHost) -> None:
        if type(message) is wire.Answer:
            self.dispatcher.answered(message)
        elif type(message) is wire.Event:
            self.hub.received(message)
        elif type(message) is wire.Told:
            self.questions.told(message)
        elif type(message) is wire.EndpointAnswer:
            self.endpoints.answered(message)
        elif type(message) is wire.Progress:
            self.dispatcher.batch.progress(worker, message)
        elif type(message) is wire.Request:
            task = asyncio.get_running_loop().create_task(self._request(worker, message))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
        elif type(message) is wire.Vitals:
            worker.heard(message)

    async def _request(self, worker: Worker, request: wire.Request) -> None:
        status, body = await self.api.answer(
            request.method,
            request.path,
            request.body or b"",
            user=worker.label(),
            worker=worker,
            headers=request.headers,
        )
        worker.send(wire.Reply(request.request, status, body))

    def _detached(self, worker: Worker) -> None:
        cause = worker.epitaph()
        log.info("%s.", cause)
        if not self._running:
            return
        orphans, held = self.deployments.detached(worker, cause)
        self.restoring.lost(worker, orphans, held, cause)
        self.dispatcher.lost(worker, cause)
        # Of runs that have ended, too: their artifacts may have been on their way still.
        self.store.change("lose_pending", host_id=self.host_id).add_done_callback(_told)
        if self.kernels is not None and worker.kernel_id in self.kernels:
            self.kernels.leave(worker.kernel_id)
        self.endpoints.lost(worker, cause)
        self.questions.lost(worker, cause)
        for deployment in orphans:
            if deployment.ready:
                self.dispatcher.switched(deployment)
            elif not (deployment.restoring or deployment.resting):
                self.dispatcher.orphaned(deployment)
            try:
                self.store.append(DeploymentEntry(deployment.record(self.host_id)))
            except StoreError as failure:
                log.error("The end of '%s' could not be recorded: %s", deployment.name, failure)


def _told(change: Future[Any]) -> None:
    if not change.cancelled() and (failure := change.exception()) is not None:
        log.error("What a kernel was writing is not marked as lost: %s", failure)


def find_home(start: Path) -> Path:
    """Return the store's folder: ``WARMCELL_HOME``, else the nearest ``.warmcell`` at or above
    ``start``, else ``start/.warmcell``."""
    named = os.environ.get("WARMCELL_HOME")
    if named:
        return Path(named).expanduser().absolute()
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / ".warmcell").is_dir():
            return folder / ".warmcell"
    return start / ".warmcell"
