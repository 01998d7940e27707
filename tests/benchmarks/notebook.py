"""What is measured from inside a notebook: steps, deploys, memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.report import microseconds, milliseconds, spread, table
from tests.support.jupyter import JupyterServer

REPEATS = 7
MEMORY_DEPLOYMENTS = 50
STORED_WITHIN = 120.0

DEFINE = """
import json, time
import numpy as np
import warmcell

held = np.random.default_rng(0).random({count})
"""
LOOK = """
@warmcell.step
def look(x: int) -> float:
    return float(held[x]) + {number}

@warmcell.pipeline
def {name}(x: int) -> float:
    return look(x)
"""
TIMED = """
begin = time.perf_counter()
{statement}
print(json.dumps(time.perf_counter() - begin))
"""


def steps(server: JupyterServer) -> str:
    kernel = server.kernel("steps.ipynb")
    root = str(Path(__file__).parents[2])
    kernel.run(f"import sys; sys.path.insert(0, {root!r})\n%load_ext warmcell")
    kernel.run("from tests.benchmarks.batch import measure; result = measure()", timeout=300)
    values: dict[str, list[float]] = kernel.value("result")
    rows = [
        [name, microseconds(middle), microseconds(low), microseconds(high)]
        for name, (low, middle, high) in values.items()
    ]
    head = ["per step", "median", "lowest", "highest"]
    return f"### Overhead of a step in a batch run\n\n{table(head, rows)}\n"


def deploys(server: JupyterServer) -> str:
    kernel = server.kernel("deploys.ipynb")
    kernel.run("%load_ext warmcell")
    rows = []
    for name, label, count in (
        ("small", "a small pipeline", 1000),
        ("large", "one that holds a 500 MB array", 500_000_000 // 8),
    ):
        kernel.run(DEFINE.format(count=count))
        first, again, undeploy, stored = [], [], [], []
        for number in range(REPEATS):
            kernel.run(LOOK.format(name=name, number=number))
            first.append(timed(kernel, f"deployed = {name}.deploy('{name}')"))
            stored.append(wait_until_stored(server, name))
            kernel.run(LOOK.format(name=name, number=number + 0.5))
            again.append(timed(kernel, f"deployed = {name}.deploy('{name}')"))
            wait_until_stored(server, name)
            undeploy.append(timed(kernel, "deployed.undeploy()"))
        rows.append([label, *(spread(v, milliseconds) for v in (first, again, undeploy, stored))])
    head = ["", "deploy", "redeploy after an edit", "undeploy", "stored form safe after"]
    return f"### Deploying\n\n{table(head, rows)}\n"


def timed(kernel: Any, statement: str) -> float:
    return float(kernel.run(TIMED.format(statement=statement)).stdout.splitlines()[-1])


def wait_until_stored(server: JupyterServer, name: str) -> float:
    """Seconds until the host says how the stored form ended; it is asked every 10 ms."""
    begin = time.monotonic()
    while True:
        state = server.get(f"warmcell/api/v1/deployments/{name}").json()["stored"]
        took = time.monotonic() - begin
        if state != "pending" or took > STORED_WITHIN:
            return took
        time.sleep(0.01)


def memory(server: JupyterServer) -> str:
    kernel = server.kernel("memory.ipynb")
    kernel.run("%load_ext warmcell")
    kernel.run(DEFINE.format(count=1000))
    kernel.run(LOOK.format(name="small", number=-1) + "small.deploy('m-first')")
    server.invoke("m-first", {"x": 1})
    processes = [psutil.Process(kernel.pid), psutil.Process(server.pid)]
    before = [process.memory_info().rss for process in processes]
    for number in range(MEMORY_DEPLOYMENTS):
        kernel.run(LOOK.format(name="small", number=number) + f"small.deploy('m-{number}')")
        server.invoke(f"m-{number}", {"x": 1})
    after = [process.memory_info().rss for process in processes]
    rows = [
        [name, f"{(late - early) / MEMORY_DEPLOYMENTS / 1024:.0f} KiB"]
        for name, early, late in zip(("kernel", "server"), before, after, strict=True)
    ]
    head = ["memory of one more deployment", f"mean of {MEMORY_DEPLOYMENTS}"]
    return f"### Memory\n\n{table(head, rows)}\n"
