"""Vitals: how long threads of this kernel wait for the interpreter lock while it serves."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from warmcell.delays import Cells, cells

__all__ = ["Meter"]

# With the default of 5 ms a cell that spins in pure Python delays each call by several times that;
# the cell itself does not notice the shorter one.
SWITCH_INTERVAL = 0.0005
TICK = 0.05
REPORT = 1.0


class Meter:
    """Shortens the GIL's switch interval and reports the lag, from ``start`` to ``stop``.

    ``report(lag, rss)`` is called about once a second on the meter's own thread: the longest wait
    since the last report in seconds, and the resident memory in bytes. Each wait is told to
    ``cells`` at once.
    """

    def __init__(self, report: Callable[[float, int], None], cells: Cells = cells) -> None:
        self._report = report
        self._cells = cells
        self._lock = threading.Lock()
        self._before: float | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin to measure. Harmless when repeated."""
        with self._lock:
            if self._before is not None:
                return
            self._before = sys.getswitchinterval()
            self._stop = threading.Event()
            thread = threading.Thread(
                target=self._measure, args=(self._stop,), name="warmcell-vitals", daemon=True
            )
        sys.setswitchinterval(SWITCH_INTERVAL)
        thread.start()

    def stop(self) -> None:
        """End, and restore the switch interval. Harmless when repeated."""
        with self._lock:
            before, self._before = self._before, None
        if before is not None:
            self._stop.set()
            sys.setswitchinterval(before)

    def _measure(self, stop: threading.Event) -> None:
        lag, reported = 0.0, time.monotonic()
        while True:
            due = time.monotonic() + TICK
            self._cells.waits(due)
            if stop.wait(TICK):
                self._cells.woke(0.0)
                return
            moment = time.monotonic()
            lag = max(lag, moment - due)
            self._cells.woke(moment - due)
            if moment - reported >= REPORT:
                self._report(lag, _resident())
                lag, reported = 0.0, moment


def _resident() -> int:
    """Resident memory of this process in bytes, 0 where it cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
