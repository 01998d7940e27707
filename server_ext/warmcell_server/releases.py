"""Releases: newcomers beside the snapshot that a deployment serves, brought in and taken out.

Every change is made at once and between two calls: those in flight end where they began, those that
wait go where the new shares say. What a change needs warm is made warm before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, NotFound, StoreFull, UsageError
from warmcell.ids import now
from warmcell.records import AuditEntry, AuditRecord, DeploymentEntry
from warmcell_server.bounds import Bounds
from warmcell_server.deployment import Deployment
from warmcell_server.shares import MOST, share_of
from warmcell_server.traffic import Traffic
from warmcell_server.workers import Binding

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Releases"]

MOST_NUMBER = 999_999_999  # of a snapshot

log = logging.getLogger("warmcell.releases")


class Releases:
    """Changes how the calls of deployments are shared. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def split(
        self,
        deployment: Deployment,
        weights: dict[int, float],
        *,
        by: str | None = None,
        abort_if: Bounds | None = None,
    ) -> None:
        """Share the calls of a deployment among snapshots of its pipeline.

        Raises:
            NotFound: the pipeline has no such snapshot.
            UsageError: ``by`` is no parameter.
            SnapshotError, DeployError: one is not warm, and cannot be made so.
            Conflict: nothing serves it, or it was deployed anew meanwhile.
        """
        if by is not None:
            _check_path(deployment, by)
        async with AsyncExitStack() as stack:
            made = await self._warm(stack, deployment, weights)
            before = _traffic(deployment)
            self._set(deployment, before.shared(weights, by=by, abort_if=abort_if), made)

    async def shadow(self, deployment: Deployment, snapshot: int, fraction: float) -> None:
        """Have a snapshot execute a share of the calls too, its answers unseen; 0 ends that.

        Raises what :meth:`split` does, and :class:`Conflict` for a snapshot that answers calls.
        """
        async with AsyncExitStack() as stack:
            made = await self._warm(stack, deployment, [snapshot] if fraction else [])
            before = _traffic(deployment)
            if fraction and before.weights.get(snapshot):
                raise Conflict(
                    f"Snapshot {snapshot} answers calls of '{deployment.name}' already.",
                    hint="Only what answers none can be a shadow: abort() the split, or promote().",
                )
            self._set(deployment, before.shadowing(snapshot, fraction), made)

    def beside(self, deployment: Deployment, binding: Binding, share: object) -> None:
        """Take in a snapshot that was just deployed with a share of the calls, 0 for none yet.

        Raises :class:`Conflict` where there is nothing to be beside.
        """
        part = share_of(share, "The traffic of a newcomer")
        self.check_beside(deployment, binding.body.pipeline)
        before = _traffic(deployment)
        weights = before.beside(binding.snapshot, part)
        if len(weights) > MOST:
            raise Conflict(
                f"{MOST} snapshots of '{deployment.name}' share its calls already.",
                hint="promote() one of them, or abort().",
            )
        held = [one for one in deployment.holders(binding.snapshot) if not one.dedicated]
        traffic = before.shared(weights, by=before.by, abort_if=before.abort_if)
        self._set(deployment, traffic, [binding])
        for one in held:  # the same thing, deployed again: its kernel holds it twice
            self._host.deployments.detach(deployment, one)

    @staticmethod
    def check_beside(deployment: Deployment | None, pipeline: str) -> None:
        """Raise :class:`Conflict` unless a snapshot of ``pipeline`` can be beside what a deployment
        serves."""
        if deployment is None:
            raise Conflict(
                "Nothing is served under this name yet, so that there is nothing to share with.",
                hint="Deploy it once without `traffic`.",
            )
        if deployment.pipeline != pipeline:
            raise Conflict(
                f"'{deployment.name}' serves pipeline '{deployment.pipeline}', and a share of its "
                f"calls is asked for '{pipeline}'.",
                hint="Only snapshots of one pipeline share calls; deploy it without `traffic`.",
            )

    async def promote(self, deployment: Deployment, snapshot: int | None) -> int:
        """Have a newcomer, the only one by default, answer everything; returns its number.

        Raises :class:`Conflict` where there is none, and what :meth:`split` does.
        """
        traffic = deployment.traffic
        gone = traffic.aborted if traffic is not None else None
        newcomers = traffic.newcomers if traffic is not None else []
        candidates = newcomers or sorted(traffic.shadowed if traffic is not None else ())
        if snapshot is None:
            if len(candidates) != 1:
                raise _unclear(deployment, candidates)
            snapshot = candidates[0]
        elif snapshot not in (*candidates, *(traffic.shadowed if traffic is not None else ())):
            raise _unclear(deployment, candidates, snapshot)
        async with AsyncExitStack() as stack:
            made = await self._warm(stack, deployment, [snapshot])
            if deployment.traffic is not traffic or traffic is None or traffic.aborted is not gone:
                raise Conflict(
                    f"The traffic of '{deployment.name}' was changed meanwhile; nothing was "
                    "promoted.",
                    hint="Look at it, and ask again.",
                )
            for binding in made:
                self._host.deployments.attach(deployment, binding)
            self._host.deployments.roll(deployment, deployment.holders(snapshot)[0])
            self._changed(deployment)
        return snapshot

    def abort(self, deployment: Deployment) -> Traffic:
        """Have the main snapshot answer everything again, and nothing execute beside it; returns
        what was.

        Raises :class:`Conflict` where nothing is going on.
        """
        before = deployment.traffic
        if before is None or before.plain:
            raise _unclear(deployment, [])
        deployment.traffic = None
        self._host.deployments.trim(deployment)
        self._changed(deployment)
        return before

    def aborted(self, deployment: Deployment, cause: str) -> None:
        """The traffic of a deployment has taken its newcomers out: keep that, and say so."""
        traffic = deployment.traffic
        gone = traffic.aborted if traffic is not None else None
        log.warning("The split of '%s' is aborted: %s", deployment.name, cause)
        self._changed(deployment)
        record = AuditRecord(
            time=now(),
            event="release.aborted",
            subject=deployment.name,
            deployment=deployment.name,
            detail=_raw(
                {
                    "by": "abort_if",
                    "cause": cause,
                    "snapshot": gone.snapshot if gone is not None else None,
                    "weights": gone.weights if gone is not None else None,
                    "main": deployment.snapshot,
                }
            ),
        )
        try:
            self._host.store.append(AuditEntry(record))
        except StoreFull as error:
            log.error("The abort of '%s' could not be recorded: %s", deployment.name, error)

    # -- inside ------------------------------------------------------------------------------

    async def _warm(
        self, stack: AsyncExitStack, deployment: Deployment, numbers: Iterable[int]
    ) -> list[Binding]:
        """Have something hold each snapshot; returns what is to be attached to the deployment
        before ``stack`` ends. From then on nobody else changes the deployment."""
        host = self._host
        if not deployment.ready:
            raise deployment.unavailable
        pipeline, main = deployment.pipeline, deployment.snapshot
        made = []
        numbers = sorted(numbers)
        for number in numbers:
            if number > MOST_NUMBER:
                raise NotFound(f"Pipeline '{pipeline}' has no snapshot {number}.")
            if deployment.holders(number):
                continue
            await asyncio.wrap_future(host.store.get_snapshot(pipeline, number))
            made.append(
                await stack.enter_async_context(host.restoring.holding.hold(deployment, number))
            )
        await stack.enter_async_context(host.deployments.changing(deployment.name))
        found = host.deployments.find(deployment.name)
        if found is not deployment or (pipeline, main) != (found.pipeline, found.snapshot):
            raise Conflict(
                f"Deployment '{deployment.name}' was changed meanwhile; nothing was shared.",
                hint="Look at it, and ask again.",
            )
        if not deployment.ready:
            raise deployment.unavailable
        made = [one for one in made if one.alive and not deployment.holders(one.snapshot)]
        warm = {one.snapshot for one in made}
        for number in numbers:
            if number not in warm and not deployment.holders(number):
                raise Conflict(
                    f"The kernel of snapshot {number} went away meanwhile; nothing was shared.",
                    hint="Ask again.",
                )
        return made

    def _set(self, deployment: Deployment, traffic: Traffic, made: Iterable[Binding]) -> None:
        traffic.follow(deployment.traffic)
        for binding in made:
            self._host.deployments.attach(deployment, binding)
        deployment.traffic = None if traffic.plain else traffic
        self._host.deployments.trim(deployment)
        self._changed(deployment)

    def _changed(self, deployment: Deployment) -> None:
        host = self._host
        deployment.updated_at = now()
        host.dispatcher.switched(deployment)
        host.restoring.switched(deployment)
        try:
            host.store.append(DeploymentEntry(deployment.record(host.host_id)))
        except StoreFull as error:
            log.error("The traffic of '%s' could not be recorded: %s", deployment.name, error)


