"""Deployments: list, deploy, undeploy, roll back, invoke."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, DeployError
from warmcell.ids import now
from warmcell.records import DeploymentEntry, SnapshotRecord
from warmcell_server.asked import asked_by
from warmcell_server.auditing import note_change, who
from warmcell_server.holding import Held
from warmcell_server.invocation import Invocation
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.operations.keys import revoke_all
from warmcell_server.operations.snapshots import known_environment
from warmcell_server.payload import Payload
from warmcell_server.settings import settings_of
from warmcell_server.workers import Binding

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
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
    if body.ticket is not None:
        return 201, host.restoring.holding.announced(body, worker)
    # Two kernels that want one name take turns: the second is checked once the first serves.
    async with host.deployments.changing(body.name):
        host.deployments.check(body, worker)
        user = who(call)
        snapshot = host.deployments.snapshot_record(body, user)
        own = settings_of(body.settings).own_kernels
        if own:
            snapshot.manifest = body.manifest
            snapshot.environment = known_environment(host, worker, body.environment)
        number = await asyncio.wrap_future(host.store.add_snapshot(snapshot))
        record = host.deployments.draft(body, number, user)
        current = host.deployments.find(body.name)
        # Who comes back after it was promoted is no newcomer any more.
        promoted = body.again and current is not None and current.snapshot == number
        beside = body.traffic is not None and not promoted
        if beside:
            host.releases.check_beside(current, body.pipeline)
        held = (body.pipeline, number)
        if body.again and not beside and current and held != (current.pipeline, current.snapshot):
            # Rolled back meanwhile: that a link was lost changes nothing of what is served.
            if not own:
                host.deployments.attach(current, Binding(body.key, number, worker, body))
                host.deployments.trim(current)
            return 201, current.describe(host.url)
        async with AsyncExitStack() as stack:
            if own:
                binding = await _isolated(host, stack, body, snapshot, number)
            else:
                dedicated = host.kernels is not None and worker.kernel_id in host.kernels
                binding = Binding(body.key, number, worker, body, dedicated=dedicated)
            if beside:
                deployment = host.deployments.get(body.name)
                host.releases.beside(deployment, binding, body.traffic)
                _note_deploy(host, call, body, number, None)
                return 201, {**deployment.describe(host.url), "deployed": number}
            before = await host.claim(record, overtake=body.overtake)
            if binding.worker.gone:
                record.state = "detached"  # after the claim
                host.store.append(DeploymentEntry(record))
                raise DeployError("The kernel went away while it deployed.")
            deployment = host.deployments.serve(binding, record)
    host.dispatcher.switched(deployment)
    host.restoring.switched(deployment)
    _note_deploy(host, call, body, number, before)
    return 201, deployment.describe(host.url)


async def _isolated(
    host: Host, stack: AsyncExitStack, body: wire.Deploy, snapshot: SnapshotRecord, number: int
) -> Binding:
    """Have a kernel of its own hold what is deployed; the notebook's never serves it."""
    held = Held(body.name, body.pipeline, number, body.settings, body.notebook)
    environment = msgspec.json.decode(snapshot.environment or b"{}")
    return await stack.enter_async_context(host.restoring.holding.held(held, environment))


def _note_deploy(
    host: Host, call: Call, body: wire.Deploy, number: int, before: dict[str, Any] | None
) -> None:
    """Record a deploy, and that a name changed hands."""
    if body.again:
        return  # the link was lost meanwhile, and nobody did anything
    served: dict[str, Any] = {
        "pipeline": body.pipeline,
        "snapshot": number,
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
    deployment = host.deployments.get(call.arguments[0])
    before = deployment.snapshot
    began = time.perf_counter()
    if to is None or to != before or not deployment.ready:
        async with host.deployments.changing(deployment.name):
            await _roll(host, deployment, to)
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


async def _roll(host: Host, deployment: Deployment, to: int | None) -> None:
    """Serve an earlier snapshot: at once if it is warm, else from a kernel of its own that is
    started for it. Until then what was served is."""
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
        if host.deployments.find(deployment.name) is not deployment:
            raise Conflict(f"Deployment '{deployment.name}' was removed meanwhile.")
        host.deployments.attach(deployment, binding)
        host.deployments.roll(deployment, binding)


async def _before(host: Host, deployment: Deployment) -> int:
    rows = await asyncio.wrap_future(host.store.list_snapshots(deployment.pipeline))
    earlier = [row["number"] for row in rows if row["number"] < deployment.snapshot]
    if not earlier:
        raise Conflict(
            f"Deployment '{deployment.name}' serves the first snapshot of its pipeline.",
            hint=f"Warm are {_numbers(deployment)}; choose one: rollback(to=...).",
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
