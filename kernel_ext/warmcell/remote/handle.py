"""RunHandle: a run that the server executes for a caller who does not wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from warmcell.errors import (
    OutputError,
    ParameterError,
    RunCancelled,
    RunError,
    RunLost,
    RunTimedOut,
    WarmcellError,
)
from warmcell.records import TERMINAL
from warmcell.remote.calling import Request
from warmcell.remote.streaming import ACCEPT, AsyncEvents, Events
from warmcell.remote.transport import Transport

if TYPE_CHECKING:
    from warmcell.runs import Run

__all__ = ["RunHandle", "error_of"]

LONGEST_WAIT = 30.0  # seconds that one question may wait for its answer
LONGEST_PAUSE = 1.0

_ENDS: dict[str, type[RunError]] = {
    "cancelled": RunCancelled,
    "timed_out": RunTimedOut,
    "lost": RunLost,
}


class RunHandle:
    """One run, by its id. It belongs to the server: it goes on when this is forgotten.

    ``await handle`` gives its outputs, as :meth:`result` does without an event loop.
    """

    def __init__(
        self,
        transport: Transport,
        deployment: str,
        run_id: str,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self.run_id = run_id
        self.deployment = deployment
        self._transport = transport
        self._known: dict[str, Any] = {"status": "queued", **(known or {})}

    @property
    def url(self) -> str:
        """Address of the run."""
        place = quote(self.deployment, safe="") if self.deployment else "api/v1"
        return f"{self._transport.url}{place}/runs/{self.run_id}"

    @property
    def status(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``failed``, ``cancelled``, ``timed_out`` or
        ``lost``, as the server says now."""
        return str(self.refresh()["status"])

    @property
    def done(self) -> bool:
        """Whether the run has ended."""
        return self._ended or self.status in TERMINAL

    @property
    def run(self) -> Run:
        """The run with its steps, artifacts and logs, as far as it is."""
        from warmcell.runs import Run

        known = self._known if self._ended else self.refresh()
        return Run.from_json(known, self._transport)

    def refresh(self) -> dict[str, Any]:
        """Ask the server; returns the run as ``GET {name}/runs/{id}`` describes it, of a queued
        one also ``queued_ahead`` and ``eta_s`` (seconds)."""
        self._known = self._transport.control("GET", self._path)
        return dict(self._known)

    # -- its end -------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> Run:
        """Wait for the end of the run, however it ends, at most ``timeout`` seconds.

        Raises ``TimeoutError`` when it goes on then; it is not stopped by that.
        """
        for pause, request in self._questions(timeout):
            time.sleep(pause)
            self._known = self._transport.control(
                "GET", request.path, headers=request.headers, timeout=request.timeout
            )
        return self.run

    async def await_end(self, timeout: float | None = None) -> Run:  # noqa: ASYNC109
        """:meth:`wait` for an event loop."""
        for pause, request in self._questions(timeout):
            await asyncio.sleep(pause)
            self._known = await self._transport.acontrol(
                "GET", request.path, headers=request.headers, seconds=request.timeout
            )
        return self.run

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the end of the run and return its outputs, by name.

        Raises :class:`~warmcell.errors.RunError` or one of its kinds when it did not succeed.
        """
        self.wait(timeout)
        return self._outputs()

    async def aresult(self, timeout: float | None = None) -> dict[str, Any]:  # noqa: ASYNC109
        """:meth:`result` for an event loop."""
        await self.await_end(timeout)
        return self._outputs()

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        return self.aresult().__await__()

    def rerun(self, parameters: Mapping[str, Any] | None = None, **how: Any) -> Run:
        """Run it once more and return the run that this made; see
        :meth:`warmcell.runs.Run.rerun`."""
        from warmcell.rerun import rerun

        return rerun(self._transport, self.run_id, parameters, **how)

    # -- on its way ----------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask the run to stop. Raises :class:`~warmcell.errors.Conflict` when it has ended."""
        self._transport.control("DELETE", self._path)

    async def acancel(self) -> None:
        """:meth:`cancel` for an event loop."""
        await self._transport.acontrol("DELETE", self._path)

    def events(self, after: int | None = None) -> Events:
        """Iterate over what happens in the run, from its beginning or after event ``after``. The
        last event is "done" or "error"."""
        request = self._following(after)
        return Events(
            self._transport, request, self._events, run_id=self.run_id, after=after, raises=False
        )

    def aevents(self, after: int | None = None) -> AsyncEvents:
        """:meth:`events` for an event loop."""
        request = self._following(after)
        return AsyncEvents(
            self._transport, request, self._events, run_id=self.run_id, after=after, raises=False
        )

    def __repr__(self) -> str:
        return f"<run {self.run_id} of {self.deployment}: {self._known['status']}>"

    # -- inside --------------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return run_path(self._transport, self.deployment, self.run_id)

    @property
    def _ended(self) -> bool:
        return self._known["status"] in TERMINAL and "steps" in self._known

    def _events(self, run_id: str) -> str:
        return events_path(self.deployment, run_id)

    def _following(self, after: int | None) -> Request:
        headers = dict(ACCEPT)
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        return Request("GET", self._events(self.run_id), headers=headers)

    def _questions(self, timeout: float | None) -> Iterator[tuple[float, Request]]:
        """What to ask until the run has ended, each after a pause in seconds: the host answers
        when it has, or after a while."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.0
        while not self._ended:
            left = LONGEST_WAIT if deadline is None else deadline - time.monotonic()
            if left <= 0 and pause:
                raise TimeoutError(f"Run {self.run_id} goes on after {timeout:g} s.")
            asked = time.monotonic()
            wait = max(0, min(LONGEST_WAIT, round(left)))
            headers = {"Prefer": f"wait={wait}"} if wait else {}
            yield (
                max(0.0, min(pause, left)),
                Request("GET", self._path, headers=headers, timeout=wait + 30.0),
            )
            # Of a run that the host does not execute itself it cannot await the end.
            quick = time.monotonic() - asked - pause < 0.5
            pause = min(max(0.02, pause * 1.5), LONGEST_PAUSE) if quick else 0.001

    def _outputs(self) -> dict[str, Any]:
        if self._known["status"] != "succeeded":
            raise error_of(self._known)
        return dict(self._known.get("outputs") or {})


def run_path(transport: Transport, deployment: str, run_id: str) -> str:
    """Where a run is asked for: a link has the control plane only, a key the deployment only, and
    a run of a cell has no deployment."""
    if transport.web and deployment:
        return f"{quote(deployment, safe='')}/runs/{quote(run_id, safe='')}"
    return f"api/v1/runs/{quote(run_id, safe='')}"


def events_path(deployment: str, run_id: str) -> str:
    """Where the events of a run are read."""
    place = quote(deployment, safe="") if deployment else "api/v1"
    return f"{place}/runs/{quote(run_id, safe='')}/events"


def error_of(run: Mapping[str, Any]) -> WarmcellError:
    """The error of a run that did not succeed: what the call itself would have raised."""
    found = run.get("error") or {}
    kind, step = found.get("type") or "RunError", found.get("step")
    message = found.get("message") or f"The run is {run['status']}."
    if kind == "ParameterError" or found.get("errors"):
        return ParameterError(message, errors=found.get("errors") or (), hint=found.get("hint"))
    raised = _ENDS.get(run["status"], OutputError if kind == "OutputError" else RunError)
    if raised is RunError:
        message = f"{f'Step {step!r}' if step else 'The run'} raised {kind}: {message}"
    return raised(message, run_id=run.get("run_id"), step=step, hint=found.get("hint"))
