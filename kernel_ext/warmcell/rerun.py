"""Rerun and compare: a run of the history once more, and what differs from another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from warmcell.compared import RunComparison, compare_runs
from warmcell.errors import UsageError
from warmcell.remote.handle import RunHandle, error_of

if TYPE_CHECKING:
    from warmcell.remote.transport import Transport
    from warmcell.runs import Run

__all__ = ["compare", "rerun"]

PATIENCE = 300.0  # seconds for the answer that it was begun: a kernel may have to start


def rerun(
    transport: Transport,
    run_id: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    replace: bool = False,
    snapshot: int | str = "own",
    wait: bool = True,
    timeout: float | None = None,
) -> Run:
    """Run a call of a deployment once more; see :meth:`warmcell.runs.Run.rerun`."""
    from warmcell.schemas import encode_parameters

    body: dict[str, Any] = {"snapshot": snapshot, "wait": False, "replace": replace}
    if parameters is not None:
        body["parameters"] = encode_parameters(parameters)
    path = f"api/v1/runs/{quote(run_id, safe='')}/rerun"
    begun = transport.control("POST", path, body, timeout=PATIENCE)
    handle = RunHandle(transport, begun["deployment"], begun["run_id"], begun)
    ended = handle.wait(timeout) if wait else handle.run
    if (ended.error or {}).get("errors"):  # it never began
        raise error_of(ended.to_json())
    return ended


def compare(before: Run, after: Run | str, *, tolerance: float | None = None) -> RunComparison:
    """Return what differs between two runs; see :meth:`warmcell.runs.Run.compare`."""
    from warmcell.client import Client

    transport = before._transport
    client = Client.of(transport) if transport is not None else None
    if isinstance(after, str):
        after = (client or Client()).get_run(after)
    if not hasattr(after, "to_json"):
        raise UsageError(
            f"{after!r} is no run to compare with.", hint="Pass another run, or the id of one."
        )
    sides = []
    for run in (before, after):
        described = run.to_json()
        if "steps" not in described:  # one out of a list
            described = (client or Client()).get_run(run.id).to_json()
        sides.append(described)
    return RunComparison(compare_runs(sides[0], sides[1], tolerance=tolerance))
