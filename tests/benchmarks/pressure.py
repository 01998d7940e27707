"""More calls than a deployment takes, thousands of runs that wait, and memory under load."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from tests.benchmarks.asking import Answer, Asker
from tests.benchmarks.load import quantile
from tests.benchmarks.load import run as load
from tests.benchmarks.report import milliseconds, table
from tests.support.jupyter import JupyterServer

CELL = """
%load_ext warmcell
import time, warmcell
@warmcell.step
def work(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
@warmcell.pipeline
def busy(seconds: float = 0.02) -> float:
    return work(seconds)
busy.deploy("narrow", concurrency=4, max_queue=32)
busy.deploy("wide", concurrency=8, max_queue=5000)
"""
STEP = 0.02
OFFERED, CONCURRENCY, QUEUE = 1000, 4, 32
RUNS, STREAMS = 2000, 10
HUNG = 120.0  # seconds after which a call counts as hung


def prepare(server: JupyterServer) -> None:
    server.kernel("pressure.ipynb").run(CELL)


def count(server: JupyterServer, where: str) -> int:
    query = {"query": f"SELECT count(*) FROM runs WHERE {where}"}
    return int(server.post("warmcell/api/v1/sql", query).json()["rows"][0][0])


def overload(server: JupyterServer) -> str:
    """Offer 1,000 calls at once to a deployment that takes 36."""
    answers, hung = asyncio.run(_offer(server))
    statuses = Counter(answer.status for answer in answers)
    admitted = sorted(answer.seconds for answer in answers if answer.status == 200)
    kept = count(server, "deployment = 'narrow' AND status = 'succeeded'")
    through = STEP * (CONCURRENCY + QUEUE) / CONCURRENCY
    missing = [a for a in answers if a.status in (429, 503) and "retry-after" not in a.headers]
    rows = [
        ["answers: " + ", ".join(f"{n} x {s}" for s, n in sorted(statuses.items())), str(OFFERED)],
        ["calls that hung", str(hung)],
        ["429 or 503 without Retry-After", str(len(missing))],
        ["succeeded in the history / acknowledged", f"{kept} / {len(admitted)}"],
        ["p50 / p99 of the admitted", " / ".join(
            milliseconds(quantile(admitted, share)) for share in (0.5, 0.99))],
        ["p99 / time through a full queue", f"{quantile(admitted, 0.99) / through:.2f}"],
    ]  # fmt: skip
    return (
        f"### {OFFERED} calls at once, concurrency {CONCURRENCY}, queue {QUEUE}, step "
        f"{milliseconds(STEP)}\n\n{table(['', ''], rows)}\n"
    )


async def _offer(server: JupyterServer) -> tuple[list[Answer], int]:
    """Connect 250 callers; then each sends four calls, one after the other."""
    callers = [Asker(server.url, server.token) for _ in range(250)]
    await asyncio.gather(*(asker.connect() for asker in callers))

    async def call(asker: Asker) -> list[Answer]:
        body = {"parameters": {"seconds": STEP}}
        try:
            return [
                await asyncio.wait_for(asker.ask("POST", "warmcell/narrow/invoke", body), HUNG)
                for _ in range(OFFERED // len(callers))
            ]
        finally:
            asker.close()

    done = await asyncio.gather(*map(call, callers), return_exceptions=True)
    answers = [answer for each in done if not isinstance(each, BaseException) for answer in each]
    return answers, OFFERED - len(answers)


def queued(server: JupyterServer) -> str:
    """Queue 2,000 runs and read the events of ten of them meanwhile."""
    return asyncio.run(_queued(server))


async def _queued(server: JupyterServer) -> str:
    askers = [Asker(server.url, server.token) for _ in range(16)]
    body = {"parameters": {"seconds": 0.001}}
    began = time.perf_counter()
    share = RUNS // len(askers)
    for _ in range(share // 5):  # the base: calls that wait for their answers
        await asyncio.gather(*(a.ask("POST", "warmcell/wide/invoke", body) for a in askers))
    waited = (share // 5) * len(askers) / (time.perf_counter() - began)

    async def submit(asker: Asker) -> list[Answer]:
        return [await asker.ask("POST", "warmcell/wide/submit", body) for _ in range(share)]

    began = time.perf_counter()
    accepted = [a for each in await asyncio.gather(*map(submit, askers)) for a in each]
    accepting = len(accepted) / (time.perf_counter() - began)
    ids = [answer.json()["run_id"] for answer in accepted if answer.status == 202]
    ends = await asyncio.gather(
        *(_last_event(server, run_id) for run_id in ids[:: max(1, len(ids) // STREAMS)][:STREAMS])
    )
    until = time.perf_counter() + HUNG
    asker = askers[0]
    while time.perf_counter() < until:
        info = (await asker.ask("GET", "warmcell/wide/info")).json()
        if not info["in_flight"] and not info["queued"]:
            break
        await asyncio.sleep(0.05)
    rate = len(ids) / (time.perf_counter() - began)
    for each in askers:
        each.close()
    kept = count(server, "deployment = 'wide' AND status = 'succeeded'")
    expected = len(ids) + (share // 5) * len(askers)
    rows = [
        ["202 / offered", f"{len(ids)} / {RUNS}"],
        ["streams that ended with `done`", f"{ends.count('done')} / {len(ends)}"],
        ["succeeded in the history / acknowledged", f"{kept} / {expected}"],
        ["accepted per second / calls that wait, per second", f"{accepting / waited:.2f}"],
        ["ended per second / calls that wait, per second", f"{rate / waited:.2f}"],
    ]
    return f"### {RUNS} asynchronous runs, {STREAMS} event streams\n\n{table(['', ''], rows)}\n"


async def _last_event(server: JupyterServer, run_id: str) -> str:
    asker = Asker(server.url, server.token)
    last = ""
    try:
        async for kind, _ in asker.events(f"warmcell/wide/runs/{run_id}/events"):
            last = kind
    finally:
        asker.close()
    return last


def growth(server: JupyterServer) -> str:
    """The server's memory after 10,000 and after 100,000 calls."""
    url = f"{server.url}warmcell/wide/invoke"
    headers = [f"Authorization: token {server.token}"]
    found: list[int] = []
    made = 0
    for goal in (10_000, 100_000):
        while made < goal:
            result: dict[str, Any] = load(
                url,
                body={"parameters": {"seconds": 0}},
                headers=headers,
                connections=8,
                seconds=5,
            )
            made += int(result["rate"] * 5)
        count(server, "deployment = 'wide'")  # what is spooled is in the database then
        found.append(resident(server))
    rows = [
        ["after 10,000 calls", f"{found[0] / 2**20:.0f} MiB"],
        ["after 100,000 calls", f"{found[1] / 2**20:.0f} MiB"],
        ["ratio", f"{found[1] / found[0]:.2f}"],
        ["runs in the history / calls", f"{count(server, 'true')} / {made}"],
    ]
    return f"### Memory of the server\n\n{table(['', ''], rows)}\n"


def resident(server: JupyterServer) -> int:
    """Resident memory of the server's process, in bytes."""
    import psutil

    return int(psutil.Process(server.pid).memory_info().rss)


def measure(server: JupyterServer) -> str:
    prepare(server)
    return "\n".join([overload(server), queued(server), growth(server)])
