"""``warmcell snapshots``, and what changed in a deployment: lists, differences, drift, history."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from warmcell.changes import stored_as
from warmcell.cli import show
from warmcell.cli.given import client

__all__ = ["diff", "drift", "history", "listing", "opened"]


def listing(given: Namespace) -> None:
    """Print snapshots, the newest first."""
    found = client(given).list_snapshots(given.pipeline)
    if given.json:
        show.as_json(list(found))
        return
    columns = ["pipeline", "number", "created_at", "user", "notebook", "note"]
    rows = [[*(entry.get(column) for column in columns), stored_as(entry)] for entry in found]
    titles = ["pipeline", "snapshot", "created", "by", "from", "note", "stored"]
    show.table(titles, rows, "There are no snapshots yet: nothing was deployed.")


def diff(given: Namespace) -> int:
    """Print what changed in a deployment, to its notebook as it is now or between snapshots; like
    ``diff``, 1 if anything did."""
    deployment = client(given).get_deployment(given.name)
    found = deployment.diff(given.before, given.after)
    if given.json:
        show.as_json(found.to_json())
    else:
        show.value(repr(found))
    return 1 if found else 0


def drift(given: Namespace) -> None:
    """Print each name that a deployment holds, and whether the notebook's has changed."""
    found = client(given).get_deployment(given.name).drift()
    if given.json:
        show.as_json(found.to_json())
    else:
        show.value(repr(found))


def history(given: Namespace) -> None:
    """Print what was done to a deployment, and by whom."""
    found = client(given).get_deployment(given.name).history()
    if given.json:
        show.as_json(found)
        return
    rows = [
        [
            line["time"],
            line["event"].partition(".")[2].replace("_", " "),
            line["detail"].get("snapshot"),
            line["user"],
            line["detail"].get("notebook") or line["detail"].get("by"),
            line["detail"].get("note") or _shares(line["detail"].get("weights")),
        ]
        for line in found
        if line["event"].startswith(("deployment.", "release."))
    ]
    show.table(["time", "what", "snapshot", "by", "from", "note"], rows, "Nothing is known of it.")


def _shares(weights: Mapping[str, float] | None) -> str | None:
    """The shares of a split: before, of one that was aborted."""
    return ", ".join(f"{number}: {share:.3g}" for number, share in (weights or {}).items()) or None


def opened(given: Namespace) -> None:
    """Write a snapshot as a notebook and print its path."""
    from warmcell.notebook.opening import open_snapshot

    path = open_snapshot(
        given.snapshot, given.file, overwrite=given.overwrite, client=client(given)
    )
    if given.json:
        show.as_json({"path": str(path)})
    else:
        show.value(str(path))
