"""``warmcell tags``: what they are, what has them, and putting them on things."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from warmcell.cli import show
from warmcell.cli.given import client
from warmcell.errors import UsageError

__all__ = ["add", "create", "delete", "listing", "remove", "update", "uses"]

SUBJECTS = ("pipeline", "run", "snapshot", "deployment", "artifact", "model")


def listing(given: Namespace) -> None:
    """Print the tags by name."""
    found = client(given).list_tags()
    if given.json:
        show.as_json([dict(tag) for tag in found])
        return
    rows = [
        [
            tag.name,
            "yes" if tag.exclusive else None,
            tag.color,
            ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in tag.uses.items()),
        ]
        for tag in found
    ]
    show.table(["tag", "exclusive", "color", "on"], rows, "There are no tags yet.")


def uses(given: Namespace) -> None:
    """Print what has a tag, newest first."""
    here = client(given)
    here.get_tag(given.tag)  # or NotFound
    found = here.list_tagged(given.tag, limit=given.limit)
    if given.json:
        show.as_json(found)
        return
    rows = [[one["kind"], one["subject"], one["scope"], one["created_at"]] for one in found]
    show.table(["kind", "subject", "in", "since"], rows, f"Nothing has the tag '{given.tag}'.")


def create(given: Namespace) -> None:
    """Define a tag."""
    made = client(given).create_tag(given.tag, exclusive=given.exclusive, color=given.color)
    _said(given, dict(made), f"Tag '{made.name}' is defined.")


def update(given: Namespace) -> None:
    """Change a tag; who has it keeps it."""
    made = client(given).update_tag(
        given.tag, name=given.name, exclusive=given.exclusive, color=given.color
    )
    _said(given, dict(made), f"Tag '{made.name}' is changed.")


def delete(given: Namespace) -> None:
    """Delete a tag, from everything that has it too."""
    client(given).delete_tag(given.tag)
    _said(given, {"deleted": True}, f"Tag '{given.tag}' is deleted.")


def add(given: Namespace) -> None:
    """Put tags on something."""
    found = client(given).attach_tags(given.tags, **_subject(given))
    _said(given, found, f"It has the tags: {', '.join(found['tags'])}.")


def remove(given: Namespace) -> None:
    """Take tags away from something."""
    found = client(given).detach_tags(given.tags, **_subject(given))
    _said(given, found, f"It has the tags: {', '.join(found['tags']) or 'none'}.")


def _subject(given: Namespace) -> dict[str, Any]:
    """What is named; of an artifact or a model as NAME@VERSION one version."""
    said = {name: getattr(given, name) for name in SUBJECTS if getattr(given, name) is not None}
    if len(said) != 1:
        options = ", ".join(f"--{name}" for name in SUBJECTS)
        raise UsageError("What are the tags of?", hint=f"Name one thing: {options}.")
    ((kind, name),) = said.items()
    if kind in ("artifact", "model") and "@" in name:
        name, _, version = name.rpartition("@")
        return {f"{kind}_name": name, f"{kind}_version": version}
    return {kind: name}


def _said(given: Namespace, found: Any, text: str) -> None:
    if given.json:
        show.as_json(found)
    else:
        print(text)
