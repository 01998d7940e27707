"""A frame of a gigabyte as an artifact, against plain Parquet on the same disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.report import milliseconds, ratio, spread, table

if TYPE_CHECKING:
    from tests.support.jupyter import JupyterServer

ROUNDS = 5
BYTES = 1 << 30


def measure(server: JupyterServer) -> str:
    kernel = server.kernel("frames.ipynb")
    root = str(Path(__file__).parents[2])
    kernel.run(f"import sys; sys.path.insert(0, {root!r})\n%load_ext warmcell")
    kernel.run("from tests.benchmarks.frames import inside\nresult = inside()", timeout=600)
    found: dict[str, list[float]] = json.loads(kernel.value("__import__('json').dumps(result)"))
    rows = [
        [what, spread(plain, milliseconds), spread(ours, milliseconds), ratio(ours, plain)]
        for what, plain, ours in (
            ("save", found["to_parquet"], found["save_artifact"]),
            ("load", found["read_parquet"], found["load_artifact"]),
        )
    ]
    head = ["1 GB frame", "plain Parquet", "artifact", "ratio"]
    return f"### Frames as artifacts\n\n{table(head, rows)}\n"


def inside(size: int = BYTES) -> dict[str, list[float]]:
    """Seconds of each round, in a kernel. Rounds alternate: what is first pays for the others; a
    round before them, which gets the memory from the system, does not count."""
    import pandas as pd

    from warmcell import Client, load_artifact, save_artifact

    folder = Path(Client().active_stack.artifact_store.path)
    plain = folder / "plain.parquet"
    found: dict[str, list[float]] = {}
    for number in range(-1, ROUNDS):
        table = frame(size, number + 1)
        made: list[Any] = []

        def save(table: Any = table, made: list[Any] = made, number: int = number) -> None:
            made.append(save_artifact(table, f"frame-{number}"))

        calls: list[tuple[str, Callable[[], object]]] = [
            ("to_parquet", lambda table=table: table.to_parquet(plain)),
            ("save_artifact", save),
        ]
        for name, call in calls if number % 2 else reversed(calls):
            found.setdefault(name, []).append(_timed(call))
        del table
        calls = [
            ("read_parquet", lambda: pd.read_parquet(plain)),
            ("load_artifact", lambda made=made: load_artifact(made[0])),
        ]
        for name, call in calls if number % 2 else reversed(calls):
            found.setdefault(name, []).append(_timed(call))
        if number < 0:
            found.clear()
        made[0].delete()
        plain.unlink()
    return found


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
