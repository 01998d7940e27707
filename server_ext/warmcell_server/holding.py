"""Holding: a snapshot made warm in a dedicated kernel, from its stored form.

What needs such a kernel (a deployment that comes back, a replica, a standby, a rollback to a
snapshot that is not warm any more) asks here, and gets a binding.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmcell import wire
from warmcell.errors import Conflict, DeployError, NotFound, SnapshotError
from warmcell_server.kernelcells import Job
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host
    from warmcell_server.kernelcells import Cells
    from warmcell_server.kernels import DedicatedKernels

__all__ = ["Held", "Holding"]

AT_ONCE = 2  # kernels that start at the same time: they compete for the processor

_NOT_YET = "Its snapshot cannot be restored yet: its stored form was not written to the end"


@dataclass(frozen=True)
class Held:
    """What a kernel is to hold: snapshot ``number`` of ``pipeline``, for deployment ``name``."""

    name: str
    pipeline: str
    number: int
    settings: Mapping[str, Any]
    notebook: str | None

    @classmethod
    def of(cls, deployment: Deployment) -> Held:
        """What a deployment serves."""
        return cls(
            deployment.name,
            deployment.pipeline,
            deployment.snapshot,
            deployment.settings,
            deployment.notebook,
        )


class Holding:
    """Has dedicated kernels hold snapshots. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tickets = itertools.count(1)
        self._open: dict[int, tuple[Held, Binding | None]] = {}
        self._starting = asyncio.Semaphore(AT_ONCE)

    @property
    def kernels(self) -> DedicatedKernels:
        """Where kernels are started. Raises :class:`Conflict` outside of a Jupyter server."""
        found = self._host.kernels
        if found is None:
            raise Conflict(
                "This host lives inside a kernel and starts no others.",
                hint="Work in a Jupyter server, or deploy without `isolated` and `replicas`.",
            )
        return found

    async def row(self, pipeline: str, number: int) -> dict[str, Any] | str:
        """The snapshot as the store has it, or why it cannot be restored."""
        try:
            row: dict[str, Any] = await asyncio.wrap_future(
                self._host.store.get_snapshot(pipeline, number)
            )
        except NotFound as error:
            return error.message
        if row["stored"] == "pending":
            return _NOT_YET
        if row["stored"] != "stored":
            return f"Its snapshot cannot be restored ({row['stored'].removeprefix('refused: ')})"
        if refusal := await self._host.trusting.refusal(row):
            return refusal
        if not (row.get("environment") or {}).get("kernelspec"):
            return "Its kernel was not one of a Jupyter server, and no other can be started for it"
        return row

    @asynccontextmanager
    async def hold(self, deployment: Deployment, number: int) -> AsyncIterator[Binding]:
        """Hold snapshot ``number`` of the deployment's pipeline in a kernel of its own. That ends
        with this, unless the binding belongs to a deployment by then.

        The settings are those of the deployment as it is: an older snapshot does not bring back who
        may call it. Its front end is its own.

        Raises:
            SnapshotError: it cannot be restored, and why.
            UsageError: there is no kernel of its kind on this machine.
            DeployError, RunTimedOut: the kernel or ``on_init`` failed.
        """
        row = await self.row(deployment.pipeline, number)
        if isinstance(row, str):
            raise SnapshotError(
                f"Snapshot {number} of '{deployment.pipeline}' cannot be made warm. {row}.",
                hint="Deploy it again from its notebook.",
            )
        settings = dict(deployment.settings)
        if number != deployment.snapshot:
            settings.pop("site", None)
            if site := (row.get("settings") or {}).get("site"):
                settings["site"] = site
        held = Held(deployment.name, deployment.pipeline, number, settings, deployment.notebook)
        async with self.held(held, row["environment"]) as binding:
            yield binding

    @asynccontextmanager
    async def held(self, held: Held, environment: Mapping[str, Any]) -> AsyncIterator[Binding]:
        """:meth:`hold` of a snapshot whose stored form is known to be there."""
        began = time.monotonic()
        async with self.kernel(held, environment) as cells:
            binding = await self.restore(cells, held)
            binding.start_seconds = time.monotonic() - began
            yield binding

    @asynccontextmanager
    async def kernel(self, held: Held, environment: Mapping[str, Any]) -> AsyncIterator[Cells]:
        """Start a kernel like the one that a snapshot was taken in; it ends with this unless a
        deployment has a binding of it by then.

        Raises:
            UsageError: there is no such kernel on this machine.
            DeployError, RunTimedOut: it did not start.
        """
        kernels = self.kernels
        folder = Path(environment.get("cwd") or kernels.root)
        if not await asyncio.to_thread(folder.is_dir):
            folder = kernels.root
        job = Job(f"{held.notebook or held.name}, restored", folder)
        async with AsyncExitStack() as stack:
            async with self._starting:
                kernel_id = await kernels.open(environment["kernelspec"], job)
                stack.push_async_callback(self._let_go, kernel_id)
                cells = await stack.enter_async_context(kernels.cells(kernel_id, job))
            yield cells

    async def _let_go(self, kernel_id: str) -> None:
        """End a kernel unless it serves something by now."""
        if not self.serves(kernel_id):
            await asyncio.shield(self.kernels.end(kernel_id))

    async def restore(self, cells: Cells, held: Held) -> Binding:
        """Restore one snapshot in a kernel. Raises what :func:`warmcell.restoring.restore` does."""
        ticket = next(self._tickets)
        self._open[ticket] = held, None
        try:
            await cells.ask(
                "restore",
                {
                    "name": held.name,
                    "pipeline": held.pipeline,
                    "number": held.number,
                    "settings": held.settings,
                    "notebook": held.notebook,
                    "ticket": ticket,
                },
            )
        finally:
            _, binding = self._open.pop(ticket)
        if binding is None or binding.worker.gone:
            raise DeployError(f"The kernel for '{held.name}' went away while it was restored.")
        return binding

    def announced(self, body: wire.Deploy, worker: Worker) -> dict[str, Any]:
        """A dedicated kernel says that it holds what it was asked to.

        Raises :class:`Conflict` for what nobody waits for any more.
        """
        held, _ = self._open.get(body.ticket or 0, (None, None))
        told = body.name, body.pipeline, body.restored
        # A kernel of the host before may have a ticket of the same number.
        if held is None or body.restored is None or told != (held.name, held.pipeline, held.number):
            raise Conflict(f"Nobody waits for snapshot {body.restored} of '{body.name}' any more.")
        binding = Binding(body.key, body.restored, worker, body, dedicated=True)
        self._open[body.ticket or 0] = held, binding
        return {"name": body.name, "snapshot": body.restored}

    def serves(self, kernel_id: str) -> bool:
        """Whether a deployment has a binding in that kernel, or a call of one that it had runs
        there: then the kernel ends by itself."""
        host = self._host
        if any(
            one.kernel_id == kernel_id for one in host.dispatcher.busy() | host.endpoints.busy()
        ):
            return True
        for deployment in self._host.deployments:
            for binding in (deployment.binding, deployment.spare, *deployment.warm):
                if binding is not None and binding.worker.kernel_id == kernel_id:
                    return not binding.worker.gone
        return False
