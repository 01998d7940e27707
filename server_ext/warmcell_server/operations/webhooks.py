"""The secret that signs a deployment's callbacks: show it, replace it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from warmcell.ids import now, rfc3339
from warmcell.records import AuditEntry, AuditRecord
from warmcell_server.operation import Call, Result, Routes
from warmcell_server.webhooks.signing import Secret

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


@ROUTES.add("GET", "api/v1/deployments/*/webhook")
async def _secret(host: Host, call: Call) -> Result:
    """The secret that signs callbacks; made when there is none."""
    name = host.deployments.get(call.arguments[0]).name
    return 200, _described(name, await asyncio.to_thread(host.webhooks.secret, name))


@ROUTES.add("POST", "api/v1/deployments/*/webhook/rotate")
async def _rotate(host: Host, call: Call) -> Result:
    """Make another secret; the one before counts for a while."""
    name = host.deployments.get(call.arguments[0]).name
    secret = await asyncio.to_thread(host.webhooks.rotate, name)
    host.store.append(AuditEntry(AuditRecord(now(), "webhook.rotated", name, name, call.user)))
    return 200, _described(name, secret)


def _described(name: str, secret: Secret) -> dict[str, Any]:
    until = secret.previous_until
    return {
        "deployment": name,
        "secret": secret.current,
        "created_at": rfc3339(secret.created_at),
        "previous_until": None if until is None else rfc3339(until),
    }
