"""Deployments: list, deploy, undeploy, roll back, invoke."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, NotFound, StoreError, Unavailable, WarmcellError
from warmcell.ids import now
from warmcell.records import DeploymentEntry
from warmcell_server.asked import asked_by
from warmcell_server.auditing import note_change, who
from warmcell_server.deploying import Deployed, deploy
from warmcell_server.intime import read
from warmcell_server.invocation import Invocation
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.operations.keys import revoke_all
from warmcell_server.payload import Payload
from warmcell_server.releases import MOST_NUMBER
from warmcell_server.tagged import with_tags

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

log = logging.getLogger("warmcell.operations")

ROUTES = Routes()


@ROUTES.add("GET", "api/v1/deployments")
async def _deployments(host: Host, call: Call) -> Result:
    """All deployments."""
    url = host.url
    pipeline = call.query.get("pipeline")
    found = sorted(host.deployments, key=lambda d: d.updated_at, reverse=True)
    rows = [d.describe(url) for d in found if pipeline is None or d.pipeline == pipeline]
    return 200, {"deployments": await with_tags(host, call, "deployment", rows, _name)}


def _name(row: dict[str, Any]) -> str:
    return str(row["name"])


@ROUTES.add("GET", "api/v1/deployments/*")
async def _deployment(host: Host, call: Call) -> Result:
    """One deployment, and what is shown with it."""
    found = host.deployments.get(call.arguments[0]).describe(host.url)
    try:
        wanted = {"kind": "deployment", "subject": found["name"]}
        found["visualizations"] = await read(host.store.read("curated_of", **wanted))
    except (Unavailable, StoreError):
        found["visualizations"] = []  # what is served is worth more than pictures of it
    return 200, found


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
    if body.ticket is not None:
        announced = host.restoring.holding.announced(body, worker)
        if body.restored is not None:
            await _note_loads(host, body, body.restored)
        return 201, announced
    deployed = await deploy(host, body, worker, who(call))
    await _note_loads(host, body, deployed.number)
    if deployed.changed:
        _note_deploy(host, call, body, deployed)
    described = deployed.deployment.describe(host.url)
    if body.traffic is not None and not body.again:
        described["deployed"] = deployed.number
    return 201, described


async def _note_loads(host: Host, body: wire.Deploy, number: int) -> None:
    """Keep which artifact versions ``on_init`` of a deployment loaded. It is served even so."""
    try:
        await read(
            host.store.change(
                "put_loads", deployment=body.name, pipeline=body.pipeline, snapshot=number,
                versions=body.loaded,
            )
        )  # fmt: skip
    except WarmcellError as error:
        log.warning("What '%s' loaded could not be recorded: %s", body.name, error)


def _note_deploy(host: Host, call: Call, body: wire.Deploy, deployed: Deployed) -> None:
    """Record a deploy, and that a name changed hands."""
    before = deployed.before
    served: dict[str, Any] = {
        "pipeline": body.pipeline,
        "snapshot": deployed.number,
        "notebook": body.notebook,
    }
    owner = before["notebook"] if before is not None else None
    if before is not None and owner != body.notebook:
        note_change(host, call, "deployment.overtaken", body.name, before=before, after=served)
    detail = served | {"note": body.note, "before": before}
    if body.gate is not None:
        detail["gate"] = body.gate
    note_change(host, call, "deployment.deployed", body.name, **detail)


@ROUTES.add("DELETE", "api/v1/deployments/*")
async def _undeploy(host: Host, call: Call) -> Result:
    """Serve it no more; its runs stay."""
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
    """Serve an earlier snapshot: the one before, or that of the body."""

    class Body(msgspec.Struct, forbid_unknown_fields=True):
        to: int | None = None

    to = decode(call, Body).to
    deployment = host.deployments.get(call.arguments[0])
    before = deployment.snapshot
    began = time.perf_counter()
    if to is None or to != before or not deployment.ready:
        async with host.deployments.changing(deployment.name):
            await _roll(host, deployment, to)
    host.dispatcher.switched(deployment)
    host.restoring.switched(deployment)
    host.followers.wake()  # what is warm again may be of a version of its model before this one
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


async def _roll(host: Host, deployment: Deployment, to: int | None) -> None:
    """Serve an earlier snapshot: at once if it is warm, else from a kernel of its own that is
    started for it. Until then what was served is."""
    if not host.deployments.holds_name(deployment):
        raise Conflict(f"Deployment '{deployment.name}' was removed meanwhile.")
    if to is not None and to > MOST_NUMBER:
        raise NotFound(f"Pipeline '{deployment.pipeline}' has no snapshot {to}.")
    binding = host.deployments.earlier(deployment, to)
    if binding is not None:
        host.deployments.roll(deployment, binding)
        return
    number = to if to is not None else await _before(host, deployment)
    if host.kernels is None:
        raise Conflict(
            f"Snapshot {number} of '{deployment.pipeline}' is not warm any more.",
            hint=f"Warm are {_numbers(deployment)}. Deploy it again from its notebook.",
        )
    await asyncio.wrap_future(host.store.get_snapshot(deployment.pipeline, number))  # or NotFound
    async with host.restoring.holding.hold(deployment, number) as binding:
        if not host.deployments.holds_name(deployment):
            raise Conflict(f"Deployment '{deployment.name}' was removed meanwhile.")
        host.deployments.attach(deployment, binding)
        host.deployments.roll(deployment, binding)


async def _before(host: Host, deployment: Deployment) -> int:
    rows = await asyncio.wrap_future(host.store.list_snapshots(deployment.pipeline))
    earlier = [row["number"] for row in rows if row["number"] < deployment.snapshot]
    if not earlier:
        later = [row["number"] for row in rows if row["number"] > deployment.snapshot]
        raise Conflict(
            f"Deployment '{deployment.name}' serves snapshot {deployment.snapshot}, and its "
            "pipeline has none before that.",
            hint=f"A later one is served by rollback(to={max(later)})." if later else None,
        )
    return int(max(earlier))


def _numbers(deployment: Deployment) -> str:
    return ", ".join(map(str, sorted({one.snapshot for one in deployment.warm}))) or "none"


@ROUTES.add("POST", "*/invoke")
async def _invoke(host: Host, call: Call) -> Result:
    asked = asked_by(call.headers)
    invocation = Invocation(host, call.arguments[0], user=call.user, asked=asked)
    reply = await invocation.answer(Payload(call.body))
    return reply.status, reply.body
