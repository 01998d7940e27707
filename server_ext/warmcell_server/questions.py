"""Questions of the host to a notebook's kernel: what a deployment would be if deployed now.

Answered by a thread of the kernel's link, so that a running cell delays no answer for long.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, DeployError, Unavailable
from warmcell_server.deployment import Deployment
from warmcell_server.workers import Worker

__all__ = ["Questions", "notebook_of"]

SECONDS = 25.0  # a little less than a kernel waits for its own question
RENEW_SECONDS = 600.0  # for an on_init that loads something large


class Questions:
    """The questions under way. Belongs to the host's event loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, tuple[Worker, asyncio.Future[wire.Told]]] = {}

    async def ask(self, worker: Worker, deployment: str, pipeline: str) -> dict[str, Any]:
        """Ask a kernel for its ``draft`` of a pipeline, and what is ``in_place`` different.

        Raises:
            Conflict: the kernel went away.
            Unavailable: it did not answer in time.
            DeployError: the pipeline as it is now cannot be captured.
        """
        return await self._answer(worker, lambda n: wire.Ask(n, deployment, pipeline), SECONDS)

    async def renew(self, worker: Worker, key: str, version: str) -> dict[str, Any]:
        """Have a kernel hold the snapshot of binding ``key`` for another version of its model;
        returns the new ``key``, and what is told of the ``model``. Raises what :meth:`ask` does;
        :class:`DeployError` also for what ``on_init`` raised."""
        return await self._answer(worker, lambda n: wire.Renew(n, key, version), RENEW_SECONDS)

    async def _answer(
        self, worker: Worker, message: Callable[[int], wire.ToWorker], seconds: float
    ) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[wire.Told] = asyncio.get_running_loop().create_future()
        self._open[number] = worker, answer
        try:
            worker.send(message(number))
            told = await asyncio.wait_for(answer, seconds)
        except TimeoutError:
            raise Unavailable(
                f"The kernel of {worker.label()} did not answer within {seconds:g} s.",
                retry_after=5,
            ) from None
        finally:
            del self._open[number]
        body: dict[str, Any] = msgspec.json.decode(told.body)
        if told.failed:
            raise DeployError(body["detail"], hint=body.get("hint"))
        return body

    def told(self, message: wire.Told) -> None:
        """A kernel answered."""
        _, answer = self._open.get(message.ask, (None, None))
        if answer is not None and not answer.done():
            answer.set_result(message)

    def lost(self, worker: Worker, cause: str) -> None:
        """A kernel is gone."""
        for asked, answer in self._open.values():
            if asked is worker and not answer.done():
                answer.set_exception(Conflict(f"{cause} before it answered."))


def notebook_of(workers: set[Worker], deployment: Deployment, asking: Worker | None) -> Worker:
    """The kernel that knows the notebook of a deployment as it is now: the one that asks if it is
    of that notebook, the one that serves, or another of the notebook.

    Raises :class:`Conflict` where there is none.
    """
    binding = deployment.binding
    notebook = deployment.notebook
    ours = [worker for worker in workers if notebook and worker.notebook == notebook]
    if asking is not None and (asking in ours or (binding and binding.worker is asking)):
        return asking
    if binding is not None and binding.worker in ours:
        return binding.worker
    if ours:
        return ours[0]
    if binding is not None and getattr(binding.body, "restored", None) is None:
        return binding.worker  # of no notebook: a pipeline of a module
    raise Conflict(
        f"No kernel of {notebook or 'its notebook'} is running, so that nobody knows it as it is "
        "now.",
        hint="Open the notebook and run its cells.",
    )
