"""Reruns: a run of the history executed once more, on its own snapshot or another one.

A snapshot that is not warm is held in a kernel of its own for as long as reruns use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import repeating
from warmcell.errors import Conflict, NotFound, UsageError
from warmcell_server.calls import Wanted, heard

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["Reruns", "Wish"]

_OWN, _NEWEST = "own", "newest"
_MOST = 999_999_999  # of a snapshot's number
_AGAIN = "Ask again."


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """How to run it again: ``parameters`` replace single ones of the run, or with ``replace`` all
    of them; ``snapshot`` is "own", "newest" (of the pipeline) or a number."""

    parameters: dict[str, msgspec.Raw] | None = None
    replace: bool = False
    snapshot: int | str = _OWN
    wait: bool = True


@dataclass(eq=False)
class _Warm:
    """A snapshot that is held for reruns; ``ready`` fails with what kept it from being so."""

    ready: asyncio.Future[None]
    users: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)


class Reruns:
    """Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._warm: dict[tuple[Deployment, int], _Warm] = {}

    async def begin(
        self,
        run: Mapping[str, Any],
        wish: Wish,
        *,
        user: str | None,
        key: str | None = None,
        fingerprint: str | None = None,
    ) -> str:
        """Admit the run and return its id; its trigger is "rerun" and its origin ``run``. Where
        ``key`` made one meanwhile, that is returned.

        Raises:
            Conflict: ``run`` was no call of a deployment, or that is another pipeline's now.
            NotFound: no such deployment or snapshot.
            UsageError: ``snapshot`` is none.
            ParameterError: its input was not recorded as it was.
            SnapshotError, DeployError: its snapshot cannot be made warm.
            What :meth:`Dispatcher.call` says.
        """
        deployment = self._deployment(run)
        number = await self._number(run, wish.snapshot)
        parameters = await self._parameters(run, wish, number)
        wanted = Wanted(
            run_name=run.get("run_name"),
            detached=True,
            key=key,
            fingerprint=fingerprint,
            snapshot=number,
            pipeline=deployment.pipeline,
            origin=run["run_id"],
        )
        warm = await self._use(deployment, number)
        try:
            made = key and fingerprint and self._host.idempotency.find(key, fingerprint)
            if made:
                self._leave(warm)
                return made
            if self._deployment(run) is not deployment:
                raise Conflict(f"'{deployment.name}' was deployed anew meanwhile.", hint=_AGAIN)
            call = self._host.dispatcher.call(
                deployment.name, parameters, user=user, trigger="rerun", wanted=wanted
            )
        except BaseException:
            self._leave(warm)
            raise
        if key and fingerprint:
            self._host.idempotency.remember(key, fingerprint, call.run_id)
        call.future.add_done_callback(heard)
        call.future.add_done_callback(lambda _: self._leave(warm))
        return call.run_id

    def _deployment(self, run: Mapping[str, Any]) -> Deployment:
        run_id, name = run["run_id"], run.get("deployment")
        if name is None or run.get("snapshot") is None:
            raise Conflict(
                f"Run '{run_id}' was no call of a deployment, and no snapshot holds its code.",
                hint=f"Call {run['pipeline']}(...) in its notebook with the run's parameters.",
            )
        try:
            deployment = self._host.deployments.get(name)
        except NotFound as error:
            raise NotFound(
                f"Run '{run_id}' was a call of '{name}', which is not deployed any more.",
                hint=f"Deploy '{name}' again, or use %replay {run_id} in a notebook.",
            ) from error
        if deployment.pipeline != run["pipeline"]:
            raise Conflict(
                f"Run '{run_id}' was a call of pipeline '{run['pipeline']}', and '{name}' serves "
                f"'{deployment.pipeline}' now.",
                hint=f"Use %replay {run_id} in a notebook.",
            )
        return deployment

    async def _number(self, run: Mapping[str, Any], wished: int | str) -> int:
        if wished == _OWN:
            return int(run["snapshot"])
        pipeline = run["pipeline"]
        if wished == _NEWEST:
            rows = await asyncio.wrap_future(self._host.store.list_snapshots(pipeline))
            return max((int(row["number"]) for row in rows), default=int(run["snapshot"]))
        if isinstance(wished, str) or wished < 1:
            raise UsageError(
                f"'{wished}' is no snapshot.", hint="There are 'own', 'newest' and numbers from 1."
            )
        if wished > _MOST:
            raise NotFound(f"Pipeline '{pipeline}' has no snapshot {wished}.")
        return wished

    async def _parameters(self, run: Mapping[str, Any], wish: Wish, number: int) -> bytes:
        """The JSON of the parameters. Raises :class:`ParameterError`."""
        given: dict[str, Any] = dict(wish.parameters or {})
        target = await self._schema(run["pipeline"], number)
        if wish.replace:
            if wish.parameters is None:
                raise UsageError("'replace' is there for 'parameters', which are missing.")
            return msgspec.json.encode(given)
        recorded = run.get("parameters")
        try:
            own = await self._schema(run["pipeline"], int(run["snapshot"]))
        except NotFound:  # it was deleted, and its run is run on another one
            own = target
        repeating.check(
            run["run_id"],
            repeating.gaps(recorded, own, list(given)),
            hint="Give these parameters anew: they replace those of the run.",
        )
        kept = {name: value for name, value in (recorded or {}).items() if name not in given}
        return msgspec.json.encode({**repeating.as_given(kept, target), **given})

    async def _schema(self, pipeline: str, number: int) -> dict[str, Any]:
        row = await asyncio.wrap_future(self._host.store.get_snapshot(pipeline, number))
        found: dict[str, Any] = row["input_schema"]
        return found

    # -- snapshots that nothing holds ----------------------------------------------------------

    async def _use(self, deployment: Deployment, number: int) -> _Warm | None:
        """Have something hold the snapshot, until :meth:`_leave`. What a deployment serves comes
        back by itself, if it has to."""
        key = deployment, number
        warm = self._warm.get(key)
        if warm is None:
            if number == deployment.snapshot or deployment.holders(number):
                return None
            warm = self._warm[key] = _Warm(asyncio.get_running_loop().create_future())
            self._host.restoring.spawn(self._keep(deployment, number, warm))
        warm.users += 1
        try:
            await asyncio.shield(warm.ready)
        except BaseException:
            self._leave(warm)
            raise
        return warm

    @staticmethod
    def _leave(warm: _Warm | None) -> None:
        if warm is not None:
            warm.users -= 1
            if not warm.users:
                warm.unused.set()

    async def _keep(self, deployment: Deployment, number: int, warm: _Warm) -> None:
        host = self._host
        try:
            async with host.restoring.holding.hold(deployment, number) as binding:
                host.deployments.attach(deployment, binding)
                warm.ready.set_result(None)
                while warm.users:  # who comes late may find it just before it is let go
                    await warm.unused.wait()
                    warm.unused.clear()
                self._warm.pop((deployment, number), None)
                served = number == deployment.snapshot or number in deployment.shared
                if not served and binding in deployment.warm:
                    host.deployments.detach(deployment, binding)
        except Exception as error:
            if warm.ready.done():
                raise
            warm.ready.set_exception(error)
            warm.ready.exception()  # who waits for it hears it, if anybody still does
        finally:
            warm.ready.cancel()
            self._warm.pop((deployment, number), None)
