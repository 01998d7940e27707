"""Records to put into a store, and a store in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from warmcell.ids import new_id, now
from warmcell.records import (
    ArtifactRecord,
    DeploymentRecord,
    LogRecord,
    RunDetail,
    RunEntry,
    RunRecord,
    SnapshotRecord,
    StepRecord,
)

WAIT = 20.0  # seconds; a bound for what must happen, never a measure


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def run(**changes: Any) -> RunRecord:
    """A run that succeeded just now."""
    time = now()
    values: dict[str, Any] = {
        "run_id": new_id(),
        "pipeline": "churn",
        "status": "succeeded",
        "created_at": time,
        "started_at": time,
        "finished_at": time + 1500,
    }
    return RunRecord(**(values | changes))


def detail(steps: int = 2, text: str = "hello\n") -> RunDetail:
    """The parts of a run: steps, an artifact and a piece of output for each."""
    time = now()
    names = [f"step{index}" for index in range(steps)]
    return RunDetail(
        steps=[
            StepRecord(name, index, "succeeded", time, time + 500, 1, (), {"x": "$x"})
            for index, name in enumerate(names)
        ],
        artifacts=[
            ArtifactRecord(name, "output", "json", "int", value=raw({"n": 1})) for name in names
        ],
        logs=[LogRecord(time, "stdout", text, name) for name in names],
    )


def entry(record: RunRecord | None = None, parts: RunDetail | None = None) -> RunEntry:
    return RunEntry(record or run(), None if parts is None else raw(parts))


def snapshot(digest: str, pipeline: str = "churn", **changes: Any) -> SnapshotRecord:
    values: dict[str, Any] = {
        "pipeline": pipeline,
        "number": 0,
        "digest": digest,
        "created_at": now(),
        "input_schema": raw({"type": "object"}),
        "output_schema": raw({}),
    }
    return SnapshotRecord(**(values | changes))


def deployment(name: str, host_id: str, **changes: Any) -> DeploymentRecord:
    time = now()
    values: dict[str, Any] = {
        "name": name,
        "pipeline": "churn",
        "snapshot": 1,
        "state": "serving",
        "created_at": time,
        "updated_at": time,
        "host_id": host_id,
    }
    return DeploymentRecord(**(values | changes))


class StoreProcess:
    """A process that has a store open and does what it is told, one call at a time."""

    def __init__(self, home: Path, host_id: str, **options: Any) -> None:
        command = [sys.executable, "-W", "error", str(Path(__file__).with_name("process.py"))]
        self._process = subprocess.Popen(
            [*command, json.dumps({"home": str(home), "host_id": host_id, **options})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.hello = self._answer()

    def call(self, what: str, *arguments: Any) -> Any:
        """Call a function of process.py and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._end()

    def close(self) -> None:
        """End it in order; harmless when repeated."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._end()

    def _end(self) -> None:
        self._process.wait(WAIT)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process ended with {self._process.wait(WAIT)}"
        return json.loads(line)
