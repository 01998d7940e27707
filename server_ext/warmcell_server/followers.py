"""Followers: deployments that serve the version of a model which an alias points to.

When "production" moves, the kernels that hold such a deployment make the newcomer warm beside what
they serve, ``on_init`` first; then it takes the calls, between two of them. What fails leaves
everything as it was, and is tried again when the alias moves again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import StoreError, WarmcellError
from warmcell.ids import now
from warmcell.records import AuditEntry, AuditRecord
from warmcell_server.deployment import Deployment
from warmcell_server.workers import Binding

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Followers"]

LOOK_SECONDS = 5.0  # between two looks: another host of the store may have moved an alias

log = logging.getLogger("warmcell.followers")


class Followers:
    """Keeps deployments at what they follow. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._news = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, str] = {}  # version that a deployment could not be moved to
        self._linked: dict[str, str] = {}  # version that a deployment was linked to

    def start(self) -> None:
        """Begin to look at what aliases point to."""
        self._watch = asyncio.get_running_loop().create_task(self._look())

    def wake(self) -> None:
        """Look now: an alias was moved, or something was deployed."""
        self._news.set()

    async def close(self) -> None:
        """End what goes on; the kernels keep what they serve. Harmless when repeated."""
        tasks = [*self._busy.values(), *([self._watch] if self._watch is not None else [])]
        self._watch = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_SECONDS)
            self._news.clear()
            for deployment in list(self._host.deployments):
                name = deployment.name
                if deployment.served.follow and deployment.ready and name not in self._busy:
                    task = asyncio.get_running_loop().create_task(self._follow(deployment))
                    self._busy[name] = task
                    task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: str, _: object) -> None:
        self._busy.pop(name, None)

    async def _follow(self, deployment: Deployment) -> None:
        """Bring a deployment to where its alias points, however often that is moved meanwhile."""
        try:
            while await self._step(deployment):
                pass
        except StoreError as error:  # it is looked at again soon
            log.warning("What '%s' follows cannot be looked at: %s", deployment.name, error)
        except Exception:
            # The outermost edge of a background task.
            log.exception("'%s' could not follow its model", deployment.name)

    async def _step(self, deployment: Deployment) -> bool:
        """Make one move; returns whether there may be another one."""
        model = deployment.binding.body.model if deployment.binding is not None else None
        if model is None:
            return False
        alias = await asyncio.wrap_future(
            self._host.store.read("alias", model=model["model"], alias=deployment.served.follow)
        )
        version = alias["id"]
        if version is None:  # nothing is there: what was served is served on
            deployment.unfollowed = f"No version of '{model['model']}' is in '{alias['alias']}'."
            return False
        stale = [one for one in self._holders(deployment) if self._of(one) != version]
        if not stale:
            deployment.unfollowed = ""
            self._failed.pop(deployment.name, None)
            await self._link(deployment, version)
            return False
        if self._failed.get(deployment.name) == version:
            return False
        try:
            moved = await self._move(deployment, stale, version)
        except WarmcellError as error:
            self._failed[deployment.name] = version
            deployment.unfollowed = f"Version '{alias['version']}' cannot be served: {error}"
            log.error("'%s' stays at version '%s': %s", deployment.name, model["version"], error)
            self._note(deployment, "model.refused", model, alias, cause=str(error))
            return False
        if moved:
            log.info("'%s' follows to version '%s'.", deployment.name, alias["version"])
            self._note(deployment, "model.followed", model, alias)
        return moved

    async def _move(self, deployment: Deployment, stale: list[Binding], version: str) -> bool:
        """Make newcomers warm beside ``stale``, then have them take the calls all at once; false
        where none is needed any more. Raises what keeps one from being made."""
        host = self._host
        made: list[tuple[Binding, Binding]] = []
        try:
            for old in stale:
                told = await host.questions.renew(old.worker, old.key, version)
                body = msgspec.structs.replace(old.body, key=told["key"], model=told["model"])
                new = Binding(told["key"], old.snapshot, old.worker, body, dedicated=old.dedicated)
                made.append((old, new))
            async with host.deployments.changing(deployment.name):
                moved = False
                if host.deployments.holds_name(deployment):
                    while made:
                        old, new = made.pop()
                        if old.alive and host.deployments.replace(deployment, old, new):
                            moved = True
                        else:
                            host.deployments.retire(new)
                    spare, deployment.spare = deployment.spare, None
                    if spare is not None:  # of the version before; another one is made
                        host.deployments.retire(spare)
        finally:
            for _, new in made:
                host.deployments.retire(new)
        if moved:
            host.dispatcher.switched(deployment)
            host.restoring.switched(deployment)
        return moved

    @staticmethod
    def _holders(deployment: Deployment) -> list[Binding]:
        """The bindings that answer calls."""
        numbers = (deployment.snapshot, *deployment.shared)
        found = [one for number in numbers for one in deployment.holders(number)]
        return [one for one in found if one.body.model is not None]

    @staticmethod
    def _of(binding: Binding) -> str:
        return binding.body.model["id"] if binding.body.model is not None else ""

    async def _link(self, deployment: Deployment, version: str) -> None:
        """Say that the version is what the deployment serves."""
        if self._linked.get(deployment.name) == version:
            return
        name = deployment.name
        linked = self._host.store.change(
            "link_model", id=version, kind="deployment", subject=name, role="deployment"
        )
        with contextlib.suppress(WarmcellError):  # a version that was deleted is linked to nothing
            await asyncio.wrap_future(linked)
        self._linked[deployment.name] = version

    def _note(
        self,
        deployment: Deployment,
        event: str,
        before: dict[str, str],
        alias: dict[str, Any],
        **more: Any,
    ) -> None:
        detail = {"before": before, "after": alias, "snapshot": deployment.snapshot, **more}
        record = AuditRecord(
            time=now(),
            event=event,
            subject=deployment.name,
            deployment=deployment.name,
            detail=msgspec.Raw(msgspec.json.encode(detail)),
        )
        try:
            self._host.store.append(AuditEntry(record))
        except StoreError as error:
            log.error("%s of '%s' could not be recorded: %s", event, deployment.name, error)
