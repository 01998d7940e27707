"""How numbers are written: medians with their spread, in Markdown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "warmcell", "jupyter-server", "ipykernel", "tornado", "duckdb", "pydantic", "fastapi",
    "uvicorn", "scikit-learn", "sf-hamilton",
)  # fmt: skip


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """Median, and lowest to highest where there are several."""
    middle = show(statistics.median(values))
    return f"{middle} ({show(min(values))}–{show(max(values))})" if len(values) > 1 else middle


def ratio(values: Sequence[float], base: Sequence[float]) -> str:
    """Median of the ratios round by round; of the medians where the rounds do not correspond."""
    if len(values) == len(base):
        return f"{statistics.median(a / b for a, b in zip(values, base, strict=True)):.2f}"
    return f"{statistics.median(values) / statistics.median(base):.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """What was measured on, and which versions."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return (
        f"{processor()}, {platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}. Client and servers share the machine. Versions: "
        + ", ".join(found)
        + ".\n"
    )


def processor() -> str:
    import os

    cores = f"{os.cpu_count()} cores"
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return f"{cores} ({line.partition(':')[2].strip()})"
    return cores
