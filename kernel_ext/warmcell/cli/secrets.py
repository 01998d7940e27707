"""``warmcell secrets``: named secrets of this user. No command prints a value."""

from __future__ import annotations

import getpass
import sys
from argparse import Namespace

from warmcell import secrets
from warmcell.cli import show

__all__ = ["delete", "listing", "put"]


def put(given: Namespace) -> None:
    """Keep a secret; never from the command line, which other processes and a history see."""
    if sys.stdin.isatty():
        value = getpass.getpass(f"Value of {given.name}: ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    secrets.set_secret(given.name, value)
    _say(given, "set", f"Kept. In a step: get_secret({given.name!r})")


def listing(given: Namespace) -> None:
    """Print the names."""
    found = secrets.list_secrets()
    if given.json:
        show.as_json([{"name": name, "updated_at": time} for name, time in found.items()])
    else:
        show.table(["secret", "changed"], list(found.items()), "No secrets.")


def delete(given: Namespace) -> None:
    """Forget a secret."""
    secrets.delete_secret(given.name)
    _say(given, "deleted", f"Secret '{given.name}' is gone.")


def _say(given: Namespace, state: str, text: str) -> None:
    if given.json:
        show.as_json({"name": given.name, "state": state})
    else:
        show.note(text)
