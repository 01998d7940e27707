"""A frame of a gigabyte as an artifact, against plain Parquet on the same disk."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.report import milliseconds, ratio, spread, table

if TYPE_CHECKING:
    from tests.support.jupyter import JupyterServer

ROUNDS = 5
BYTES = 1 << 30


LOADS = {
    "read_parquet": "pandas.read_parquet(folder / 'plain.parquet')",
    "load_artifact": "warmcell.load_artifact('frame')",
}


def measure(server: JupyterServer) -> str:
    kernel = server.kernel("frames.ipynb")
    root = str(Path(__file__).parents[2])
    kernel.run(f"import sys; sys.path.insert(0, {root!r})\n%load_ext warmcell")
    kernel.run("from tests.benchmarks.frames import saved\nresult = saved()", timeout=600)
    found: dict[str, list[float]] = json.loads(kernel.value("__import__('json').dumps(result)"))
    for number in range(ROUNDS):
        for name in LOADS if number % 2 else reversed(LOADS):
            found.setdefault(name, []).append(_loaded(server, f"{name}-{number}.ipynb", name))
    rows = [
        [what, spread(plain, milliseconds), spread(ours, milliseconds), ratio(ours, plain)]
        for what, plain, ours in (
            ("save", found["to_parquet"], found["save_artifact"]),
            ("load", found["read_parquet"], found["load_artifact"]),
        )
    ]
    head = ["1 GB frame", "plain Parquet", "artifact", "ratio"]
    return f"### Frames as artifacts\n\n{table(head, rows)}\n"


def saved(size: int = BYTES) -> dict[str, list[float]]:
    """Seconds of each round, in a kernel; the last frame stays, for loading. Rounds alternate: what
    is first pays for the others; a round before them, which gets the memory from the system, does
    not count."""
    from warmcell import Client, save_artifact

    plain = Path(Client().active_stack.artifact_store.path) / "plain.parquet"
    found: dict[str, list[float]] = {}
    made: list[Any] = []
    for number in range(-1, ROUNDS):
        table = frame(size, number + 1)
        calls: list[tuple[str, Callable[[], object]]] = [
            ("to_parquet", lambda table=table: table.to_parquet(plain)),
            ("save_artifact", lambda table=table: made.append(save_artifact(table, "frame"))),
        ]
        for earlier in made:
            earlier.delete()
        made.clear()
        plain.unlink(missing_ok=True)
        for name, call in calls if number % 2 else reversed(calls):
            os.sync()  # neither writes what the other left to the disk
            found.setdefault(name, []).append(_timed(call))
        if number < 0:
            found.clear()
    return found


def _loaded(server: JupyterServer, path: str, name: str) -> float:
    """Seconds of one load in a kernel of its own: what an earlier one left of memory does not
    count."""
    kernel = server.kernel(path)
    kernel.run(
        "%load_ext warmcell\nimport time, pathlib, pandas, pyarrow.parquet, warmcell\n"
        "folder = pathlib.Path(warmcell.Client().active_stack.artifact_store.path)\n"
        f"begin = time.perf_counter()\nframe = {LOADS[name]}\n"
        "seconds = time.perf_counter() - begin",
        timeout=600,
    )
    seconds = float(kernel.value("seconds"))
    kernel.close()
    return seconds


def frame(size: int, seed: int) -> Any:
    """A frame of about ``size`` bytes: numbers, whole numbers, times and words."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(seed)
    rows = size // 64
    words = np.array([f"shop number {number}" for number in range(1000)])
    columns: dict[str, Any] = {f"x{number}": random.standard_normal(rows) for number in range(4)}
    columns["id"] = np.arange(rows)
    columns["count"] = random.integers(0, 1000, rows)
    columns["time"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows), unit="s")
    columns["shop"] = words[random.integers(0, 1000, rows)]
    return pd.DataFrame(columns)


def _timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
