"""``warmcell artifacts lineage`` and its like: what came from what."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.cli import show
from warmcell.cli.given import client

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion

__all__ = ["around", "openlineage", "origin"]


def around(given: Namespace) -> None:
    """Print what an artifact version came from and what was made of it."""
    version = _version(given)
    direction: Any = "up" if given.up else "down" if given.down else "both"
    found = client(given).get_lineage(version, direction=direction, depth=given.depth)
    if given.json:
        show.as_json(found.to_json())
        return
    labels = {node.id: node.label for node in found.nodes}
    show.table(
        ["from", "", "to"],
        [[labels[e["source"]], e["relation"], labels[e["target"]]] for e in found.edges],
        "Nothing came before it or after it that is known.",
    )
    if found.truncated:
        show.note("There is more: --depth goes further.")


def origin(given: Namespace) -> None:
    """Print the run that made an artifact version, its parameters, inputs and code."""
    found = client(given).get_artifact_origin(_version(given))
    if given.json:
        show.as_json(found.to_json())
        return
    run, snapshot = found.run or {}, found.snapshot or {}
    inputs = [f"{one['input']} = {one['artifact']}@{one['version']}" for one in found.inputs]
    show.pairs(
        {
            "artifact": f"{found.version['artifact']}@{found.version['version']}",
            "run": run.get("run_id"),
            "pipeline": run.get("pipeline"),
            "step": (found.step or {}).get("step"),
            "parameters": found.parameters or None,
            "inputs": inputs,
            "snapshot": snapshot.get("number"),
            "note": snapshot.get("note"),
            "notebook": run.get("notebook"),
            "by": run.get("user"),
            "created": run.get("created_at"),
        }
    )
    if found.source:
        print()
        print(found.source.rstrip())
    if not run:
        show.note("No run that is known made it.")


def openlineage(given: Namespace) -> None:
    """Print a run as OpenLineage events, one JSON object on each line."""
    events = client(given).get_openlineage_events(given.run_id, namespace=given.namespace)
    if given.json:
        show.as_json(events)
        return
    for event in events:
        show.value(msgspec.json.encode(event).decode())


def _version(given: Namespace) -> ArtifactVersion:
    name, _, label = given.version.partition("@")
    return client(given).get_artifact_version(name, label or None)
