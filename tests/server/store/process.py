"""A store in a process of its own: see builders.StoreProcess. Run as a script."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from warmcell.errors import WarmcellError
from warmcell.ids import new_id, now
from warmcell.records import DeploymentRecord, RunEntry, RunRecord
from warmcell_server.store import Store


class Calls:
    """What the tests may ask for."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append(self, count: int, status: str = "succeeded", size: int = 0) -> list[str]:
        """Append runs one by one; return the ids of those that were acknowledged."""
        acknowledged = []
        for _ in range(count):
            record = RunRecord(
                run_id=new_id(),
                pipeline="churn",
                status=status,  # type: ignore[arg-type]
                created_at=now(),
                outputs=msgspec.Raw(json.dumps(os.urandom(size // 2).hex()).encode()),
            )
            self.store.append(RunEntry(record))
            acknowledged.append(record.run_id)
        return acknowledged

    def append_until_refused(self, size: int) -> list[str]:
        """Append runs until the store refuses one; return the ids of the others."""
        acknowledged: list[str] = []
        while True:
            try:
                acknowledged += self.append(1, "succeeded", size)
            except WarmcellError as error:
                return [*acknowledged, type(error).__name__]

    def find(self, run_id: str) -> str:
        """Ask for a run; return its id or what was raised."""
        try:
            return str(self.store.get_run(run_id).result(60)["run_id"])
        except WarmcellError as error:
            return type(error).__name__

    def admit(self) -> str:
        """Return what admission says."""
        try:
            self.store.admit()
        except WarmcellError as error:
            return type(error).__name__
        return "admitted"

    def limit(self, size: int) -> None:
        """Let no file of this process grow beyond ``size`` bytes; -1 for no limit."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def claim(self, name: str) -> str:
        """Claim a name; return what happened."""
        record = DeploymentRecord(name, "churn", 1, "serving", now(), now(), self.store.host_id)
        try:
            self.store.claim(record).result(20)
        except WarmcellError as error:
            return f"{type(error).__name__}: {error}"
        return "claimed"

    def flush(self) -> str:
        """Wait until what is spooled is committed; return what happened."""
        run = RunRecord(new_id(), "flushed", "succeeded", 0)
        try:
            future = self.store.append(RunEntry(run), durable=True)
            assert future is not None
            future.result(60)
        except WarmcellError as error:
            return f"{type(error).__name__}: {error}"
        return "committed"

    def ids_in_the_end(self, count: int) -> list[str]:
        """Return the ids of all runs once there are ``count``, which a full disk may delay."""
        changed = threading.Event()
        end = self.store.subscribe(changed.set)
        for _ in range(100):
            ids = self.ids()
            if len(ids) >= count:
                break
            changed.wait(0.2)
        end()
        return ids

    def role(self) -> str:
        """Return whether it owns or joined."""
        return self.store.role

    def ids(self) -> list[str]:
        """Return the ids of all runs."""
        runs = self.store.list_runs(limit=10_000, pipeline="churn").result(20)
        return [run["run_id"] for run in runs]


def main() -> None:
    options: dict[str, Any] = json.loads(sys.argv[1])
    store = Store.open(
        Path(options["home"]), host_id=options["host_id"], label=options.get("label", "child")
    )
    calls = Calls(store)
    _answer({"role": store.role})
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        _answer(getattr(calls, what)(*arguments))
    store.close()


def _answer(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
