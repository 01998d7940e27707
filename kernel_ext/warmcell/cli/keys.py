"""``warmcell keys``: API keys of a deployment."""

from __future__ import annotations

from argparse import Namespace

from warmcell.cli import show
from warmcell.cli.given import client

__all__ = ["create", "listing", "revoke"]


def create(given: Namespace) -> None:
    """Make a key and print it, this once."""
    deployment = client(given).get_deployment(given.name)
    scopes = given.scope or ["invoke"]
    key = deployment.create_key(given.key_name, scopes, given.expires_in)
    if given.json:
        show.as_json({"name": given.key_name, "deployment": given.name, "key": key})
        return
    show.note("Keep it: it is not shown again. Send it as: Authorization: Bearer …")
    show.value(key)


def listing(given: Namespace) -> None:
    """Print the keys of a deployment, without their secrets."""
    found = client(given).get_deployment(given.name).keys()
    if given.json:
        show.as_json(found)
        return
    show.table(
        ["key", "scopes", "created", "expires", "last used", "by"],
        [
            [
                key["name"],
                ", ".join(key["scopes"]),
                key.get("created_at"),
                key.get("expires_at") or "never",
                key.get("last_used_at") or "never",
                key.get("created_by"),
            ]
            for key in found
        ],
        f"'{given.name}' has no keys.",
    )


def revoke(given: Namespace) -> None:
    """Make a key useless."""
    client(given).get_deployment(given.name).revoke_key(given.key_name)
    if given.json:
        show.as_json({"name": given.key_name, "deployment": given.name, "state": "revoked"})
    else:
        show.note(f"Key '{given.key_name}' opens nothing any more.")
