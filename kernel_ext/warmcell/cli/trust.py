"""``warmcell trust``: what of a store somebody else signed, and to sign it as well."""

from __future__ import annotations

from argparse import Namespace

from warmcell.cli import ends, show
from warmcell.cli.given import client
from warmcell.client import Client
from warmcell.errors import SnapshotError, UsageError
from warmcell.notebook.opening import snapshot_named

__all__ = ["trust"]


def trust(given: Namespace) -> int:
    """Print what is foreign, or trust snapshots: those that are named, or all of them. 1 if one of
    them could not be trusted."""
    if given.all and given.snapshots:
        raise UsageError(
            f"{given.prog} --all means every foreign snapshot, and {given.snapshots[0]} is one.",
            hint="Give either --all or names.",
        )
    wanted = [snapshot_named(text) for text in given.snapshots]
    here = client(given)
    foreign = [one for one in here.list_snapshots() if one["trusted"] is False]
    if given.all:
        wanted = [(one["pipeline"], one["number"]) for one in foreign]
    if wanted:
        return _trust(here, wanted, as_json=given.json)
    if given.json:
        show.as_json([] if given.all else foreign)
        return 0
    columns = ["pipeline", "number", "created_at", "user", "notebook", "note"]
    rows = [[one.get(column) for column in columns] for one in foreign]
    titles = ["pipeline", "snapshot", "created", "by", "from", "note"]
    show.table(
        titles, rows, "Nothing in this store is foreign: all that is stored may be restored."
    )
    if foreign:
        one = f"{foreign[0]['pipeline']}@{foreign[0]['number']}"
        show.note("Somebody else signed these, or they changed since: none of their code is run.")
        show.note(f"See what it is:  warmcell snapshots open {one}")
        show.note(f"Trust it:        warmcell trust {one}      Trust all: warmcell trust --all")
    return 0


def _trust(here: Client, wanted: list[tuple[str, int]], *, as_json: bool) -> int:
    done, code = [], 0
    for name, number in wanted:
        try:
            answer = here.trust_snapshot(name, number)
        except SnapshotError as error:  # one that is damaged keeps no other from being trusted
            code = ends.failed(error, as_json=as_json)
            continue
        done.append(answer)
        if not as_json:
            again = ", ".join(answer["restoring"])
            what = f"; on its way back: {again}" if again else ""
            show.note(f"{answer['pipeline']}@{answer['number']} is trusted{what}.")
    if as_json:
        show.as_json(done)
    return code