def _traffic(deployment: Deployment) -> Traffic:
    """How its calls are shared; all to what it serves unless somebody said otherwise."""
    alone = {deployment.snapshot: 1.0}
    return deployment.traffic or Traffic(deployment.name, deployment.snapshot, alone)


def _check_path(deployment: Deployment, by: str) -> None:
    """Raise :class:`UsageError` for a path that begins with no parameter of the pipeline."""
    schema: dict[str, Any] = msgspec.json.decode(deployment.input_schema)
    known = schema.get("properties") or {}
    name = by.split(".")[0]
    if name not in known and not schema.get("additionalProperties"):
        raise UsageError(
            f"by='{by}' names no parameter of '{deployment.pipeline}'.",
            hint=f"It has {', '.join(known) or 'none'}.",
        )


def _unclear(deployment: Deployment, candidates: list[int], given: int | None = None) -> Conflict:
    name, traffic = deployment.name, deployment.traffic
    if candidates and given is not None:
        return Conflict(
            f"Snapshot {given} has no part in the traffic of '{name}'.",
            hint=f"Newcomers: {', '.join(map(str, candidates))}.",
        )
    if candidates:
        return Conflict(
            f"'{name}' has several newcomers.",
            hint=f"Name the one to promote: {', '.join(map(str, candidates))}.",
        )
    said = f"Snapshot {deployment.snapshot} answers every call of '{name}': there is no newcomer."
    if traffic is not None and traffic.aborted is not None:
        said += f" The split was aborted: {traffic.aborted.cause}"
    return Conflict(said, hint="Begin with split(), shadow(), or deploy(..., traffic=0.1).")


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
