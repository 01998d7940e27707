"""How fast a store answers, small and large in turns: ``python3 dev.py bench store``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.report import milliseconds, ratio, spread, table
from warmcell_server.store import Store

REPEATS = 15


def questions(store: Store) -> dict[str, Callable[[], Future[Any]]]:
    """What is asked, by what a person calls it. Each asks about the oldest or rarest too, where an
    answer that only the newest runs give fast would hide something."""
    newest = store.list_runs(limit=50).result()
    few = store.list_runs(limit=5, tag="few").result()
    batch = next(run for run in newest if run["trigger"] == "cell")
    old = few[-1]["run_id"]
    middle = few[2]
    version = store.read("list_versions", limit=1, run_id=old).result()[0]
    artifact = version["artifact"]
    model = store.read("models").result()[0]["name"]
    since = middle["created_at"]
    return {
        "runs, first page": lambda: store.list_runs(limit=50),
        "runs, second page": lambda: store.list_runs(limit=50, before=newest[-1]["run_id"]),
        "runs, a page in the middle": lambda: store.list_runs(limit=50, before=middle["run_id"]),
        "runs that failed": lambda: store.list_runs(limit=50, status="failed,lost"),
        "runs with a status that none has": lambda: store.list_runs(limit=50, status="cancelled"),
        "runs of a pipeline": lambda: store.list_runs(limit=50, pipeline="pipeline-3"),
        "runs of a deployment": lambda: store.list_runs(limit=50, deployment="deployment-3"),
        "runs of a deployment that failed": lambda: store.list_runs(
            limit=50, deployment="deployment-3", status="failed"
        ),
        "runs of a deployment that there is not": lambda: store.list_runs(
            limit=50, deployment="nobody"
        ),
        "runs since then": lambda: store.list_runs(limit=50, since=newest[-1]["created_at"]),
        "runs until then": lambda: store.list_runs(limit=50, until=since),
        "runs with a common tag": lambda: store.list_runs(limit=50, tag="nightly"),
        "runs with a rare tag": lambda: store.list_runs(limit=50, tag="few"),
        "runs with a text in them": lambda: store.list_runs(limit=50, text="probability"),
        "one run, new": lambda: store.get_run(batch["run_id"]),
        "one run, the oldest": lambda: store.get_run(old),
        "artifacts, first page": lambda: store.read("list_artifacts"),
        "artifacts with a tag": lambda: store.read("list_artifacts", tag="release"),
        "artifact versions, first page": lambda: store.read("list_versions"),
        "versions of an artifact": lambda: store.read("list_versions", artifact=artifact),
        "versions with a tag": lambda: store.read("list_versions", tag="release"),
        "versions of a run": lambda: store.read("list_versions", run_id=old),
        "one version by name": lambda: store.read("find_version", name=artifact),
        "one version by number": lambda: store.read(
            "find_version", name=artifact, version=version["version"]
        ),
        "models": lambda: store.read("models"),
        "versions of a model": lambda: store.read("model_versions", model=model),
        "one version of a model": lambda: store.read("model_version", model=model),
        "tags": lambda: store.read("list_tags"),
        "what has a tag": lambda: store.read("tagged", tag="nightly", limit=50),
        "metadata of a run": lambda: store.read("metadata_of", on={"kind": "run", "run": old}),
        "deployments": store.deployments,
        "snapshots": store.list_snapshots,
    }


class Times(NamedTuple):
    """Seconds until the answer, and of the processor's time until then, one per question."""

    wall: list[float]
    cpu: list[float]


def ask(stores: dict[int, Store], repeats: int) -> dict[str, dict[int, Times]]:
    """Each question to each store, in turns."""
    asked = {size: questions(store) for size, store in stores.items()}
    found = {name: {size: Times([], []) for size in asked} for name in next(iter(asked.values()))}
    for turn in range(repeats + 1):
        for name, times in found.items():
            for size, (wall, cpu) in times.items():
                begin, used = time.perf_counter(), time.process_time()
                asked[size][name]().result(600)
                if turn:  # the first is for what has to come from the disk
                    wall.append(time.perf_counter() - begin)
                    cpu.append(time.process_time() - used)
    return found


def reads(homes: dict[int, Path], repeats: int = REPEATS) -> str:
    """The table of medians, by question and size of the store."""
    stores = {
        size: Store.open(home, host_id=f"reads-{size}", label="benchmark")
        for size, home in homes.items()
    }
    try:
        found = ask(stores, repeats)
    finally:
        for store in stores.values():
            store.close()
    small, large = min(homes), max(homes)
    lines = [
        [
            name,
            *(spread(times[size].wall, milliseconds) for size in (small, large)),
            ratio(times[large].wall, times[small].wall),
            *(milliseconds(statistics.median(times[size].cpu)) for size in (small, large)),
            ratio(times[large].cpu, times[small].cpu),
        ]
        for name, times in found.items()
    ]
    head = [
        "", f"{small:,} runs", f"{large:,} runs", "growth", "processor", "processor", "growth",
    ]  # fmt: skip
    return table(head, lines)
