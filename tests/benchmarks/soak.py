"""``python3 dev.py soak --minutes 60``: everything at once, for long, and every promise counted.

Callers wait for answers, start runs and follow them, stream, cancel, send batches and keys; the
notebook deploys anew all the while and one cell after another spins. At the end each acknowledged
run must be in the history with the state that its caller was told, and nothing may have grown.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.asking import Asker
from tests.benchmarks.load import quantile
from tests.benchmarks.report import machine, milliseconds, table
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELL = """
%load_ext warmcell
import time, warmcell
@warmcell.step
def prepare(number: int) -> int:
    print("preparing", number)
    return number + offset
@warmcell.step
def work(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number * 2
offset = 0
@warmcell.pipeline
def soak(number: int, seconds: float = 0.0) -> int:
    return work(prepare(number), seconds)
soak.deploy("soak", concurrency=8, max_queue=200)
"""
SPIN = "sum(i * i for i in range(20_000_000)) and None"
PATH = "warmcell/soak/"


class Soak:
    """The callers, and what they were told: run ids and the states they ended in."""

    def __init__(self, server: JupyterServer) -> None:
        self.server = server
        self.told: dict[str, str] = {}
        self.statuses: Counter[str] = Counter()
        self.broken: list[str] = []
        self.times: list[list[float]] = [[]]
        self.until = 0.0

    async def run(self, seconds: float) -> None:
        self.until = time.monotonic() + seconds
        waiting = [self._waits() for _ in range(6)]
        others = [self._detached(), self._streams(), self._cancels(), self._batches(), self._keys()]
        await asyncio.gather(*waiting, *others)

    async def _repeat(self, name: str, once: Any) -> None:
        asker = Asker(self.server.url, self.server.token)
        while time.monotonic() < self.until:
            try:
                await asyncio.wait_for(once(asker), 120)
            except (OSError, EOFError, TimeoutError, AssertionError, KeyError) as error:
                self.broken.append(f"{name}: {type(error).__name__}: {error}")
                asker.close()
        asker.close()

    def _count(self, kind: str, status: int) -> None:
        self.statuses[f"{kind} {status}"] += 1

    def _body(self, **more: Any) -> dict[str, Any]:
        return {"parameters": {"number": random.randrange(1000), **more}}

    async def _waits(self) -> None:
        async def once(asker: Asker) -> None:
            answer = await asker.ask("POST", PATH + "invoke", self._body())
            self._count("invoke", answer.status)
            assert answer.status in (200, 429, 503), answer.body
            if answer.status == 200:
                self.times[-1].append(answer.seconds)
                self.told[answer.json()["metadata"]["run_id"]] = "succeeded"
            await asyncio.sleep(0.005)

        await self._repeat("invoke", once)

    async def _detached(self) -> None:
        async def once(asker: Asker) -> None:
            answer = await asker.ask("POST", PATH + "submit", self._body(seconds=0.01))
            self._count("submit", answer.status)
            assert answer.status in (202, 429, 503), answer.body
            if answer.status == 202:
                run_id = answer.json()["run_id"]
                self.told[run_id] = await self._end_of(asker, run_id)

        await self._repeat("submit", once)

    async def _end_of(self, asker: Asker, run_id: str) -> str:
        while True:
            answer = await asker.ask("GET", f"{PATH}runs/{run_id}")
            assert answer.status == 200, answer.body
            status = str(answer.json()["status"])
            if status not in ("queued", "running"):
                return status
            await asyncio.sleep(0.1)

    async def _streams(self) -> None:
        async def once(asker: Asker) -> None:
            run_id, last = "", ""
            async for kind, data in asker.events(PATH + "invoke", self._body(seconds=0.02)):
                last = kind
                if kind == "run":
                    run_id = data["run_id"]
            self._count(f"stream {last}", 200)
            assert last == "done", f"the stream ended with {last!r}"
            self.told[run_id] = "succeeded"
            asker.close()

        await self._repeat("stream", once)

    async def _cancels(self) -> None:
        async def once(asker: Asker) -> None:
            answer = await asker.ask("POST", PATH + "submit", self._body(seconds=0.5))
            if answer.status == 202:
                run_id = answer.json()["run_id"]
                await asyncio.sleep(random.random() / 5)
                stopped = await asker.ask("DELETE", f"{PATH}runs/{run_id}")
                self._count("cancel", stopped.status)
                assert stopped.status in (202, 409), stopped.body
                self.told[run_id] = await self._end_of(asker, run_id)

        await self._repeat("cancel", once)

    async def _batches(self) -> None:
        async def once(asker: Asker) -> None:
            instances = [self._body()["parameters"] for _ in range(20)]
            answer = await asker.ask("POST", PATH + "invoke", {"instances": instances})
            self._count("batch", answer.status)
            assert answer.status in (200, 429, 503), answer.body
            if answer.status == 200:
                for result in answer.json()["results"]:
                    assert result["success"], result
                    self.told[result["metadata"]["run_id"]] = "succeeded"
            await asyncio.sleep(0.2)

        await self._repeat("batch", once)

    async def _keys(self) -> None:
        async def once(asker: Asker) -> None:
            key = {"Idempotency-Key": str(random.random())}
            body = self._body()
            first = await asker.ask("POST", PATH + "invoke", body, key)
            again = await asker.ask("POST", PATH + "invoke", body, key)
            self._count("key", again.status)
            if first.status == 200:
                assert again.json() == first.json(), "the replay differs"
                self.told[first.json()["metadata"]["run_id"]] = "succeeded"
            await asyncio.sleep(0.1)

        await self._repeat("key", once)


def deploy_on(kernel: Kernel, stop: threading.Event, done: list[int]) -> None:
    """The notebook meanwhile: edit, deploy again, let a cell spin, roll back."""
    while not stop.wait(10):
        done[0] += 1
        kernel.run(f"offset = {done[0] % 7}")
        kernel.run("deployed = soak.deploy('soak', concurrency=8, max_queue=200)")
        kernel.run(SPIN, timeout=120)
        if done[0] % 3 == 0:
            kernel.run("deployed.rollback()")


def missing(server: JupyterServer, told: dict[str, str]) -> Counter[str]:
    """What the history says otherwise than the callers were told."""
    found: Counter[str] = Counter()
    ids = list(told)
    for start in range(0, len(ids), 5000):
        part = ids[start : start + 5000]
        query = f"SELECT run_id, status FROM runs WHERE run_id IN ({', '.join(map(repr, part))})"
        body = {"query": query, "limit": 5000}
        rows = dict(server.post("warmcell/api/v1/sql", body, timeout=120).json()["rows"])
        for run_id in part:
            if rows.get(run_id) != told[run_id]:
                found[f"told {told[run_id]}, kept {rows.get(run_id)}"] += 1
    return found


def memory(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def measure(server: JupyterServer, minutes: float) -> str:
    kernel = server.kernel("soak.ipynb")
    kernel.run(CELL)
    soak = Soak(server)
    stop, deploys = threading.Event(), [0]
    notebook = threading.Thread(target=deploy_on, args=(kernel, stop, deploys))
    sizes: list[tuple[int, int]] = []

    async def watch() -> None:
        await asyncio.sleep(minutes * 6)  # a tenth: what is loaded late is loaded
        while time.monotonic() < soak.until:
            sizes.append((memory(server.pid), memory(kernel.pid)))
            soak.times.append([])
            await asyncio.sleep(minutes * 6)

    async def everything() -> None:
        await asyncio.gather(soak.run(minutes * 60), watch())

    notebook.start()
    try:
        asyncio.run(everything())
    finally:
        stop.set()
        notebook.join(180)
    wrong = missing(server, soak.told)
    rows = [
        ["minutes", f"{minutes:g}"],
        ["runs whose end was told", str(len(soak.told))],
        ["of them kept otherwise", str(dict(wrong) or 0)],
        ["calls that broke", str(len(soak.broken))],
        ["deploys meanwhile", str(deploys[0])],
        ["answers", ", ".join(f"{n} x {kind}" for kind, n in sorted(soak.statuses.items()))],
    ]
    parts = [sorted(part) for part in soak.times if len(part) > 100]
    if len(parts) > 1:
        p50 = [quantile(part, 0.5) for part in parts]
        rows.append(["p50 by tenths", ", ".join(map(milliseconds, p50))])
        rows.append(["p50, last tenths / first", f"{statistics.mean(p50[-3:]) / p50[0]:.2f}"])
        p99 = [quantile(part, 0.99) for part in parts]
        rows.append(["p99 by tenths", ", ".join(map(milliseconds, p99))])
    if len(sizes) > 1:
        for which, name in enumerate(("server", "kernel")):
            first, last = sizes[0][which], sizes[-1][which]
            text = f"{first / 2**20:.0f} to {last / 2**20:.0f} MiB, {last / first:.2f}"
            rows.append([f"memory of the {name}", text])
    text = f"### Soak\n\n{table(['', ''], rows)}\n"
    if soak.broken:
        text += "\n" + "\n".join(f"- {line}" for line in soak.broken[:20]) + "\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    sys.stdout.write(f"## Soak\n\n{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        server = JupyterServer(Path(folder) / "root", Path(folder))
        try:
            sys.stdout.write(measure(server.start(), given.minutes))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
