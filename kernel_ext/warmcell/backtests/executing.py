"""Replaying calls through a binding that is not served: the same path as a call, unrecorded."""

from __future__ import annotations

import copy
import json
import queue
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import output, wire
from warmcell.backtests.history import Recorded
from warmcell.batch import RunInterrupted
from warmcell.errors import DeployError
from warmcell.ids import new_id
from warmcell.records import ErrorInfo
from warmcell.runner.pool import pool
from warmcell.serving import Serving

if TYPE_CHECKING:
    from warmcell.serving import Binding

__all__ = ["BacktestInterrupted", "Replayed", "replay"]

GRACE = 2.0  # seconds for code that was told to stop to do so


class BacktestInterrupted(RunInterrupted):
    """The cell was interrupted, and the backtest in it ended."""


@dataclass(slots=True)
class Replayed:
    """How the draft answered a call: outputs and the digests of those that are files, by name, or
    ``error``. ``seconds`` is how long it was executed."""

    outputs: dict[str, Any] | None
    digests: dict[str, str]
    error: ErrorInfo | None
    seconds: float | None


def replay(
    binding: Binding,
    calls: Sequence[Recorded],
    answered: Callable[[Recorded, Replayed], object],
    *,
    deployment: str,
    timeout: float,
    concurrency: int = 1,
) -> None:
    """Execute ``calls``, ``concurrency`` at once, for ``timeout`` seconds each at most, and tell
    ``answered`` of each as it ends.

    Raises:
        BacktestInterrupted: by Interrupt; calls in flight are cancelled.
        DeployError: as many calls as may run at once do not stop after their time.
    """
    output.install()
    with tempfile.TemporaryDirectory(prefix="warmcell-backtest-") as folder:
        serving = Serving()
        serving.blobs = Path(folder)
        alone = copy.copy(binding)
        alone.layers = None  # what is recorded has been through the middleware already
        serving.add(alone)
        replaying = _Replaying(serving, binding, calls, answered, deployment, timeout)
        try:
            replaying.run(concurrency)
        except KeyboardInterrupt:
            replaying.cancel()
            raise BacktestInterrupted(
                f"The backtest was interrupted after {replaying.ended} of {len(calls)} calls."
            ) from None


class _Artifact(msgspec.Struct, array_like=True):
    """The beginning of an :class:`~warmcell.records.ArtifactRecord`."""

    step: str
    name: str
    kind: str
    type: str
    size: int | None = None
    digest: str | None = None


class _Detail(msgspec.Struct):
    artifacts: list[_Artifact] = []


class _Replaying:
    def __init__(
        self,
        serving: Serving,
        binding: Binding,
        calls: Sequence[Recorded],
        answered: Callable[[Recorded, Replayed], object],
        deployment: str,
        timeout: float,
    ) -> None:
        self.ended = 0
        self._serving = serving
        self._binding = binding
        self._calls = calls
        self._answered = answered
        self._deployment = deployment
        self._timeout = timeout
        self._done: queue.SimpleQueue[tuple[str, wire.Answer]] = queue.SimpleQueue()
        self._active: dict[str, tuple[Recorded, float]] = {}  # by run id, with the deadline
        self._late: set[str] = set()  # those told to stop
        self._stuck = 0

    def run(self, concurrency: int) -> None:
        waiting = iter(self._calls)
        following = next(waiting, None)
        while following is not None or self._active:
            while following is not None and len(self._active) + self._stuck < concurrency:
                self._start(following)
                following = next(waiting, None)
            if not self._active:
                raise DeployError(
                    f"The backtest ended after {self.ended} of {len(self._calls)} calls: "
                    f"{self._stuck} did not stop {self._timeout:g} s after they began.",
                    hint="Code that waits inside a library cannot be stopped; give it a timeout "
                    "of its own, or raise timeout=.",
                )
            self._wait()

    def _start(self, call: Recorded) -> None:
        message = wire.Invoke(
            0,
            self._binding.key,
            new_id(),
            call.parameters,
            timeout=self._timeout,
            deployment=self._deployment,
        )
        self._active[message.run_id] = (call, time.monotonic() + self._timeout)
        execute, done = self._serving.invoke, self._done
        pool().run(lambda: done.put((message.run_id, execute(message))), at_once=True)

    def _wait(self) -> None:
        """Until a call ends, or has to be told to, or is given up."""
        nearest = min(deadline for _, deadline in self._active.values())
        try:
            run_id, answer = self._done.get(timeout=max(0.0, nearest - time.monotonic()) + 0.001)
        except queue.Empty:
            self._look_at_deadlines()
            return
        call, _ = self._active.pop(run_id, (None, 0.0))
        if call is None:  # it was given up before
            self._stuck -= 1
            return
        self._end(call, self._read(answer))

    def _look_at_deadlines(self) -> None:
        now = time.monotonic()
        for run_id, (call, deadline) in list(self._active.items()):
            if now < deadline:
                continue
            if run_id not in self._late:
                self._late.add(run_id)
                self._active[run_id] = (call, now + GRACE)
                self._serving.cancel(run_id, "timed_out")
                continue
            del self._active[run_id]
            self._stuck += 1
            late = ErrorInfo("RunTimedOut", f"It took more than {self._timeout:g} s.")
            self._end(call, Replayed(None, {}, late, None))

    def _end(self, call: Recorded, replayed: Replayed) -> None:
        self.ended += 1
        self._answered(call, replayed)

    def _read(self, answer: wire.Answer) -> Replayed:
        seconds = (answer.finished_at - answer.started_at) / 1e6
        digests = self._files(answer)
        if answer.status != "succeeded" or answer.outputs is None:
            kinds = {"timed_out": "RunTimedOut", "cancelled": "RunCancelled"}
            error = answer.error or ErrorInfo(kinds.get(answer.status, "RunError"), answer.status)
            return Replayed(None, {}, error, seconds)
        return Replayed(json.loads(answer.outputs), digests, None, seconds)

    def _files(self, answer: wire.Answer) -> dict[str, str]:
        """The digests of outputs that were written as files; only these are compared."""
        if answer.detail is None or self._serving.blobs is None:
            return {}
        detail = msgspec.json.decode(answer.detail, type=_Detail)
        found = {
            artifact.name.removeprefix("outputs/"): artifact.digest
            for artifact in detail.artifacts
            if artifact.kind == "output" and artifact.digest is not None
        }
        for digest in found.values():
            (self._serving.blobs / digest).unlink(missing_ok=True)
        return found

    def cancel(self) -> None:
        """Stop the calls in flight and wait for a moment until they have."""
        for run_id in self._active:
            self._serving.cancel(run_id, "cancelled")
        until = time.monotonic() + GRACE
        while self._active:
            try:
                run_id, _ = self._done.get(timeout=max(0.0, until - time.monotonic()))
            except (queue.Empty, ValueError):
                return
            self._active.pop(run_id, None)
