"""Deployments: list, deploy, undeploy, roll back, invoke."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, DeployError
from warmcell.ids import now
from warmcell.records import DeploymentEntry
from warmcell_server.asked import asked_by
from warmcell_server.auditing import note_change, who
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
        if body.restored is not None:
            return 201, (await host.restoring.announced(body, worker)).describe(host.url)
        host.deployments.check(body, worker)
        user = who(call)
        number = await asyncio.wrap_future(
            host.store.add_snapshot(host.deployments.snapshot_record(body, user))
        )
        record = host.deployments.draft(body, number, user)
        before = await asyncio.wrap_future(host.store.claim(record, overtake=body.overtake))
        try:
            deployment = host.deployments.switch(
                body,
                record,
                worker,
                dedicated=host.kernels is not None and worker.kernel_id in host.kernels,
            )
        except DeployError:
            record.state = "detached"  # the worker went away after the claim
            host.store.append(DeploymentEntry(record))
            raise
    host.dispatcher.switched(deployment)
    host.restoring.switched(deployment)
    _note_deploy(host, call, body, number, before)
    return 201, deployment.describe(host.url)


def _note_deploy(
    host: Host, call: Call, body: wire.Deploy, number: int, before: dict[str, Any] | None
) -> None:
    """Record a deploy, and that a name changed hands."""
    if body.again:
        return  # the link was lost meanwhile, and nobody did anything
    served = {"pipeline": body.pipeline, "snapshot": number, "notebook": body.notebook}
    owner = before["notebook"] if before is not None else None
    if before is not None and owner != body.notebook:
        note_change(host, call, "deployment.overtaken", body.name, before=before, after=served)
    note_change(
        host, call, "deployment.deployed", body.name, **served, note=body.note, before=before
    )


@ROUTES.add("DELETE", "api/v1/deployments/*")
async def _undeploy(host: Host, call: Call) -> Result:
    name = host.deployments.get(call.arguments[0]).name
    await revoke_all(host, name, call.user)
    deployment = host.deployments.remove(name)
    host.dispatcher.removed(deployment)
    deployment.updated_at = now()
    host.store.append(DeploymentEntry(deployment.record(host.host_id, "removed")))
    note_change(host, call, "deployment.removed", deployment.name, snapshot=deployment.snapshot)
    return 200, {"name": deployment.name, "state": "removed"}


@ROUTES.add("POST", "api/v1/deployments/*/rollback")
async def _rollback(host: Host, call: Call) -> Result:
    class Body(msgspec.Struct, forbid_unknown_fields=True):
        to: int | None = None

    to = decode(call, Body).to
    before = host.deployments.get(call.arguments[0]).snapshot
    began = time.perf_counter()
    deployment = host.deployments.rollback(call.arguments[0], to)
    host.dispatcher.switched(deployment)
    host.restoring.switched(deployment)
    took = time.perf_counter() - began
    host.store.append(DeploymentEntry(deployment.record(host.host_id)))
    note_change(
        host,
        call,
        "deployment.rolled_back",
        deployment.name,
        pipeline=deployment.pipeline,
        snapshot=deployment.snapshot,
        before={"snapshot": before},
    )
    rollback = {"before": before, "after": deployment.snapshot, "seconds": took}
    return 200, {**deployment.describe(host.url), "rollback": rollback}


@ROUTES.add("POST", "*/invoke")
async def _invoke(host: Host, call: Call) -> Result:
    asked = asked_by(call.headers)
    invocation = Invocation(host, call.arguments[0], user=call.user, asked=asked)
    reply = await invocation.answer(Payload(call.body))
    return reply.status, reply.body
