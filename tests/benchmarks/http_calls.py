"""Calls over HTTP: Warmcell and FastAPI side by side, in turns, by the same load generator."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.load import run as load
from tests.benchmarks.report import milliseconds, ratio, spread, table
from tests.support.http import request
from tests.support.jupyter import JupyterServer, free_port
from tests.support.kernels import Kernel

CUSTOMER = {"age": 41, "tenure": 30, "balance": 1520.5, "products": 2}
SPIN = """
import time
until = time.monotonic() + {seconds}
while time.monotonic() < until:
    sum(number * number for number in range(1000))
"""


@dataclass
class Peer:
    """One thing that answers, and what was measured of it, one entry per round."""

    name: str
    url: str
    body: Any
    headers: list[str]
    one: list[dict[str, Any]] = field(default_factory=list)
    many: list[dict[str, Any]] = field(default_factory=list)

    def measure(self, requests: int, connections: int, seconds: float) -> None:
        self.one.append(load(self.url, body=self.body, headers=self.headers, requests=requests))
        self.many.append(
            load(
                self.url,
                body=self.body,
                headers=self.headers,
                connections=connections,
                seconds=seconds,
            )
        )


@contextmanager
def fastapi() -> Iterator[str]:
    """uvicorn with one worker and without an access log; yields the URL of the call."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.benchmarks.fastapi_peer:app"]
    command += ["--port", str(port), "--workers", "1", "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen(command)
    url = f"http://127.0.0.1:{port}/churn"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                request("POST", url, json_body=CUSTOMER)
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def deploy(kernel: Kernel) -> None:
    """Define the pipeline as cells and deploy it twice: recorded, and not recorded."""
    kernel.run((Path(__file__).parent / "work.py").read_text())
    kernel.run(
        "import warmcell\n"
        "steps = [warmcell.step(function) for function in (features, score, respond)]\n"
        "features, score, respond = steps\n"
        "@warmcell.pipeline\n"
        "def churn(customer: Customer) -> dict:\n"
        "    return respond(score(features(customer)))\n"
    )
    kernel.run("churn.deploy('churn')")
    kernel.run("churn.deploy('churn-untracked', settings={'record': 'none'})")


def measure(server: JupyterServer, rounds: int, requests: int, connections: int) -> str:
    kernel = server.kernel("benchmark.ipynb")
    kernel.run("%load_ext warmcell")
    deploy(kernel)
    token = [f"Authorization: token {server.token}"]
    body = {"parameters": {"customer": CUSTOMER}}
    tracked_url = f"{server.url}warmcell/churn/invoke"
    untracked_url = f"{server.url}warmcell/churn-untracked/invoke"
    with fastapi() as url:
        base = Peer("FastAPI, plain `def`, records nothing", url, CUSTOMER, [])
        tracked = Peer("Warmcell, every run recorded", tracked_url, body, token)
        untracked = Peer('Warmcell, `record="none"`', untracked_url, body, token)
        spinning = Peer("Warmcell, recorded, while a cell spins", tracked_url, body, token)
        before = recorded(server)
        for _ in range(rounds):
            for peer in (base, tracked, untracked):
                peer.measure(requests, connections, 3.0)
        ended = recorded(server)
    for _ in range(min(rounds, 3)):
        cell = kernel.start(SPIN.format(seconds=600))
        cell.started.wait(30)
        spinning.measure(requests, connections, 3.0)
        kernel.interrupt()
        cell.wait(60, check=False)
    lines = [row(peer, base) for peer in (base, tracked, untracked, spinning)]
    head = [
        "", "p50, 1 connection", "× FastAPI", "p99", f"req/s, {connections} connections",
        "× FastAPI", "p99", "failed",
    ]  # fmt: skip
    generator = base.many[0]["generator"]
    return (
        f"### Three scikit-learn steps over HTTP\n\n{table(head, lines)}\n\n"
        f"{rounds} rounds in turns of {requests} requests on one keep-alive connection (raw socket,"
        f" after 200 to warm up) and 3 s on {connections} ({generator}). Median (lowest–highest);"
        " ratios are medians of the ratios within a round (a spinning cell: of the medians). "
        f"Runs in the history meanwhile: {ended - before}.\n"
    )


def recorded(server: JupyterServer) -> int:
    query = {"query": "select count(*) from runs where deployment = 'churn'"}
    return int(server.post("warmcell/api/v1/sql", query).json()["rows"][0][0])


def row(peer: Peer, base: Peer) -> list[str]:
    p50, p99 = ([entry[key] for entry in peer.one] for key in ("p50", "p99"))
    rate = [entry["rate"] for entry in peer.many]
    return [
        peer.name,
        spread(p50, milliseconds),
        ratio(p50, [entry["p50"] for entry in base.one]),
        spread(p99, milliseconds),
        spread(rate, "{:.0f}".format),
        ratio(rate, [entry["rate"] for entry in base.many]),
        spread([entry["p99"] for entry in peer.many], milliseconds),
        str(sum(entry["failed"] for entry in (*peer.one, *peer.many))),
    ]
