"""Traffic: how the calls of a deployment are shared among snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from warmcell_server.auditing import note_change
from warmcell_server.bounds import bounds_of
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.shares import path_of, share_of, weights_of

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    weights: Any = None
    by: Any = None
    abort_if: Any = None


class _Shadow(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: int
    fraction: Any = 1.0


class _Promote(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: int | None = None


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


@ROUTES.add("POST", "api/v1/deployments/*/split")
async def _split(host: Host, call: Call) -> Result:
    """Answers once every snapshot that gets a share is warm."""
    body: _Split = decode(call, _Split)
    deployment = host.deployments.get(call.arguments[0])
    weights, abort_if = weights_of(body.weights), bounds_of(body.abort_if)
    before = _weights(deployment)
    await host.releases.split(deployment, weights, by=path_of(body.by), abort_if=abort_if)
    note_change(
        host,
        call,
        "release.split",
        deployment.name,
        pipeline=deployment.pipeline,
        snapshot=deployment.snapshot,
        weights=weights,
        by_parameter=body.by,
        abort_if=None if abort_if is None else abort_if.describe(),
        before={"weights": before},
    )
    return 200, deployment.describe(host.url)


@ROUTES.add("POST", "api/v1/deployments/*/shadow")
async def _shadow(host: Host, call: Call) -> Result:
    """Answers once the shadow is warm."""
    body: _Shadow = decode(call, _Shadow)
    deployment = host.deployments.get(call.arguments[0])
    fraction = share_of(body.fraction, "The fraction of a shadow")
    await host.releases.shadow(deployment, body.snapshot, fraction)
    note_change(
        host,
        call,
        "release.shadowed",
        deployment.name,
        pipeline=deployment.pipeline,
        snapshot=body.snapshot,
        fraction=fraction,
    )
    return 200, deployment.describe(host.url)


@ROUTES.add("POST", "api/v1/deployments/*/promote")
async def _promote(host: Host, call: Call) -> Result:
    """Give all calls to the snapshot that has a share or is the shadow."""
    body: _Promote = decode(call, _Promote)
    deployment = host.deployments.get(call.arguments[0])
    before = {"snapshot": deployment.snapshot, "weights": _weights(deployment)}
    snapshot = await host.releases.promote(deployment, body.snapshot)
    note_change(
        host,
        call,
        "release.promoted",
        deployment.name,
        pipeline=deployment.pipeline,
        snapshot=snapshot,
        before=before,
    )
    return 200, deployment.describe(host.url)


@ROUTES.add("POST", "api/v1/deployments/*/abort")
async def _abort(host: Host, call: Call) -> Result:
    """End a split or a shadow: all calls go where they went before."""
    decode(call, _Nothing)
    deployment = host.deployments.get(call.arguments[0])
    before = host.releases.abort(deployment)
    note_change(
        host,
        call,
        "release.aborted",
        deployment.name,
        pipeline=deployment.pipeline,
        main=deployment.snapshot,
        cause="Somebody asked for it.",
        weights=before.weights,
        shadows=sorted(before.shadowed),
    )
    return 200, deployment.describe(host.url)


def _weights(deployment: Deployment) -> dict[int, float]:
    traffic = deployment.traffic
    return {deployment.snapshot: 1.0} if traffic is None else traffic.weights
