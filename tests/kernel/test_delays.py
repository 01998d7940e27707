"""Which cell holds the interpreter lock, and the notice under it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from tests.kernel.shells import Notebook, notebook
from warmcell.delays import NOTABLE, Cells
from warmcell.vitals import Meter

LATE = 2 * NOTABLE
# Long enough that the meter's wait ends within it, whatever this machine is.
HOLD = """\
import time
n = 1_000_000
began = time.perf_counter()
sum(range(n))
sum(range(int(n * 2 * LATE / (time.perf_counter() - began))))
"""


class Watched:
    """A shell whose cells are watched, with a deployment that waits for them."""

    def __init__(self, cells: Cells, shell: Notebook) -> None:
        self.cells = cells
        self.shell = shell
        self.served = ["churn"]
        cells.install(shell.shell, lambda: self.served)

    def __call__(self, text: str) -> list[tuple[str, bool]]:
        """Run a cell; returns the text of each notice and whether it changed an earlier one."""
        with capture_output() as output:
            result = self.shell.shell.run_cell(text)
        result.raise_error()
        return [
            (shown.data["text/plain"], bool(shown.update))
            for shown in output.outputs
            if shown.data["text/plain"].startswith("Warmcell")
        ]


@pytest.fixture
def watched() -> Iterator[Watched]:
    with notebook() as shell:
        found = Watched(Cells(), shell)
        shell.shell.user_ns.update(cells=found.cells, compute=compute, LATE=LATE)
        yield found
        found.cells.uninstall()


def compute(seconds: float) -> None:
    """Use that much CPU on this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_a_cell_that_holds_the_lock_hears_of_it(watched: Watched) -> None:
    """One long call of C code is noticed although the cell ends with it, and the deployment that
    waited is named with the way out."""
    reports: list[Any] = []
    meter = Meter(lambda lag, rss: reports.append(lag), watched.cells)
    meter.start()
    try:
        ((text, update),) = watched(HOLD)
    finally:
        meter.stop()
    assert "this cell delays deployment 'churn' by up to" in text
    assert "Way out" in text
    assert not update
    assert watched.cells.blamed()
    assert not watched.cells.blamed()


def test_who_did_not_compute_is_not_blamed(watched: Watched) -> None:
    """A delay in a cell that only waits, or that was idle meanwhile, is somebody else's."""
    assert watched("cells.waits(0.0); cells.woke(LATE)") == []
    assert watched("compute(LATE); cells.waits(0.0); cells.woke(LATE)") == []
    watched.cells.waits(0.0)
    watched.cells.woke(LATE)
    assert not watched.cells.blamed()


def test_a_notice_is_for_what_is_notable_and_served(watched: Watched) -> None:
    """Short delays are nobody's business, nor are long ones where nothing is served."""
    assert watched("cells.waits(0.0); compute(LATE); cells.woke(LATE / 4)") == []
    watched.served = []
    assert watched("cells.waits(0.0); compute(LATE); cells.woke(LATE)") == []


def test_a_kernel_says_it_at_once_and_changes_it(watched: Watched) -> None:
    """Where output can be sent at any time, the notice comes while the cell runs; a worse delay
    changes it at the end, and a smaller one does not."""
    watched.shell.shell.kernel = object()
    once = "cells.waits(0.0); compute(LATE); cells.woke(LATE)\n"
    found = watched(once + "cells.waits(0.0); compute(2 * LATE); cells.woke(2 * LATE)\n" + once)
    assert [update for _, update in found] == [False, True]
    assert f"up to {LATE * 1000:.0f} ms" in found[0][0]
    assert f"up to {2 * LATE * 1000:.0f} ms" in found[1][0]


def test_nothing_is_left_behind(watched: Watched) -> None:
    """Without the hooks no cell is watched; installing again does not double them."""
    watched.cells.install(watched.shell.shell, lambda: ["churn", "spam", "eggs", "ham"])
    ((text, _),) = watched("cells.waits(0.0); compute(LATE); cells.woke(LATE)")
    assert "deployments 'churn', 'spam', 'eggs', … by" in text
    watched.cells.uninstall()
    watched.cells.uninstall()
    assert watched("cells.waits(0.0); compute(LATE); cells.woke(LATE)") == []
