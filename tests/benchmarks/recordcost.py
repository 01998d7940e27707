"""What recording a served call costs: the same pipeline recorded and with ``record="none"``.

Both are asked in turns, a few calls at a time on connections of their own, so that whatever else
the machine does meets both alike. The processor's time says what the median does not show: rows are
made in the background, after the answer.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.http_calls import CUSTOMER, recorded
from tests.benchmarks.keepalive import Connection
from tests.benchmarks.report import microseconds, milliseconds, ratio, spread, table
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

BLOCK = 25  # calls of one kind in a row
WARMUP = 200
KINDS = {
    "none": ('`record="none"`', {"record": "none"}),
    "all": ("every run recorded", {}),
    "redacted": ('recorded, `redact=["*password*"]`', {"redact": ["*password*"]}),
}


@dataclass
class Kind:
    """One deployment of the pipeline. ``p50`` has a value per round, ``cpu`` seconds per call."""

    name: str
    connection: Connection
    p50: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    failed: int = 0


def deploy(kernel: Kernel) -> None:
    """Define the pipeline as a cell and deploy it once per kind."""
    kernel.run((Path(__file__).parent / "work.py").read_text())
    kernel.run(
        "import warmcell\n"
        "steps = [warmcell.step(function) for function in (features, score, respond)]\n"
        "features, score, respond = steps\n"
        "@warmcell.pipeline\n"
        "def churn(customer: Customer) -> dict:\n"
        "    return respond(score(features(customer)))\n"
    )
    for name, (_, settings) in KINDS.items():
        deployed = "churn" if name == "all" else f"churn-{name}"
        kernel.run(f"churn.deploy({deployed!r}, settings={settings!r})")


def cpu(pids: list[int]) -> float:
    """Seconds of processor that these processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def median_of(kinds: list[Kind], calls: int) -> None:
    """Ask all kinds in turns; add one median to each."""
    times: dict[str, list[float]] = {kind.name: [] for kind in kinds}
    for block in range(calls // BLOCK):
        for kind in kinds if block % 2 else reversed(kinds):
            for _ in range(BLOCK):
                begin = time.perf_counter()
                answer = kind.connection.ask()
                times[kind.name].append(time.perf_counter() - begin)
                kind.failed += not answer.startswith(b"HTTP/1.1 200")
    for kind in kinds:
        kind.p50.append(statistics.median(times[kind.name]))


def cpu_of(kind: Kind, calls: int, server: JupyterServer, pids: list[int]) -> None:
    """Ask one kind alone, wait until all is in the tables, and add its processor's time."""
    begin = cpu(pids)
    for _ in range(calls):
        kind.failed += not kind.connection.ask().startswith(b"HTTP/1.1 200")
    recorded(server)  # a read waits for what is spooled
    kind.cpu.append((cpu(pids) - begin) / calls)


def measure(server: JupyterServer, rounds: int, requests: int) -> str:
    kernel = server.kernel("recording.ipynb")
    kernel.run("%load_ext warmcell")
    deploy(kernel)
    pids = [server.pid, kernel.pid]
    headers = [f"Authorization: token {server.token}"]
    body: dict[str, Any] = {"parameters": {"customer": CUSTOMER}}
    kinds = []
    for name in KINDS:
        deployed = "churn" if name == "all" else f"churn-{name}"
        url = f"{server.url}warmcell/{deployed}/invoke"
        kinds.append(Kind(name, Connection(url, body, headers)))
    try:
        for kind in kinds:
            for _ in range(WARMUP):
                kind.connection.ask()
        for _ in range(rounds):
            median_of(kinds, requests)
            for kind in kinds:
                cpu_of(kind, requests, server, pids)
    finally:
        for kind in kinds:
            kind.connection.close()
    base = kinds[0]
    lines = [
        [
            KINDS[kind.name][0],
            spread(kind.p50, milliseconds),
            ratio(kind.p50, base.p50),
            spread(kind.cpu, microseconds),
            ratio(kind.cpu, base.cpu),
            str(kind.failed),
        ]
        for kind in kinds
    ]
    head = ["", "p50", "× none", "processor per call", "× none", "failed"]
    return (
        f"### What recording costs\n\n{table(head, lines)}\n\n{rounds} rounds of {requests} calls "
        f"per kind on one keep-alive connection each, {BLOCK} in turns. The processor's time is "
        "that of server and kernel, with the rows that are made of the records.\n"
    )
