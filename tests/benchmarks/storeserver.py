"""What a server does with a large store: memory, pages over HTTP, export, import, pruning."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.bigstore import make
from tests.benchmarks.report import milliseconds, spread, table
from tests.benchmarks.storereads import reads
from tests.support.jupyter import JupyterServer

PAGES = {
    "runs": "runs?limit=50",
    "failed runs": "runs?limit=50&status=failed",
    "runs with a tag": "runs?limit=50&tag=nightly",
    "artifacts": "artifacts?limit=50",
    "versions": "artifact-versions?limit=50",
    "models": "models",
    "tags": "tags",
    "deployments": "deployments",
}
ROUNDS = 5
SMALL = 10_000  # runs
PATIENCE = 600.0  # seconds


def serve(homes: dict[int, Path], folder: Path) -> str:
    """Start a server on each store in turn; the large one is exported, imported and pruned."""
    lines, times = [], {}
    for size, home in sorted(homes.items()):
        server = JupyterServer(
            folder / f"root-{size}", folder, environment={"WARMCELL_HOME": str(home)}
        )
        begin = time.perf_counter()
        server.start()
        try:
            started = time.perf_counter() - begin
            before = memory(server)
            times[size] = {name: pages(server, path) for name, path in PAGES.items()}
            lines.append(
                [f"{size:,} runs", f"{started:.1f} s", megabytes(before), megabytes(memory(server))]
            )
            changed = changes(server, folder, size) if size == max(homes) else []
        finally:
            server.stop()
    small, large = min(homes), max(homes)
    asked = [
        [name, spread(times[small][name], milliseconds), spread(times[large][name], milliseconds)]
        for name in PAGES
    ]
    head = ["", f"{small:,} runs", f"{large:,} runs"]
    after = ["", "took", "slowest page meanwhile", "memory after", "what"]
    return (
        f"{table(['', 'start', 'memory then', 'after its pages'], lines)}\n\n"
        f"Over HTTP, {ROUNDS} times each:\n\n{table(head, asked)}\n\n"
        f"Of {large:,} runs:\n\n{table(after, changed)}\n"
    )


def pages(server: JupyterServer, path: str) -> list[float]:
    """Seconds of each of some requests."""
    times = []
    for turn in range(ROUNDS + 1):
        begin = time.perf_counter()
        answer = server.get(f"warmcell/api/v1/{path}")
        if turn:
            times.append(time.perf_counter() - begin)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {answer.text}")
    return times


def changes(server: JupyterServer, folder: Path, size: int) -> list[list[str]]:
    """Weigh the store, export it, import that into a new one, and prune half of it; while a page
    of runs is asked for again and again."""
    lines: list[list[str]] = []

    def took(name: str, work: Callable[[], dict[str, Any]]) -> None:
        with Asking(server) as asking:
            begin = time.perf_counter()
            said = work()
            seconds = time.perf_counter() - begin
        what = ", ".join(f"{key} {value:,}" for key, value in said.items() if type(value) is int)
        lines.append(
            [name, f"{seconds:.1f} s", milliseconds(asking.worst), megabytes(memory(server)), what]
        )

    def post(at: JupyterServer, path: str, body: Any) -> Any:
        answer = at.post(f"warmcell/api/v1/{path}", body, timeout=PATIENCE)
        if answer.status not in (200, 201):
            raise RuntimeError(f"{path} answered {answer.status}: {answer.text}")
        return answer.json()

    half = {"max_runs": size // 2}
    exported = str(folder / "exported")
    took("size and growth", lambda: server.get("warmcell/api/v1/store").json())
    took("export", lambda: post(server, "store/export", {"to": exported}))
    other = JupyterServer(
        folder / "other", folder, environment={"WARMCELL_HOME": str(folder / "taken")}
    )
    other.start()
    try:
        took("import into another", lambda: post(other, "store/import", {"from": exported}))
        lines[-1][3] = megabytes(memory(other))
    finally:
        other.stop()
    took("prune half, dry run", lambda: post(server, "store/prune", {**half, "dry_run": True}))
    took("prune half", lambda: post(server, "store/prune", half))
    return lines


class Asking:
    """Asks for the first page of runs, over and over; ``worst`` is the longest wait in seconds."""

    def __init__(self, server: JupyterServer) -> None:
        self.worst = 0.0
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.is_set():
            begin = time.perf_counter()
            answer = self._server.get("warmcell/api/v1/runs?limit=50", timeout=PATIENCE)
            self.worst = max(self.worst, time.perf_counter() - begin)
            if answer.status != 200:
                raise RuntimeError(f"runs answered {answer.status}: {answer.text}")


def memory(server: JupyterServer) -> int:
    """Resident bytes of a server."""
    return int(psutil.Process(server.pid).memory_info().rss)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def measure(folder: Path, runs: int, repeats: int) -> str:
    """Make a small and a large store in ``folder``, unless they are there, and ask both."""
    homes = {SMALL: folder / str(SMALL), runs: folder / str(runs)}
    made = []
    for size, home in homes.items():
        if not (home / "store.duckdb").exists():
            took = make(home, size)
            parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())
            made.append(f"{size:,} runs made in: {parts}.")
    asked = reads(homes, repeats)
    return (
        f"### A store of {runs:,} runs\n\n{' '.join(made)}\n\n{asked}\n\n{repeats} times each, in "
        "turns, of the store itself; wall time and all of the processor's.\n\n"
        f"{serve(homes, folder)}"
    )
