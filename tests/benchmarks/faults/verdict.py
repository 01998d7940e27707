"""What the callers were told, held against the history: each broken promise is counted."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.faults.journal import BROKEN, ENDED, HANG_SECONDS, Exchange
from tests.support.jupyter import JupyterServer

__all__ = ["PROMISES", "Change", "Start", "Verdict", "judge"]

PROMISES = {
    "missing": "acknowledged and missing from the history, or kept otherwise",
    "twice": "answered, or executed, as two runs for one Idempotency-Key",
    "hung": f"without an answer {HANG_SECONDS:g} s after the deadline",
    "wrong": "answered by another snapshot than the answer says, or than was served",
    "unexpected": "answered with a status that says nothing of the fault",
}
EXPECTED = {200, 202, 409, 429, 503, 504, BROKEN}
SHOWN = 10  # examples of each


@dataclass
class Change:
    """A rollback or a deploy. Until ``done`` the name may be served by either; with ``snapshot``
    None it is not known whether it happened."""

    name: str
    begun: float
    done: float = math.inf
    snapshot: int | None = None


@dataclass
class Start:
    """A server was started at ``begun`` and ran its event loop at ``up``. Between them the system
    takes connections for it as soon as its port is bound, and nothing can answer them."""

    begun: float
    up: float


@dataclass
class Verdict:
    """How often each promise was broken, with examples, and how much was asked."""

    broken: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    answers: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    early: int = 0  # calls that came before the event loop ran, late by that and by nothing else
    keys: int = 0

    def against(self, promise: str, text: str) -> None:
        self.broken[promise] += 1
        if len(self.examples[promise]) < SHOWN:
            self.examples[promise].append(text)


def judge(
    exchanges: Iterable[Exchange],
    server: JupyterServer,
    changes: list[Change],
    executed: Path,
    starts: list[Start],
) -> Verdict:
    """Look at everything that was told. ``server`` has the history, ``executed`` the executions."""
    found = Verdict()
    told: dict[str, Exchange] = {}
    keyed: dict[tuple[str, str], set[str]] = defaultdict(set)
    numbers: dict[int, str] = {}
    versions = _versions(server)
    for one in exchanges:
        ask = one.ask
        found.answers[f"{ask.kind} {one.status if one.status > 0 else 'broken'}"] += 1
        limit = ask.timeout + HANG_SECONDS
        early = one.ended - one.sent > limit >= _waited(one, starts)
        found.early += early
        if one.ended - one.sent > limit and not early:
            found.against(
                "hung", f"{one.ended - one.sent:.1f} s of {ask.timeout:g} s: {_line(one)}"
            )
        elif one.status not in EXPECTED:
            found.against("unexpected", _line(one))
        if one.run is not None and (one.status in (200, 202) or one.over):
            known = told.get(one.run)
            if known is not None and known.over and one.over and known.state != one.state:
                found.against("missing", f"first told {known.state}: {_line(one)}")
            if known is None or not known.over:
                told[one.run] = one
        if ask.key is not None:
            numbers[ask.number] = ask.key
            if one.run is not None and one.status != 409:
                keyed[ask.name, ask.key].add(one.run)
        if one.version is not None:
            for text in _wrong(one, versions, changes):
                found.against("wrong", f"{text}: {_line(one)}")
    for (_, key), runs in keyed.items():
        if len(runs) > 1:
            found.against("twice", f"key {key} was answered by the runs {', '.join(sorted(runs))}")
    for number, ran in _executions(executed).items():
        if number in numbers and len(ran) > 1:
            found.against(
                "twice", f"key {numbers[number]} was executed as {', '.join(sorted(ran))}"
            )
    _compare(found, told, server)
    found.acknowledged, found.keys = len(told), len(keyed)
    return found


def _wrong(one: Exchange, versions: dict[int, int], changes: list[Change]) -> Iterator[str]:
    """What is wrong with an answer that has outputs."""
    if one.number != one.ask.number or one.mean != one.version:
        yield "that is the answer to another question, or of a mixture"
    if one.snapshot is None or versions.get(one.snapshot) != one.version:
        yield f"version {one.version} is not that of snapshot {one.snapshot}"
    if one.replayed or one.ask.kind != "call":
        return  # it was executed at another time
    served: set[int | None] = set()
    for change in changes:
        if change.name != one.ask.name or change.begun > one.ended:
            continue
        if change.done < one.sent and change.snapshot is not None:
            served.clear()
        served.add(change.snapshot)
    if served and None not in served and one.snapshot not in served:
        yield f"snapshot {one.snapshot} answered while {served} was served"


def _waited(one: Exchange, starts: list[Start]) -> float:
    """Seconds for which a caller waited for a server that could answer."""
    ups = (start.up for start in starts if start.begun <= one.sent <= start.up)
    return one.ended - max(ups, default=one.sent)


def _line(one: Exchange) -> str:
    where = f"{one.who} asked {one.ask.kind} {one.ask.name} {one.ask.number}"
    return f"{where} at {one.sent:.3f}, {one.status}, run {one.run}, {one.state} {one.text}"


def _versions(server: JupyterServer) -> dict[int, int]:
    """The version that each snapshot was noted with."""
    rows = server.get("warmcell/api/v1/snapshots?pipeline=faults&brief=1", timeout=60).json()
    return {row["number"]: int(row["note"].rpartition(" ")[2]) for row in rows["snapshots"]}


def _executions(executed: Path) -> dict[int, set[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for line in executed.read_text().splitlines():
        number, _, run = line.partition(" ")
        found[int(number)].add(run)
    return found


def _compare(found: Verdict, told: dict[str, Exchange], server: JupyterServer) -> None:
    """Every run that a caller heard of is there once, and ended as it was told."""
    ids = list(told)
    for start in range(0, len(ids), 2000):
        part = ids[start : start + 2000]
        query = (
            "SELECT run_id, status, snapshot, outputs::varchar FROM runs "
            f"WHERE run_id IN ({', '.join(map(repr, part))})"
        )
        answer = server.post("warmcell/api/v1/sql", {"query": query, "limit": 10_000}, timeout=120)
        rows: dict[str, list[list[Any]]] = defaultdict(list)
        for row in answer.json()["rows"]:
            rows[row[0]].append(row)
        for run in part:
            text = _differs(told[run], rows[run])
            if text:
                found.against("missing", f"{text}: {_line(told[run])}")


def _differs(one: Exchange, rows: list[list[Any]]) -> str:
    if len(rows) != 1:
        return f"the history has it {len(rows)} times"
    _, status, snapshot, outputs = rows[0]
    if status not in ENDED:
        return f"it is {status} in the end"
    if one.over and status != one.state:
        return f"told {one.state}, kept {status}"
    if one.version is None:
        return ""
    output = (json.loads(outputs) if outputs else {}).get("output") or {}
    kept = (snapshot, output.get("number"), output.get("version"))
    if kept != (one.snapshot, one.number, one.version):
        return f"told {one.snapshot}, {one.number}, {one.version}, kept {kept}"
    return ""
