"""API keys of a deployment: make, list, revoke. Each change leaves a line in the audit.

Who may ask is decided by Jupyter's authorizer, as for the rest of the control plane: ``write`` is
the right to let others in. No key opens this.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from warmcell.errors import StoreError
from warmcell.ids import now
from warmcell.records import AuditEntry, AuditRecord
from warmcell_server.keys.key import Key
from warmcell_server.operation import Call, Result, Routes, decode

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES", "revoke_all"]

ROUTES = Routes()

log = logging.getLogger("warmcell.keys")


@ROUTES.add("GET", "api/v1/deployments/*/keys")
async def _keys(host: Host, call: Call) -> Result:
    """The keys of a deployment, without what they are."""
    name = host.deployments.get(call.arguments[0]).name
    return 200, {"keys": [key.describe() for key in host.keys.of(name)]}


@ROUTES.add("POST", "api/v1/deployments/*/keys")
async def _create(host: Host, call: Call) -> Result:
    """The only answer that has the key itself, as ``key``."""

    class Body(msgspec.Struct, forbid_unknown_fields=True):
        name: str
        scopes: list[str] = msgspec.field(default_factory=lambda: ["invoke"])
        expires_in: float | None = None  # seconds

    body = decode(call, Body)
    name = host.deployments.get(call.arguments[0]).name
    key, text = await host.keys.create(
        name, body.name, body.scopes, expires_in=body.expires_in, user=call.user
    )
    try:
        host.store.append(_line("key.created", key, call.user))
    except StoreError:  # no key without its line
        await host.keys.revoke(name, key.name)
        raise
    return 201, {**key.describe(), "key": text}


@ROUTES.add("DELETE", "api/v1/deployments/*/keys/*")
async def _revoke(host: Host, call: Call) -> Result:
    """Revoke a key."""
    name, key_name = call.arguments
    key = await host.keys.revoke(name, key_name)
    _note(host, [key], call.user)
    return 200, {"name": key.name, "deployment": key.deployment, "state": "revoked"}


async def revoke_all(host: Host, deployment: str, user: str | None) -> None:
    """Revoke the keys of a deployment that is about to be removed: whoever deploys something else
    under its name later does not let their holders in unawares."""
    _note(host, await host.keys.revoke_all(deployment), user)


def _note(host: Host, revoked: list[Key], user: str | None) -> None:
    try:
        for key in revoked:
            host.store.append(_line("key.revoked", key, user))
    except StoreError as error:  # revoked they stay
        log.error("That keys were revoked could not be recorded: %s", error)


def _line(event: str, key: Key, user: str | None) -> AuditEntry:
    detail = {"id": key.id, "scopes": key.scopes, "expires_at": key.describe()["expires_at"]}
    return AuditEntry(
        AuditRecord(
            time=now(),
            event=event,
            subject=key.name,
            deployment=key.deployment,
            user=user,
            detail=msgspec.Raw(msgspec.json.encode(detail)),
        )
    )
