"""The meter of a serving kernel."""

from __future__ import annotations

import sys
import threading

from warmcell.vitals import SWITCH_INTERVAL, Meter


def test_the_switch_interval_is_given_back() -> None:
    """While it measures the interval is short; then it is what it was, whatever is repeated."""
    before = sys.getswitchinterval()
    meter = Meter(lambda lag, rss: None)
    meter.start()
    meter.start()
    assert abs(sys.getswitchinterval() - SWITCH_INTERVAL) < 1e-6
    meter.stop()
    meter.stop()
    assert sys.getswitchinterval() == before


def test_what_holds_the_lock_is_reported() -> None:
    """C code that keeps the interpreter lock for long shows up as lag."""
    reports: list[tuple[float, int]] = []
    slow = threading.Event()

    def report(lag: float, rss: int) -> None:
        reports.append((lag, rss))
        if lag > 0.1:
            slow.set()

    meter = Meter(report)
    meter.start()
    try:
        numbers = list(range(3_000_000))
        for _ in range(200):
            sorted(numbers, key=str)  # one call that holds the lock for long
            if slow.is_set():
                break
        assert slow.is_set()
    finally:
        meter.stop()
    assert all(rss > 0 for _, rss in reports)
