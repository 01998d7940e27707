"""``warmcell runs``: the history, and runs that go on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from warmcell.cli import deployments, ends, show
from warmcell.cli.given import client, parameters
from warmcell.client import Client
from warmcell.remote.handle import RunHandle, error_of

__all__ = ["cancel", "compare", "follow", "listing", "rerun", "show_run", "wait"]


def listing(given: Namespace) -> None:
    """Print runs, the newest first."""
    names = ("pipeline", "deployment", "status", "trigger", "since", "tag")
    filters = {name: getattr(given, name) for name in names}
    found = client(given).list_runs(limit=given.limit, **filters)
    if given.json:
        show.as_json([run.to_json() for run in found])
        return
    show.table(
        ["run", "name", "pipeline", "deployment", "status", "created", "seconds"],
        [
            [
                run.id,
                run.name,
                run.pipeline,
                run.deployment,
                run.status,
                run.created_at and run.created_at.isoformat(timespec="seconds"),
                None if run.duration is None else f"{run.duration:.3f}",
            ]
            for run in found
        ],
        "No runs.",
    )


def show_run(given: Namespace) -> None:
    """Print one run."""
    described = _handle(client(given), given).refresh()
    if given.json:
        show.as_json(described)
    else:
        show.run(described)


def cancel(given: Namespace) -> None:
    """Ask a run to stop."""
    _handle(client(given), given).cancel()
    if given.json:
        show.as_json({"run_id": given.run_id, "status": "cancelling"})
    else:
        show.note("It was asked to stop.")


def wait(given: Namespace) -> int:
    """Wait for the end of a run and print its outputs."""
    ended = _handle(client(given), given).wait(given.timeout)
    described = ended.to_json()
    if given.json:
        show.as_json(described)
    if ended.status != "succeeded":
        return ends.failed(error_of(described), as_json=given.json)
    if not given.json:
        show.outputs(ended.outputs)
    return 0


def follow(given: Namespace) -> int:
    """Show what happens in a run."""
    handle = _handle(client(given), given)
    deployments.follow(given, handle.events())
    described = handle.wait().to_json()
    if described["status"] == "succeeded":
        return 0
    return ends.failed(error_of(described), as_json=given.json)


def rerun(given: Namespace) -> int:
    """Run a call once more, and print the outputs of the run that this made."""
    here = client(given)
    run = here.get_run(given.run_id)

    def schema() -> Mapping[str, Any]:
        if run.snapshot is None:
            return {}
        found: Mapping[str, Any] = here.get_snapshot(run.pipeline, run.snapshot)["input_schema"]
        return found

    named = given.snapshot
    made = here.rerun(
        run.id,
        parameters(given, schema) or ({} if given.replace else None),
        replace=given.replace,
        snapshot=int(named) if named.isdecimal() else named,
        wait=not given.no_wait,
        timeout=given.timeout,
    )
    described = made.to_json()
    if given.json:
        show.as_json(described)
    elif given.no_wait:
        show.value(made.id)
    if given.no_wait or made.status == "succeeded":
        if not (given.json or given.no_wait):
            show.note(f"Run {made.id}.")
            show.outputs(made.outputs)
        return 0
    return ends.failed(error_of(described), as_json=given.json)


def compare(given: Namespace) -> int:
    """Print what differs between two runs; like ``diff``, 1 if they gave not the same."""
    found = client(given).compare_runs(given.before, given.after, tolerance=given.tolerance)
    if given.json:
        show.as_json(found.to_json())
    else:
        show.value(repr(found))
    return 1 if found else 0


def _handle(here: Client, given: Namespace) -> RunHandle:
    return here.run_handle(given.run_id, given.deployment)
