"""What the callers call: a pipeline whose answers say which version gave them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["NAMES", "NOTEBOOK", "deploying", "note", "notebook"]

NAMES = ("faults", "again")  # the second one's runs are sent once more when their kernel dies
NOTEBOOK = "faults.ipynb"
_CELLS = """\
%load_ext warmcell
import pathlib, time
import numpy as np
from warmcell import get_step_context, pipeline, step

EXECUTED = {executed!r}

@step
def work(number: int, seconds: float) -> dict:
    with pathlib.Path(EXECUTED).open("ab", buffering=0) as file:
        file.write(f"{{number}} {{get_step_context().run_id}}\\n".encode())
    time.sleep(seconds)
    return {{"number": number, "version": VERSION, "mean": float(weights.mean())}}

@pipeline
def faults(number: int, seconds: float = 0.0) -> dict:
    return work(number, seconds)
"""


def notebook(executed: Path) -> str:
    """The notebook; each execution adds a line "number run_id" to ``executed``."""
    return _CELLS.format(executed=str(executed))


def note(version: int) -> str:
    """What a snapshot of ``version`` is noted with."""
    return f"version {version}"


def deploying(version: int) -> str:
    """Deploy ``version`` under all names; the cell's value is the numbers of its snapshots."""
    options = f"note={note(version)!r}, concurrency=8, max_queue=200"
    return (
        f"VERSION, weights = {version}, np.full(50_000, {version}.0)\n"
        f"[faults.deploy('faults', {options}).snapshot,\n"
        f" faults.deploy('again', {options}, idempotent=True).snapshot]"
    )
