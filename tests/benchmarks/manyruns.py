"""Records as a worker makes them of a call, for stores that nobody called."""

from __future__ import annotations

import os

import msgspec

from warmcell.records import (
    ArtifactRecord,
    LogRecord,
    MetadataRecord,
    RunDetail,
    RunEntry,
    RunRecord,
    StepRecord,
    TagRecord,
    VersionRecord,
)

STEPS = ("features", "score", "respond")

_encode = msgspec.json.Encoder().encode


def run_entry(number: int, host_id: str, time: int) -> RunEntry:
    """A run of that time, in microseconds. One in four is a batch run, which keeps its artifacts
    and says something of itself; one in ten has a tag."""
    run_id = _id(time)
    batch = number % 4 == 0
    versions = [_version(run_id, step, time, number) for step in STEPS] if batch else []
    artifacts = [
        ArtifactRecord(
            step, "output", "json", "float", 8, preview=str(number),
            value=msgspec.Raw(_encode(number / 7)), version=versions[at].id if versions else None,
        )
        for at, step in enumerate(STEPS)
    ]  # fmt: skip
    detail = RunDetail(
        steps=[
            StepRecord(step, at, "succeeded", time, time + 300, upstream=STEPS[at - 1 : at])
            for at, step in enumerate(STEPS)
        ],
        artifacts=artifacts,
        logs=[LogRecord(time, "stdout", f"scored customer {number}\n", "score")],
        versions=versions,
        metadata=[
            MetadataRecord("run", run_id, "accuracy", msgspec.Raw(_encode(number / 7)), "float",
                           time, run_id)
        ] if batch else [],
        tags=[TagRecord("nightly", "run", run_id, time, run_id=run_id)] if number % 10 == 0 else [],
    )  # fmt: skip
    record = RunRecord(
        run_id, f"pipeline-{number % 20}", "succeeded", time, "cell" if batch else "call",
        run_name=f"new-{number}", deployment=None if batch else f"deployment-{number % 20}",
        snapshot=None if batch else 10, started_at=time, finished_at=time + 900,
        parameters=msgspec.Raw(_encode({"customer": {"age": number % 80, "tenure": 30}})),
        outputs=msgspec.Raw(_encode({"churn": False, "probability": 0.25})),
        notebook="work/notebook-1.ipynb", user="ada", host_id=host_id,
    )  # fmt: skip
    return RunEntry(record, msgspec.Raw(_encode(detail)))


def _version(run_id: str, step: str, time: int, number: int) -> VersionRecord:
    return VersionRecord(
        _id(time), f"pipeline-{number % 20}::{step}::output", "json", "float", "stored", time,
        run_id=run_id, step=step, name="output", pipeline=f"pipeline-{number % 20}", role="data",
        size=8, digest=f"{number:032x}", value=msgspec.Raw(_encode(number / 7)), user="ada",
    )  # fmt: skip


def _id(time: int) -> str:
    """A UUIDv7 of that time."""
    digits = f"{time // 1000:012x}"
    mark = os.urandom(9).hex()
    return f"{digits[:8]}-{digits[8:]}-7{mark[:3]}-8{mark[3:6]}-{mark[6:]}"
