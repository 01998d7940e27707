"""How long it takes to serve again: a restore, a rollback, and what a rollback does to callers.

The baseline of a restore is what nobody can avoid in the same run: a bare kernel of the same kind
that starts, imports numpy and reads the same bytes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks.notebook import timed, wait_until_stored
from tests.benchmarks.report import milliseconds, ratio, spread, table
from tests.support.jupyter import JupyterServer

ROUNDS = 5
ROLLBACKS = 100
CALLERS = 8

MODEL = """
%load_ext warmcell
import json, time
import numpy as np
import warmcell

class Model:
    def __init__(self):
        self.layers = [np.random.default_rng(n).random(12_500_000) for n in range({layers})]

    def predict(self, x):
        return float(sum(layer[x] for layer in self.layers))

model = Model()

@warmcell.step
def look(x: int) -> float:
    return model.predict(x)

@warmcell.pipeline
def served(x: int) -> float:
    return look(x)
"""
BARE = """
import numpy as np
data = np.fromfile({path!r}, dtype=np.uint8)
"""
LOOK = """
@warmcell.step
def look(x: int) -> float:
    return model.predict(x) + {number}
"""


def measure(server: JupyterServer) -> str:
    return _restores(server) + "\n" + _rollbacks(server)


def _restores(server: JupyterServer) -> str:
    raw = server.root / "bytes"
    rows = []
    for label, layers in (("a small model", 0), ("a model of 500 MB", 5)):
        raw.write_bytes(bytes(layers * 100_000_000))
        bare = [_bare(server, str(raw)) for _ in range(ROUNDS)]
        name = f"restored{layers}"
        kernel = server.kernel(f"{name}.ipynb")
        kernel.run(MODEL.format(layers=layers), timeout=300)
        again, standby = [], []
        for _ in range(ROUNDS):
            again.append(_killed(server, kernel, name, standby=False))
        for _ in range(ROUNDS):
            standby.append(_killed(server, kernel, name, standby=True))
        kernel.close()
        rows.append([
            label,
            spread(bare, milliseconds),
            spread(again, milliseconds),
            ratio(again, bare),
            spread(standby, milliseconds),
        ])  # fmt: skip
    head = [
        "kill -9 of the kernel that serves",
        "bare kernel, numpy, same bytes read",
        "answers again",
        "ratio",
        "with a standby",
    ]
    return f"### Restoring\n\n{table(head, rows)}\n"


def _bare(server: JupyterServer, path: str) -> float:
    began = time.perf_counter()
    kernel = server.kernel("bare.ipynb")
    kernel.run(BARE.format(path=path), timeout=120)
    took = time.perf_counter() - began
    kernel.close()
    return took


def _killed(server: JupyterServer, kernel: Any, name: str, *, standby: bool) -> float:
    """Seconds from the kill of what serves until a call is answered; it waits meanwhile."""
    kernel.run(f"served.deploy({name!r}, isolated=True, standby={standby})", timeout=120)
    wait_until_stored(server, name)
    _until(server, name, lambda d: d["standby"] == "ready" if standby else d["ready"])
    expected = server.invoke(name, {"x": 7}).json()["outputs"]
    pid = _described(server, name)["worker_pid"]
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    while True:
        reply = server.invoke(name, {"x": 7})
        if reply.status == 200:
            break
    took = time.perf_counter() - began
    assert reply.json()["outputs"] == expected
    assert _described(server, name)["worker_pid"] != pid
    return took


def _rollbacks(server: JupyterServer) -> str:
    kernel = server.kernel("rolling.ipynb")
    kernel.run(MODEL.format(layers=5), timeout=300)
    for number in (1, 2):
        kernel.run(LOOK.format(number=number) + "deployed = served.deploy('rolled')")
        wait_until_stored(server, "rolled")
    first, second = sorted(_described(server, "rolled")["warm"])
    inside, seen, dropped, calls = [], [], 0, 0
    stop = threading.Event()

    def call() -> tuple[int, int]:
        bad = made = 0
        while not stop.is_set():
            reply = server.invoke("rolled", {"x": 7})
            made += 1
            bad += reply.status != 200
        return made, bad

    with ThreadPoolExecutor(CALLERS) as callers:
        going = [callers.submit(call) for _ in range(CALLERS)]
        for turn in range(ROLLBACKS):
            began = time.perf_counter()
            reply = server.post(
                "warmcell/api/v1/deployments/rolled/rollback",
                {"to": first if turn % 2 == 0 else second},
            )
            seen.append(time.perf_counter() - began)
            inside.append(reply.json()["rollback"]["seconds"])
        stop.set()
        for made, bad in (done.result() for done in going):
            calls, dropped = calls + made, dropped + bad
    quiet = [
        timed(kernel, f"deployed.rollback(to={first if turn % 2 == 0 else second})")
        for turn in range(10)
    ]
    rows = [
        ["inside the server", spread(inside, milliseconds)],
        [f"over HTTP, under {CALLERS} callers", spread(seen, milliseconds)],
        ["from Python in the notebook, idle", spread(quiet, milliseconds)],
    ]
    text = table([f"a rollback of a 500 MB model, {ROLLBACKS} times", "time"], rows)
    return (
        f"### Rolling back\n\n{text}\n\n{calls} calls meanwhile, {dropped} not answered by 200.\n"
    )


def _described(server: JupyterServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"warmcell/api/v1/deployments/{name}").json()
    return found


def _until(server: JupyterServer, name: str, fits: Any) -> None:
    deadline = time.monotonic() + 60
    while not fits(_described(server, name)):
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.02)
