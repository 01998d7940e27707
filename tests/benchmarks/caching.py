"""A pipeline of 100 steps: run, and taken from the cache. Half of it runs inside a kernel."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.benchmarks.report import milliseconds, ratio, spread, table
from tests.support.jupyter import JupyterServer

STEPS = 100
REPEATS = 15
PAUSE = 0.5  # seconds, as between two cells: what a run gave is stored by then


def measure(server: JupyterServer) -> str:
    kernel = server.kernel("caching.ipynb")
    root = str(Path(__file__).parents[2])
    kernel.run(f"import sys; sys.path.insert(0, {root!r})\n%load_ext warmcell")
    kernel.run(cells(STEPS))
    kernel.run("from tests.benchmarks.caching import compare")
    kernel.run("result = compare(hundred)", timeout=300)
    values: dict[str, list[float]] = kernel.value("result")
    base = values["every step runs"]
    rows = [
        [name, spread(found, milliseconds), ratio(found, base)] for name, found in values.items()
    ]
    head = [f"pipeline of {STEPS} steps", "median (lowest–highest)", "ratio"]
    return f"### Taking results again\n\n{table(head, rows)}\n"


def compare(hundred: Any) -> dict[str, list[float]]:
    """Seconds that a run takes, by how it gets its results; in turn, round by round."""
    assert hundred(1, enable_cache=False).output == STEPS * (STEPS + 1) // 2 + 1
    found: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        for name, options in (
            ("every step runs", {"enable_cache": False}),
            ("every step is taken from the cache", {"enable_cache": True}),
            ("the last step runs", {"enable_cache": True, "from_step": f"step{STEPS}"}),
        ):
            time.sleep(PAUSE)
            begin = time.perf_counter()
            run = hundred(1, **options)
            found.setdefault(name, []).append(time.perf_counter() - begin)
            taken = sum(step.cached is not None for step in run.steps)
            ran = {"every step runs": STEPS, "the last step runs": 1}.get(name, 0)
            assert taken == STEPS - ran, (name, [step.uncached for step in run.steps])
    return found


def cells(steps: int) -> str:
    """A chain of so many steps, each with code of its own, as a cell."""
    lines = ["from warmcell import pipeline, step"]
    for number in range(1, steps + 1):
        lines += ["@step", f"def step{number}(x: int) -> int:", f"    return x + {number}"]
    lines += ["@pipeline", "def hundred(x: int) -> int:"]
    lines += [f"    x = step{number}(x)" for number in range(1, steps + 1)]
    lines.append("    return x")
    return "\n".join(lines)
