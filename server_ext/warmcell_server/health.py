"""Whether a worker can run what is sent to it, by what it measures of itself.

Nothing outside of a kernel can tell a cell that computes from one that keeps every other thread
from running. So the kernel reports, about once a second, how long a thread of it had to wait for
the interpreter lock; and where the lock is never given back, that report does not come.
"""

from __future__ import annotations

import time

from warmcell_server.workers import Binding

__all__ = ["SILENT", "STARVED", "STUCK", "WAY_OUT", "silence", "starvation"]

STARVED = 0.5  # lag in seconds from which on calls are better sent elsewhere
SILENT = 3.0  # seconds without a report, of which there is one each second
STUCK = 16  # threads that were replaced and still have not returned
WAY_OUT = (
    "Run such work in another process, or serve from a kernel of its own: "
    "`warmcell pipeline deploy NOTEBOOK.ipynb::PIPELINE`."
)


def silence(binding: Binding) -> float:
    """Seconds since the binding's worker was heard of."""
    return max(0.0, time.monotonic() - max(binding.since, binding.worker.heard_at))


def starvation(binding: Binding) -> str:
    """Say in one sentence what keeps the calls of ``binding`` from running; empty if nothing."""
    worker = binding.worker
    quiet = silence(binding)
    if quiet >= SILENT:
        return (
            f"The kernel has not been heard of for {quiet:.0f} s: code that "
            "does not release the interpreter lock runs in it, or its process is stopped."
        )
    vitals = worker.vitals
    if vitals is None:
        return ""
    if vitals.stuck >= STUCK:
        return (
            f"{vitals.stuck} threads of the kernel are past the deadline of their run and have not "
            "returned."
        )
    if vitals.lag < STARVED:
        return ""
    who = "A cell of the notebook" if vitals.by_cell else "Something in the kernel"
    return f"{who} holds the interpreter lock: calls wait up to {vitals.lag * 1000:.0f} ms longer."
