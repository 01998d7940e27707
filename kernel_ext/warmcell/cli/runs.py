"""``warmcell runs``: the history, and runs that go on."""

from __future__ import annotations

from argparse import Namespace

from warmcell.cli import deployments, ends, show
from warmcell.cli.given import client
from warmcell.client import Client
from warmcell.remote.handle import RunHandle, error_of

__all__ = ["cancel", "follow", "listing", "show_run", "wait"]


def listing(given: Namespace) -> None:
    """Print runs, the newest first."""
    names = ("pipeline", "deployment", "status", "trigger", "since")
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


def _handle(here: Client, given: Namespace) -> RunHandle:
    return here.run_handle(given.run_id, given.deployment)
