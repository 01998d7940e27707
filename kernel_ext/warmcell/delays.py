"""What cells do to calls: which cell holds the interpreter lock, said under that cell.

A cell that computes in Python gives the lock up every half millisecond, and nobody is told
anything. C code that keeps it (a big sort, a bad regular expression) delays every call of what the
kernel serves. The meter of :mod:`warmcell.vitals` notices when it gets the lock back; the cell
whose thread computed meanwhile is the one that held it.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Cells", "cells"]

NOTABLE = 0.2  # delay in seconds from which on a cell hears of it
SHARE = 0.5  # of the delay, that the cell's thread must have computed
AGAIN = 1.0  # seconds until a notice is changed, at least
WAY_OUT = (
    "Way out: run this work in another process, or serve from a kernel of its own "
    "(`warmcell pipeline deploy NOTEBOOK.ipynb::PIPELINE`)."
)

log = logging.getLogger("warmcell.delays")


class _Cell:
    """A cell that runs, or ran a moment ago. ``context`` is where its output belongs to."""

    def __init__(self) -> None:
        self.context = contextvars.copy_context()
        self.display_id = uuid.uuid4().hex
        self.worst = 0.0
        self.shown = 0.0
        self.shown_at = 0.0
        self._clock = _clock()
        self._sampled = self._computed()

    def _computed(self) -> float:
        """CPU seconds of the cell's thread, or of the process where threads have no clock."""
        if self._clock is not None:
            with contextlib.suppress(OSError):  # the thread has ended
                return time.clock_gettime(self._clock)
        return time.process_time()

    def sample(self) -> None:
        """The meter begins to wait."""
        self._sampled = self._computed()

    def computed(self) -> float:
        """CPU seconds since the last sample, or since the cell began."""
        return self._computed() - self._sampled


class Cells:
    """The cells that run in this kernel. Hooks run on the threads of the cells (subshells have
    their own), the rest on the meter's thread."""

    def __init__(self) -> None:
        self._shell: InteractiveShell | None = None
        self._served: Callable[[], list[str]] = list
        self._running: dict[int, _Cell] = {}
        self._due: float | None = None
        self._blamed = False

    def install(self, shell: InteractiveShell, served: Callable[[], list[str]]) -> None:
        """Watch the cells of ``shell``; ``served`` names the deployments that wait for them."""
        self.uninstall()
        self._shell, self._served = shell, served
        shell.events.register("pre_run_cell", self._began)
        shell.events.register("post_run_cell", self._ended)

    def uninstall(self) -> None:
        """Undo :meth:`install`; harmless when repeated."""
        shell, self._shell = self._shell, None
        self._running.clear()
        if shell is not None:
            for event, hook in (("pre_run_cell", self._began), ("post_run_cell", self._ended)):
                with contextlib.suppress(ValueError):  # somebody reset the shell's events
                    shell.events.unregister(event, hook)

    def _began(self, info: Any) -> None:
        self._running[threading.get_ident()] = _Cell()

    def _ended(self, result: Any) -> None:
        cell = self._running.pop(threading.get_ident(), None)
        if cell is None:
            return
        due = self._due
        if due is not None:  # the meter still waits, perhaps for the lock
            late = time.monotonic() - due
            if late >= NOTABLE and cell.computed() >= SHARE * late:
                self._blame(cell, late)
        if cell.worst > cell.shown:
            self._show(cell)

    # -- the meter's side --------------------------------------------------------------------

    def waits(self, due: float) -> None:
        """The meter waits until ``due`` (monotonic)."""
        for cell in list(self._running.values()):
            cell.sample()
        self._due = due

    def woke(self, seconds: float) -> None:
        """The meter goes on, so much later than it was due."""
        self._due = None
        if seconds < NOTABLE:
            return
        found = [(cell.computed(), cell) for cell in list(self._running.values())]
        computed, cell = max(found, key=lambda pair: pair[0], default=(0.0, None))
        if cell is None or computed < SHARE * seconds:
            return
        self._blame(cell, seconds)
        worse = cell.worst > 1.2 * cell.shown
        if worse and time.monotonic() - cell.shown_at >= AGAIN and _is_kernel(self._shell):
            self._show(cell)

    def blamed(self) -> bool:
        """Whether a cell held the lock since this was asked before."""
        found, self._blamed = self._blamed, False
        return found

    def _blame(self, cell: _Cell, seconds: float) -> None:
        self._blamed = True
        cell.worst = max(cell.worst, seconds)

    # -- the notice --------------------------------------------------------------------------

    def _show(self, cell: _Cell) -> None:
        """Show the notice under the cell, or change it there."""
        shell, names = self._shell, self._served()
        if shell is None or not names:
            return
        update = cell.shown > 0
        cell.shown, cell.shown_at = cell.worst, time.monotonic()
        text = _text(names, cell.worst)
        try:
            # In the context of the cell the publisher knows which cell the output belongs to.
            cell.context.copy().run(
                shell.display_pub.publish,
                {"text/plain": text, "text/html": _html(text)},
                transient={"display_id": cell.display_id},
                update=update,
            )
        except Exception:
            # The front end may be gone; the meter and the cell must go on.
            log.warning("A delay by a cell cannot be shown: %s", text, exc_info=True)


def _text(names: list[str], seconds: float) -> str:
    listed = ", ".join(f"'{name}'" for name in names[:3]) + (", …" if len(names) > 3 else "")
    what = "deployment" if len(names) == 1 else "deployments"
    return (
        f"Warmcell: this cell delays {what} {listed} by up to {seconds * 1000:.0f} ms: "
        f"it holds the interpreter lock. {WAY_OUT}"
    )


def _html(text: str) -> str:
    style = "border-left: 3px solid var(--jp-warn-color1, #e69f00); margin: 0; padding-left: 8px"
    return f'<p role="status" style="{style}">{html.escape(text)}</p>'


def _clock() -> int | None:
    """The CPU clock of this thread; None where the system has none."""
    find = getattr(time, "pthread_getcpuclockid", None)
    return None if find is None else int(find(threading.get_ident()))


def _is_kernel(shell: InteractiveShell | None) -> bool:
    """Whether output may be sent at any time: a terminal prints it into what the user types."""
    return getattr(shell, "kernel", None) is not None


cells = Cells()
