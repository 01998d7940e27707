"""The campaign: two servers on one store, callers in processes of their own, fault after fault."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.faults import inflicting, work
from tests.benchmarks.faults.journal import Ask, Exchange, Journal, read, take
from tests.benchmarks.faults.verdict import Change, Start, Verdict, judge
from tests.support.jupyter import JupyterServer
from tests.support.kernels import CellFailed, Kernel

__all__ = ["KINDS", "Campaign", "Fault"]

KINDS = {
    "kill -9 of the kernel": "kill_kernel",
    "kill -9 of the server": "kill_server",
    "SIGSTOP of the kernel": "stop_kernel",
    "restart by Jupyter's API": "restart_kernel",
    "full disk": "fill_disk",
    "link cut": "cut_link",
    "callers' connections cut": "cut_callers",
    "takeover by a new host": "take_over_new",
    "takeover by a host beside": "take_over_beside",
    "rollback": "roll_back",
    "redeploy": "redeploy",
}
WORKER = ("kill_kernel", "stop_kernel", "restart_kernel", "cut_link")
VERSIONS = 6
AGAIN_SECONDS = 60.0  # after which a deployment counts as not served again
STORED_SECONDS = 30.0
HASTY = 0.15  # share of the faults after which the next one does not wait
ROOT = Path(__file__).parents[3]


@dataclass
class Fault:
    """``at``: when what broke could work again, of the monotonic clock; ``again``: seconds from
    then to the first answer to a call sent after it, None where the next fault came before."""

    kind: str
    at: float
    again: float | None = None


class Campaign:
    """See the package. Everything happens below ``folder``; ``kinds`` are of :data:`KINDS`."""

    def __init__(self, folder: Path, seed: int, kinds: Collection[str] = tuple(KINDS)) -> None:
        self.dice = random.Random(seed)
        self.seed = seed
        self._kinds = kinds
        self.faults: list[Fault] = []
        self.changes: list[Change] = []
        self.starts: list[Start] = []
        self.never: list[str] = []
        self._folder = folder
        self._executed = folder / "executed"
        self._executed.touch()
        data = folder / "data"  # the key that signs snapshots is the user's, not the server's
        data.mkdir(mode=0o700)
        self._servers = [
            JupyterServer(
                folder / "root",
                _made(folder / name),
                environment={"JUPYTER_DATA_DIR": str(data)},
                ready="api",  # the first answer says that its event loop runs
            )
            for name in ("one", "two")
        ]
        self._active = 0
        self._kernel: Kernel | None = None
        self._version = 0
        self._journal = Journal(folder / "probe.journal")
        self._numbers = itertools.count(900_000_000)
        self._callers: list[subprocess.Popen[bytes]] = []

    @property
    def server(self) -> JupyterServer:
        """The server that serves now."""
        return self._servers[self._active]

    def run(self, count: int, say: Any = None) -> Verdict:
        """Inflict ``count`` faults, each kind as often as the others, and judge."""
        try:
            self._start(self.server)
            self.redeploy()
            self._serve_at(self.server.url)
            self._start_callers()
            for number, kind in enumerate(self._deck(count), 1):
                began = time.monotonic()
                fault = self._inflict(kind)
                if say is not None:
                    text = "-" if fault.again is None else f"{fault.again:.2f} s"
                    say(f"{number:4} {fault.kind}: {text} ({time.monotonic() - began:.1f} s)")
            self._again()
            self._serve_at("")
            for caller in self._callers:
                caller.wait(60)
            self._settle()
            return judge(read(self._folder), self.server, self.changes, self._executed, self.starts)
        finally:
            self.close()

    def close(self) -> None:
        """End everything that was started. Harmless when repeated."""
        for caller in self._callers:
            if caller.poll() is None:
                caller.kill()
                caller.wait(10)
        self._journal.close()
        for server in self._servers:
            server.stop()

    # -- the faults: each returns when what broke could work again ----------------------------

    def kill_kernel(self) -> float:
        os.kill(self._worker(), signal.SIGKILL)
        return time.monotonic()

    def stop_kernel(self) -> float:
        with inflicting.stopped(self._worker()):
            time.sleep(self.dice.uniform(0.2, 4.0))
        return time.monotonic()

    def restart_kernel(self) -> float:
        began = time.monotonic()
        kernel = inflicting.kernel_of(self._worker())
        self.server.post(f"api/kernels/{kernel}/restart", {}, timeout=60)
        return began

    def cut_link(self) -> float:
        inflicting.cut_links(self.server.pid)
        return time.monotonic()

    def cut_callers(self) -> float:
        for caller in self._callers:
            os.kill(caller.pid, signal.SIGUSR1)
        return time.monotonic()

    def fill_disk(self) -> float:
        room = self.dice.choice((0, 100_000))
        with inflicting.full_disk(self.server.pid, room):
            time.sleep(self.dice.uniform(0.2, 2.0))
        return time.monotonic()

    def kill_server(self) -> float:
        self._kill_server()
        died = time.monotonic()
        time.sleep(self.dice.uniform(0.0, 0.5))
        self._start(self.server)
        return died

    def take_over_new(self) -> float:
        """A server that starts after the other one died restores what that served."""
        self._kill_server()
        died = time.monotonic()
        self._active = 1 - self._active
        self._start(self.server)
        self._serve_at(self.server.url)
        return died

    def take_over_beside(self) -> float:
        """A server that had joined becomes the owner of the store; the notebook deploys there."""
        other = self._servers[1 - self._active]
        self._start(other)
        time.sleep(self.dice.uniform(0.0, 0.5))
        self._kill_server()
        died = time.monotonic()
        self._active = 1 - self._active
        self._serve_at(self.server.url)
        self._deploy(self._version)
        return died

    def roll_back(self) -> float:
        name = "faults"
        warm = set(self._described(name)["warm"]) - {self._described(name)["snapshot"]}
        change = Change(name, time.monotonic())
        self.changes.append(change)
        to = self.dice.choice(sorted(warm))
        answer = self.server.post(f"warmcell/api/v1/deployments/{name}/rollback", {"to": to})
        if answer.status == 200:
            change.done, change.snapshot = time.monotonic(), answer.json()["snapshot"]
        return change.begun

    def redeploy(self) -> float:
        self._notebook()
        self._version = self.dice.choice(sorted({*range(1, VERSIONS + 1)} - {self._version}))
        return self._deploy(self._version)

    # -- inside --------------------------------------------------------------------------------

    def _start(self, server: JupyterServer) -> None:
        begun = time.monotonic()
        server.start()
        self.starts.append(Start(begun, time.monotonic()))
        server.get("warmcell/api/v1/status", timeout=60)  # answers once the host has started

    def _kill_server(self) -> None:
        """Its kernels end with it, though not at once."""
        self.server.kill()
        self._kernel = None

    def _deck(self, count: int) -> list[str]:
        kinds = list(self._kinds)
        self.dice.shuffle(kinds)
        deck = [kind for kind, _ in zip(itertools.cycle(kinds), range(count), strict=False)]
        self.dice.shuffle(deck)
        return deck

    def _inflict(self, kind: str) -> Fault:
        """Wait for a random moment, break something, and wait until it is served again."""
        action = KINDS[kind]
        if action == "roll_back":
            self._again()
            while len(set(self._described("faults")["warm"])) < 2:
                self.redeploy()
        elif action in WORKER:
            self._again()
        time.sleep(self.dice.uniform(0.1, 1.0))
        self._stored()
        fault = Fault(kind, getattr(self, action)())
        self.faults.append(fault)
        if self.dice.random() >= HASTY or action == "roll_back":
            answered = self._again()
            fault.again = None if answered is None else answered - fault.at
        return fault

    def _again(self) -> float | None:
        """When a call that is sent now is answered; None, and a deploy, where none is."""
        until = time.monotonic() + AGAIN_SECONDS
        while time.monotonic() < until:
            exchange = self._probe()
            if exchange.status == 200:
                return exchange.ended
            time.sleep(0.02)
        found = self._described("faults")
        self.never.append(f"{found['state']}: {found['reason']}")
        self.redeploy()
        return None

    def _probe(self) -> Exchange:
        ask = Ask("call", "faults", next(self._numbers), timeout=2.0)
        exchange = Exchange("probe", ask, time.monotonic(), 0.0, 0)
        _, path, body, headers = ask.request()
        with contextlib.suppress(OSError):
            answer = self.server.post(path, body, headers=headers, timeout=10)
            exchange.status = answer.status
            take(exchange, answer.headers, answer.body)
        exchange.ended = time.monotonic()
        self._journal.write(exchange)
        return exchange

    def _described(self, name: str) -> dict[str, Any]:
        path = f"warmcell/api/v1/deployments/{name}"
        found: dict[str, Any] = self.server.get(path).json()
        return found

    def _worker(self) -> int:
        """The process that serves."""
        return int(self._described("faults")["worker_pid"])

    def _stored(self) -> None:
        """Wait until the snapshots that are served can be restored: before, a deployment says that
        it cannot, and would not come back."""
        until = time.monotonic() + STORED_SECONDS
        for name in work.NAMES:
            while self._described(name).get("stored") != "stored" and time.monotonic() < until:
                time.sleep(0.05)

    def _notebook(self) -> Kernel:
        """The notebook's kernel, in a new process where the one before is gone."""
        kernel = self._kernel
        if kernel is not None and psutil.pid_exists(kernel.pid):
            return kernel
        if kernel is not None:
            kernel.close()
        self._kernel = made = self.server.kernel(work.NOTEBOOK)
        made.run(work.notebook(self._executed))
        return made

    def _deploy(self, version: int) -> float:
        self._version = version
        kernel = self._notebook()
        began = time.monotonic()
        changes = [Change(name, began) for name in work.NAMES]
        self.changes += changes
        with contextlib.suppress(CellFailed):
            snapshots = kernel.run(work.deploying(version)).text
            for change, number in zip(changes, snapshots.strip("[]").split(","), strict=True):
                change.done, change.snapshot = time.monotonic(), int(number)
        return began

    def _serve_at(self, url: str) -> None:
        beside = self._folder / "address.new"
        beside.write_text(url)
        beside.replace(self._folder / "address")

    def _start_callers(self) -> None:
        for kind in ("async", "sync"):
            command = [sys.executable, "-m", "tests.benchmarks.faults.callers"]
            command += [str(self._folder), kind, str(self.seed)]
            self._callers.append(subprocess.Popen(command, cwd=ROOT))

    def _settle(self) -> None:
        """Wait until no run is in flight any more."""
        query = {"query": "SELECT count(*) FROM runs WHERE status IN ('queued', 'running')"}
        until = time.monotonic() + AGAIN_SECONDS
        while time.monotonic() < until:
            answer = self.server.post("warmcell/api/v1/sql", query, timeout=60)
            if answer.status == 200 and answer.json()["rows"][0][0] == 0:
                return
            time.sleep(0.2)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
