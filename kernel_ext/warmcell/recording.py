"""The seam between a batch run and what keeps it: a recorder, fed while the run goes on."""

from __future__ import annotations

import contextvars
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from warmcell.errors import WarmcellError
from warmcell.records import RunDetail, RunRecord

if TYPE_CHECKING:
    from warmcell.runner.execution import Execution

__all__ = ["NullRecorder", "Recorder", "Reporter", "find_recorder"]

TICK_SECONDS = 0.1

log = logging.getLogger("warmcell.recording")


class Recorder(Protocol):
    """Keeps batch runs. :meth:`finish` waits, for a bounded time, until the run cannot be lost.
    ``blobs`` is the folder in which artifacts are kept, if they are."""

    @property
    def blobs(self) -> Path | None: ...

    def start(self, run: RunRecord) -> None:
        """A run starts."""

    def detail(self, run_id: str, detail: RunDetail) -> None:
        """New parts of a run that goes on."""

    def finish(self, run: RunRecord, detail: RunDetail | None = None) -> None:
        """A run has ended, with the parts that were not sent yet."""

    def follow(self, run: Execution) -> None:
        """Cancel the run when someone asks for its end, and tell those who watch it."""

    def unfollow(self, run: Execution) -> None:
        """Undo :meth:`follow`."""


class NullRecorder:
    """Keeps nothing."""

    blobs: Path | None = None

    def start(self, run: RunRecord) -> None:
        """Do nothing."""

    def detail(self, run_id: str, detail: RunDetail) -> None:
        """Do nothing."""

    def finish(self, run: RunRecord, detail: RunDetail | None = None) -> None:
        """Do nothing."""

    def follow(self, run: Execution) -> None:
        """Do nothing."""

    def unfollow(self, run: Execution) -> None:
        """Do nothing."""


def find_recorder() -> Recorder:
    """The recorder of this kernel. Without a host: a warning line, and one that keeps nothing."""
    from warmcell.link import kernel

    try:
        recorder = kernel().recorder()
    except WarmcellError as error:
        log.warning("This run is not kept in the history: %s", error)
        return NullRecorder()
    kernel().say_where()
    return recorder


class Reporter:
    """Sends what is new of runs that go on, a few times a second, from one thread."""

    def __init__(self) -> None:
        self._runs: dict[str, tuple[Execution, Recorder]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, run: Execution, recorder: Recorder) -> None:
        """Begin to report ``run``."""
        with self._lock:
            self._runs[run.run_id] = (run, recorder)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._report, name="warmcell-reporter", daemon=True
                )
                contextvars.Context().run(self._thread.start)
        self._wake.set()

    def remove(self, run: Execution) -> None:
        """Stop reporting ``run``: nothing is sent of it after this returns."""
        with self._lock:
            self._runs.pop(run.run_id, None)
            if not self._runs:
                self._wake.clear()

    def _report(self) -> None:
        pause = threading.Event()  # never set: a wait that is not a busy loop
        while True:
            self._wake.wait()
            pause.wait(TICK_SECONDS)
            with self._lock:
                for run, recorder in self._runs.values():
                    new = run.take()
                    if any(getattr(new, part) for part in new.__struct_fields__):
                        try:
                            recorder.detail(run.run_id, new)
                        except WarmcellError as error:
                            log.info("The host did not take parts of a run: %s", error)


_reporter: Reporter | None = None
_reporter_lock = threading.Lock()


def reporter() -> Reporter:
    """The reporter of this process."""
    global _reporter
    if _reporter is None:
        with _reporter_lock:
            if _reporter is None:
                _reporter = Reporter()
    return _reporter
