"""Dedicated kernels: started by the host for one pipeline of a module or a notebook, or to restore
what another kernel served.

Such a kernel ends when nothing of what it deployed is served any more, and at once when its
pipeline cannot be loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jupyter_client.localinterfaces import local_ips
from jupyter_server._tz import utcnow
from jupyter_server.utils import ensure_async

from warmcell.errors import NotFound, UsageError
from warmcell_server.kernelcells import Cells, Job, kernel_of

__all__ = ["DedicatedKernels", "Job"]


class DedicatedKernels:
    """The dedicated kernels of a Jupyter server. Belongs to the host's event loop.

    ``manager`` is the server's kernel manager, so that the kernels are listed with the others and
    end with the server.
    """

    def __init__(self, manager: Any, root: Path) -> None:
        self.root = root
        self._manager = manager
        self._labels: dict[str, str] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._deploying: dict[str, bool] = {}  # and whether it serves nothing any more already

    def __contains__(self, kernel_id: str) -> bool:
        return kernel_id in self._labels

    async def deploy(self, job: Job, arguments: dict[str, Any]) -> str:
        """Load the pipeline in a new kernel, deploy it there and return the deployment's name.

        Raises:
            UsageError: there is no such pipeline.
            DeployError: its code raised, or its kernel died. ``traceback`` shows where.
            RunTimedOut: it took too long.
            What :meth:`warmcell.pipelines.Pipeline.deploy` raises.
        """
        kernel_id = await self._start(job)
        self._deploying[kernel_id] = False
        try:
            name: str = await self._work(kernel_id, job, "deploy", arguments)
        except BaseException:
            await asyncio.shield(self.end(kernel_id))
            raise
        finally:
            empty = self._deploying.pop(kernel_id)
        if empty:
            self.leave(kernel_id)
        return name

    async def run(self, job: Job, arguments: dict[str, Any]) -> str:
        """Load the pipeline in a new kernel, run it there and return the run's id. Raises as
        :meth:`deploy` does, but for a run that fails."""
        kernel_id = await self._start(job)
        try:
            run_id: str = await self._work(kernel_id, job, "run", arguments)
        finally:
            await asyncio.shield(self.end(kernel_id))
        return run_id

    async def open(self, kernelspec: str, job: Job) -> str:
        """Start a kernel in the folder of ``job``, named after its target, and return its id.

        Raises :class:`UsageError` where there is no such kernelspec.
        """
        await asyncio.to_thread(_load)
        specs = self._manager.kernel_spec_manager.find_kernel_specs()
        if kernelspec not in specs:
            raise UsageError(f"There is no kernel '{kernelspec}' on the server's machine")
        return await self._launch(kernelspec, job)

    def kernelspec(self, kernel_id: str) -> str:
        """The kernelspec of a kernel of this server; of another, the server's default."""
        if kernel_id in self._manager:
            return str(self._manager.get_kernel(kernel_id).kernel_name)
        return str(self._manager.default_kernel_name)

    def outlived(self, kernel_id: str) -> bool:
        """Whether a kernel was idle for as long as Jupyter keeps idle kernels."""
        longest = getattr(self._manager, "cull_idle_timeout", 0)
        if not longest or longest <= 0 or kernel_id not in self._manager:
            return False
        idle = utcnow() - self._manager.get_kernel(kernel_id).last_activity
        return bool(idle.total_seconds() >= longest)

    def leave(self, kernel_id: str) -> None:
        """A dedicated kernel says that it serves nothing any more. Raises NotFound for another."""
        if kernel_id not in self._labels:
            raise NotFound(f"Kernel '{kernel_id}' is no dedicated one.")
        if kernel_id in self._deploying:  # to kernels of the deployment's own: it has yet to say so
            self._deploying[kernel_id] = True
            return
        task = asyncio.get_running_loop().create_task(self.end(kernel_id))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def end(self, kernel_id: str) -> None:
        """Shut a kernel down. Harmless when repeated, or when it has died."""
        if self._labels.pop(kernel_id, None) is not None and kernel_id in self._manager:
            with contextlib.suppress(KeyError, RuntimeError):
                await ensure_async(self._manager.shutdown_kernel(kernel_id, now=True))

    async def close(self) -> None:
        """End all of them. Harmless when repeated."""
        await asyncio.gather(*(self.end(kernel_id) for kernel_id in list(self._labels)))

    # -- one kernel ----------------------------------------------------------------------------

    async def _start(self, job: Job) -> str:
        await asyncio.to_thread(job.check)
        await asyncio.to_thread(_load)
        name = job.kernel or await asyncio.to_thread(kernel_of, job.notebook)
        specs = self._manager.kernel_spec_manager.find_kernel_specs()
        if name is not None and name not in specs:
            if job.kernel is not None:
                raise UsageError(
                    f"There is no kernel '{name}'.", hint=f"Kernels: {', '.join(sorted(specs))}."
                )
            name = None  # the notebook comes from another machine
        return await self._launch(name, job)

    async def _launch(self, name: str | None, job: Job) -> str:
        kernel_id: str = await ensure_async(
            self._manager.start_kernel(
                kernel_name=name,
                cwd=str(job.folder),
                env={**os.environ, "JPY_SESSION_NAME": job.target},
            )
        )
        self._labels[kernel_id] = job.target
        return kernel_id

    async def _work(self, kernel_id: str, job: Job, action: str, arguments: dict[str, Any]) -> Any:
        """Load the pipeline of ``job`` and do ``action``."""
        async with self.cells(kernel_id, job) as cells:
            await cells.ask("begin", {"folder": str(job.folder)})
            if job.notebook is not None:
                await cells.load(job.notebook)
            return await cells.ask(action, {"target": job.target, **arguments})

    @asynccontextmanager
    async def cells(self, kernel_id: str, job: Job) -> AsyncIterator[Cells]:
        """What runs cells in a kernel that was started here, once it takes them. Raises DeployError
        or RunTimedOut for one that does not."""
        deadline = time.monotonic() + job.timeout
        manager = self._manager.get_kernel(kernel_id)
        if hasattr(manager, "stop_restarter"):
            manager.stop_restarter()  # a new process would not have the pipeline
        client = manager.client()
        client.start_channels(hb=False)  # its thread may hang, and who stops it waits for it
        try:
            cells = Cells(job, manager, client, deadline)
            await cells.ready()
            yield cells
        finally:
            client.stop_channels()


def _load() -> None:
    """Load what Jupyter would load on the event loop with its first kernel, IPython above all: all
    calls would wait for that, for a second or more right after the start of a server."""
    with contextlib.suppress(ImportError):
        importlib.import_module("IPython.paths")
    local_ips()
