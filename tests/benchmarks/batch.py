"""What a step costs in a batch run, against plain calls and Hamilton. Runs inside a kernel."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

from warmcell import pipeline, step

CHAIN = 100
FAN = 50
REPEATS = 30


def add_one(x: int) -> int:
    return x + 1


def total(values: list[int]) -> int:
    return sum(values)


increment = step(add_one)
join = step(total)


@pipeline(enable_cache=False)
def chain(x: int) -> int:
    for _ in range(CHAIN):
        x = increment(x)
    return x


@pipeline(enable_cache=False)
def single(x: int) -> int:
    return increment(x)


@pipeline(enable_cache=False)
def fan(x: int) -> int:
    return join([increment(x) for _ in range(FAN)])


def plain_chain(x: int) -> int:
    for _ in range(CHAIN):
        x = add_one(x)
    return x


def plain_fan(x: int) -> int:
    return total([add_one(x) for _ in range(FAN)])


def hamilton(lines: list[str], last: str) -> Callable[[int], Any]:
    """A Hamilton driver over functions made from ``lines``; the answer runs it."""
    from hamilton import ad_hoc_utils, driver

    made: dict[str, Any] = {}
    exec("\n".join(lines), made)
    functions = [value for name, value in made.items() if name != "__builtins__"]
    module = ad_hoc_utils.create_temporary_module(*functions)
    built = driver.Builder().with_modules(module).build()
    return lambda x: built.execute([last], inputs={"x": x})


def hamilton_chain() -> Callable[[int], Any]:
    names = ["x", *(f"node{number}" for number in range(CHAIN))]
    lines = [
        f"def {name}({before}: int) -> int:\n    return {before} + 1"
        for before, name in itertools.pairwise(names)
    ]
    return hamilton(lines, names[-1])


def hamilton_fan() -> Callable[[int], Any]:
    names = [f"node{number}" for number in range(FAN)]
    lines = [f"def {name}(x: int) -> int:\n    return x + 1" for name in names]
    arguments = ", ".join(f"{name}: int" for name in names)
    lines.append(f"def join({arguments}) -> int:\n    return {' + '.join(names)}")
    return hamilton(lines, "join")


def timed(function: Callable[[int], Any], steps: int) -> list[float]:
    """Seconds per step: lowest, median and highest of the repeats, after three to warm up."""
    for _ in range(3):
        function(1)
    found = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        function(1)
        found.append((time.perf_counter() - begin) / steps)
    return [min(found), statistics.median(found), max(found)]


def measure() -> dict[str, list[float]]:
    """All comparisons, each in seconds per step."""
    assert plain_chain(1) == chain(1).output == CHAIN + 1
    assert plain_fan(1) == fan(1).output == 2 * FAN
    whole, one = timed(chain, 1), timed(single, 1)
    spread = timed(fan, 1)
    return {
        "plain calls, chain of 100": timed(plain_chain, CHAIN),
        "Hamilton, chain of 100": timed(hamilton_chain(), CHAIN),
        "Warmcell, chain of 100, recorded and shown live": [t / CHAIN for t in whole],
        "the same without what a run of one step costs": further(whole, one, CHAIN),
        "Warmcell, a whole run of one step, recorded and shown live": one,
        "plain calls, fan-out of 50": timed(plain_fan, FAN + 1),
        "Hamilton, fan-out of 50": timed(hamilton_fan(), FAN + 1),
        "Warmcell, fan-out of 50, recorded and shown live": [t / (FAN + 1) for t in spread],
        "the same without what a run of one step costs, fan-out": further(spread, one, FAN + 1),
    }


def further(whole: list[float], one: list[float], steps: int) -> list[float]:
    """Seconds per step after the first: of the lowest, the median and the highest run."""
    return [
        (all_of_them - first) / (steps - 1) for all_of_them, first in zip(whole, one, strict=True)
    ]
