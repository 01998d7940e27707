"""Deploying on the host's side: a kernel says what it holds, and the name serves that from now on.

The name is claimed in the store before anything is switched, and what was served goes on until the
new snapshot can take its calls.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, DeployError
from warmcell.records import DeploymentEntry, SnapshotEntry
from warmcell_server.deployment import Deployment
from warmcell_server.holding import Held
from warmcell_server.settings import settings_of
from warmcell_server.workers import Binding, Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Deployed", "deploy", "environment_of"]


class Deployed(NamedTuple):
    """What came of a deploy: the deployment, the number of the snapshot, and who had the name
    ``before``, if anybody. ``changed`` unless a kernel only found its host again."""

    deployment: Deployment
    number: int
    before: dict[str, Any] | None = None
    changed: bool = True


async def deploy(host: Host, body: wire.Deploy, worker: Worker, user: str | None) -> Deployed:
    """Serve what a kernel holds, or what it stored for kernels of the deployment's own.

    Raises what :meth:`warmcell.pipelines.Pipeline.deploy` says.
    """
    # Two kernels that want one name take turns: the second is checked once the first serves.
    async with host.deployments.changing(body.name):
        host.deployments.check(body, worker)
        if body.again and host.deployments.was_removed(body.name):
            worker.send(wire.Drop(body.key))  # its kernel had no link when that was done
            raise Conflict(f"Deployment '{body.name}' was removed meanwhile.")
        number = await _number(host, body, worker, user)
        current = host.deployments.find(body.name)
        if body.again and current is not None and not current.serves(body.pipeline, number):
            return _known(host, current, body, worker, number)
        beside = body.traffic is not None and not (body.again and current is not None)
        if beside:
            host.releases.check_beside(current, body.pipeline)
        async with AsyncExitStack() as stack:
            binding = await _binding(host, stack, body, worker, number)
            if beside:
                deployment = host.deployments.get(body.name)
                host.releases.beside(deployment, binding, body.traffic)
                return Deployed(deployment, number)
            record = host.deployments.draft(body, number, user)
            before = await host.claim(record, overtake=body.overtake)
            current = host.deployments.find(body.name)
            if binding.worker.gone:
                record.state = "detached"  # after the claim; what was served still is
                host.store.append(
                    DeploymentEntry(current.record(host.host_id) if current else record)
                )
                raise DeployError("The kernel went away while it deployed.")
            deployment = host.deployments.serve(binding, record)
            # The claim knows no endpoints, and whatever was written down meanwhile is older.
            host.store.append(DeploymentEntry(deployment.record(host.host_id)))
    host.dispatcher.switched(deployment)
    host.restoring.switched(deployment)
    host.followers.wake()
    return Deployed(deployment, number, before, changed=not body.again)


async def _number(host: Host, body: wire.Deploy, worker: Worker, user: str | None) -> int:
    """Keep the snapshot; the same thing has the same number."""
    snapshot = host.deployments.snapshot_record(body, user)
    own = settings_of(body.settings).own_kernels
    if own:
        snapshot.manifest = body.manifest
        snapshot.environment = environment_of(host, worker, body.environment)
    number = await asyncio.wrap_future(host.store.add_snapshot(snapshot))
    if own:
        row = await asyncio.wrap_future(host.store.get_snapshot(body.pipeline, number))
        await host.trusting.judge([row])
        if not row["trusted"]:  # it was there already, not stored, or stored by somebody else
            snapshot.number = number
            host.store.append(SnapshotEntry(snapshot))
    return number


def _known(
    host: Host, current: Deployment, body: wire.Deploy, worker: Worker, number: int
) -> Deployed:
    """A kernel found its host again with a snapshot that is not what its name serves: a newcomer,
    or one that was rolled back. That a link was lost changes nothing of what is served."""
    host.deployments.attach(current, Binding(body.key, number, worker, body))
    host.deployments.trim(current)
    host.dispatcher.switched(current)
    return Deployed(current, number, changed=False)


async def _binding(
    host: Host, stack: AsyncExitStack, body: wire.Deploy, worker: Worker, number: int
) -> Binding:
    """What will take the calls: the kernel that deploys, or one of the deployment's own, which
    ends with ``stack`` if it is not taken."""
    if not settings_of(body.settings).own_kernels:
        dedicated = host.kernels is not None and worker.kernel_id in host.kernels
        return Binding(body.key, number, worker, body, dedicated=dedicated)
    held = Held(body.name, body.pipeline, number, body.settings, body.notebook)
    environment = msgspec.json.decode(environment_of(host, worker, body.environment))
    return await stack.enter_async_context(host.restoring.holding.held(held, environment))


def environment_of(host: Host, worker: Worker, told: msgspec.Raw) -> msgspec.Raw:
    """What a kernel told of itself, with what its server knows: enough to start another one."""
    known = msgspec.json.decode(told) or {}
    if host.kernels is not None:
        known["kernelspec"] = host.kernels.kernelspec(worker.kernel_id)
    return msgspec.Raw(msgspec.json.encode(known))
