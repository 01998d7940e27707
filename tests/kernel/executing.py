"""What the tests of definitions and runs share: execute a pipeline, keep what a recorder gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmcell.ids import new_id
from warmcell.pipelines import Pipeline
from warmcell.records import RunDetail, RunRecord
from warmcell.runner import Outcome, execute
from warmcell.runner.execution import Execution


def run(pipeline: Pipeline, /, **arguments: Any) -> Outcome:
    """Execute without a host."""
    return execute(pipeline, arguments, run_id=new_id())


def value(pipeline: Pipeline, /, **arguments: Any) -> Any:
    """What a run returned; its error is raised."""
    outcome = run(pipeline, **arguments)
    if outcome.exception is not None:
        raise outcome.exception
    assert outcome.status == "succeeded"
    return outcome.value


def statuses(outcome: Outcome) -> dict[str, str]:
    """Step names and how each ended."""
    return {step.step: step.status for step in outcome.detail.steps}


def inputs(outcome: Outcome) -> dict[str, dict[str, str]]:
    """Step names and where each took its arguments from."""
    return {step.step: step.inputs for step in outcome.detail.steps}


def text(outcome: Outcome, stream: str) -> str:
    """What was captured of one stream."""
    return "".join(log.text for log in outcome.detail.logs if log.stream == stream)


class MemoryRecorder:
    """Keeps runs in lists, and artifacts in a folder if it has one."""

    def __init__(self, blobs: Path | None = None) -> None:
        self.blobs = blobs
        self.started: list[RunRecord] = []
        self.details: list[RunDetail] = []
        self.finished: list[RunRecord] = []
        self.followed: dict[str, Execution] = {}

    def start(self, run: RunRecord) -> None:
        self.started.append(run)

    def detail(self, run_id: str, detail: RunDetail) -> None:
        self.details.append(detail)

    def finish(self, run: RunRecord, detail: RunDetail | None = None) -> None:
        self.finished.append(run)
        if detail is not None:
            self.details.append(detail)

    def follow(self, run: Execution) -> None:
        self.followed[run.run_id] = run

    def unfollow(self, run: Execution) -> None:
        self.followed.pop(run.run_id)
