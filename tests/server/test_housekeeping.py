"""Housekeeping keeps the history within its limits and takes nothing that is still needed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from warmcell.ids import new_id, now
from warmcell.records import RunEntry, RunRecord, SnapshotRecord
from warmcell_server.host import Host
from warmcell_server.housekeeping import Keep

DAY = 86_400_000_000
EMPTY = msgspec.Raw(b"{}")


async def pruned(home: Path, keep: Keep) -> tuple[list[str], list[str]]:
    """The runs and the blobs that are left of a store with one old run and one old lone blob."""
    host = Host(home, keep=keep)
    await host.start(url="http://127.0.0.1/warmcell/", base_path="/warmcell/")
    try:
        used, lone = "a" * 32, "b" * 32
        for name in (used, lone):
            path = host.store.blobs / name
            path.write_bytes(b"x" * 100)
            os.utime(path, (1, 1))
        await asyncio.wrap_future(
            host.store.add_snapshot(
                SnapshotRecord(
                    "p", 0, "digest", now(), EMPTY, EMPTY,
                    manifest=msgspec.Raw(msgspec.json.encode({"code": used})),
                )
            )
        )  # fmt: skip
        for status, age in (("succeeded", 40 * DAY), ("failed", 0)):
            host.store.append(RunEntry(RunRecord(new_id(), "p", status, now() - age)))  # type: ignore[arg-type]
        await host.housekeeping.prune()
        runs = await asyncio.wrap_future(host.store.list_runs())
        return [run["status"] for run in runs], sorted(
            b.name[0] for b in host.store.blobs.iterdir()
        )
    finally:
        await host.close()


def test_old_runs_and_lone_blobs_go(tmp_path: Path) -> None:
    """Runs past the age go; of the blobs only the one that no snapshot needs."""
    assert asyncio.run(pruned(tmp_path, Keep(days=30))) == (["failed"], ["a"])


def test_everything_stays_without_a_limit(tmp_path: Path) -> None:
    """Without an age every run stays."""
    assert asyncio.run(pruned(tmp_path, Keep()))[0] == ["failed", "succeeded"]
