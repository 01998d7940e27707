"""Run: the same class for what the API describes."""

from __future__ import annotations

from datetime import UTC, datetime

from warmcell.runs import Run

DESCRIBED = {
    "run_id": "r1", "run_name": None, "pipeline": "churn", "deployment": "c", "snapshot": 2,
    "trigger": "call", "status": "failed", "created_at": "2026-01-02T03:04:05.000006Z",
    "started_at": "2026-01-02T03:04:05.000006Z", "finished_at": "2026-01-02T03:04:06.500006Z",
    "duration": 1.5, "parameters": {"x": 1}, "outputs": None,
    "error": {"type": "ValueError", "message": "no", "step": "score"},
    "steps": [{"step": "score", "index": 0, "status": "failed", "duration": 1.0}],
    "artifacts": [{"step": "score", "name": "rows", "kind": "metadata", "value": 3}],
    "logs": [{"time": "2026-01-02T03:04:05Z", "stream": "stdout", "text": "hi", "step": "score"}],
}  # fmt: skip


def test_a_run_of_the_history_has_the_same_face() -> None:
    """Names, times as datetimes, parts."""
    run = Run.from_json(DESCRIBED)
    assert (run.id, run.run_id, run.status, run.deployment, run.snapshot) == (
        "r1", "r1", "failed", "c", 2,
    )  # fmt: skip
    assert run.created_at == datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert (run.duration, run.parameters, run.outputs, run.output) == (1.5, {"x": 1}, {}, None)
    assert run.steps[0].status == run.steps[0]["status"] == "failed"
    assert run.metadata == {"score.rows": 3}
    assert "ValueError in step score: no" in repr(run)
    assert run.to_json() == DESCRIBED


def test_a_run_that_goes_on_has_no_end() -> None:
    """Missing parts are empty."""
    run = Run.from_json({"run_id": "r", "pipeline": "p", "status": "running"})
    assert (run.finished_at, run.duration, run.steps, run.error) == (None, None, [], None)
