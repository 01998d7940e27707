"""Deployments: list, deploy, undeploy, roll back, invoke."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, DeployError
from warmcell.ids import now
from warmcell.records import DeploymentEntry
from warmcell_server.asked import asked_by
from warmcell_server.invocation import Invocation
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.operations.keys import revoke_all
from warmcell_server.payload import Payload

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


@ROUTES.add("GET", "api/v1/deployments")
async def _deployments(host: Host, call: Call) -> Result:
    url = host.url
    pipeline = call.query.get("pipeline")
    found = sorted(host.deployments, key=lambda d: d.updated_at, reverse=True)
    return 200, {
        "deployments": [
            d.describe(url) for d in found if pipeline is None or d.pipeline == pipeline
        ]
    }


@ROUTES.add("GET", "api/v1/deployments/*")
async def _deployment(host: Host, call: Call) -> Result:
    return 200, host.deployments.get(call.arguments[0]).describe(host.url)


@ROUTES.add("POST", "api/v1/deployments")
async def _deploy(host: Host, call: Call) -> Result:
    """Serve a worker's binding. The name is claimed in the store before anything is switched."""
    worker = call.worker
    if worker is None:
        raise Conflict(
            "Only a kernel can deploy: it holds the objects.",
            hint="Run pipeline.deploy(...) or %deploy in the notebook.",
        )
    body = decode(call, wire.Deploy)
    # Two kernels that want one name take turns: the second is checked once the first serves.
    async with host.deployments.changing(body.name):
        limits = host.deployments.check(body, worker)
        number = await asyncio.wrap_future(
            host.store.add_snapshot(host.deployments.snapshot_record(body, call.user))
        )
        record = host.deployments.draft(body, number, limits, call.user)
        await asyncio.wrap_future(host.store.claim(record))
        try:
            deployment = host.deployments.switch(body, record, limits, worker)
        except DeployError:
            record.state = "detached"  # the worker went away after the claim
            host.store.append(DeploymentEntry(record))
            raise
    host.dispatcher.switched(deployment)
    return 201, deployment.describe(host.url)


@ROUTES.add("DELETE", "api/v1/deployments/*")
async def _undeploy(host: Host, call: Call) -> Result:
    name = host.deployments.get(call.arguments[0]).name
    await revoke_all(host, name, call.user)
    deployment = host.deployments.remove(name)
    host.dispatcher.removed(deployment)
    deployment.updated_at = now()
    host.store.append(DeploymentEntry(deployment.record(host.host_id, "removed")))
    return 200, {"name": deployment.name, "state": "removed"}


@ROUTES.add("POST", "api/v1/deployments/*/rollback")
async def _rollback(host: Host, call: Call) -> Result:
    class Body(msgspec.Struct, forbid_unknown_fields=True):
        to: int | None = None

    deployment = host.deployments.rollback(call.arguments[0], decode(call, Body).to)
    host.dispatcher.switched(deployment)
    host.store.append(DeploymentEntry(deployment.record(host.host_id)))
    return 200, deployment.describe(host.url)


@ROUTES.add("POST", "*/invoke")
async def _invoke(host: Host, call: Call) -> Result:
    asked = asked_by(call.headers)
    invocation = Invocation(host, call.arguments[0], user=call.user, asked=asked)
    reply = await invocation.answer(Payload(call.body))
    return reply.status, reply.body
