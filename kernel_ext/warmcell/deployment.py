"""Deployment: a served name, and all that its callers and its owner do with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

from warmcell.errors import WarmcellError, error_from_problem
from warmcell.releasing import WARM_SECONDS, Released
from warmcell.remote.calling import CallOptions, Request, calling, change
from warmcell.remote.handle import RunHandle, events_path
from warmcell.remote.streaming import ACCEPT, AsyncEvents, Events
from warmcell.remote.transport import Transport

if TYPE_CHECKING:
    from datetime import datetime

    import pandas

    from warmcell.changes import Drift, SnapshotDiff, Snapshots
    from warmcell.lineage import Lineage

__all__ = ["Deployment"]


class Deployment(Released):
    """A name and its URL, as the host described them when this was made or refreshed.

    Every call has a form for an event loop, with an ``a`` in front. Options of a call are set by
    :meth:`with_options`, so that every name is free for parameters.
    """

    def __init__(
        self,
        described: Mapping[str, Any],
        transport: Transport | None = None,
        options: CallOptions | None = None,
    ) -> None:
        self._described = dict(described)
        self._transport = transport or _of_this_kernel()
        self._options = options or CallOptions()

    @property
    def name(self) -> str:
        return str(self._described["name"])

    @property
    def id(self) -> str:
        """Its name, which is what it is known by."""
        return self.name

    @property
    def url(self) -> str:
        """Address of the deployment; ends in a slash."""
        return str(self._described["url"])

    @property
    def invoke_url(self) -> str:
        """Address that answers ``POST {"parameters": {...}}``."""
        return str(self._described.get("invoke_url") or f"{self.url}invoke")

    @property
    def pipeline(self) -> str:
        return str(self._known("pipeline"))

    @property
    def snapshot(self) -> int:
        """Number of the snapshot that is served."""
        return int(self._known("snapshot"))

    @property
    def status(self) -> str:
        """ "serving", "restoring" (calls wait), "resting" (the next call brings it back),
        "detached" (nothing holds the snapshot) or
        "removed"."""
        return str(self._known("state"))

    @property
    def served_by(self) -> str | None:
        """ "notebook", or "dedicated" for a kernel that the host started to restore it; None while
        nothing serves."""
        found = self.refresh()._described.get("served_by")
        return None if found is None else str(found)

    @property
    def replicas(self) -> list[dict[str, Any]]:
        """The kernels that take its calls: ``pid``, ``served_by``, ``in_flight``, ``runs``, ``rss``
        (bytes), ``start_seconds`` and ``age_seconds`` of each."""
        return list(self.refresh()._described.get("replicas") or [])

    @property
    def notes(self) -> list[str]:
        """What is held by reference or cannot be stored, in sentences."""
        return list(self._known("notes") or [])

    @property
    def held(self) -> list[dict[str, Any]]:
        """Each name that the snapshot holds: by copy or by reference, type and size in bytes."""
        return list(self._known("held") or [])

    @property
    def stored(self) -> str:
        """ "pending", "stored", or why the snapshot cannot be restored in another kernel."""
        return str(self.refresh()._described.get("stored"))

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the parameters."""
        if "input_schema" not in self._described:  # any key may read the document
            path = f"{quote(self.name, safe='')}/openapi.json"
            components = self._transport.control("GET", path)["components"]
            schema = components["schemas"].get("Parameters", {})
            self._described["input_schema"] = {**schema, "components": components}
        return dict(self._described["input_schema"])

    def refresh(self) -> Deployment:
        """Ask the host again; returns itself. With a key that may ``read``, or a token."""
        keyed = getattr(self._transport, "keyed", False)
        self._take("GET", path=f"{quote(self.name, safe='')}/info" if keyed else None)
        return self

    def to_json(self) -> dict[str, Any]:
        """The deployment as the host described it."""
        return dict(self._described)

    # -- calls ---------------------------------------------------------------------------------

    def with_options(self, **options: Any) -> Deployment:
        """The same deployment, called with ``timeout``, ``queue_timeout``, ``run_timeout``
        (seconds), ``run_name``, ``idempotency_key``, ``callback_url`` or ``traceparent``.

        Raises :class:`~warmcell.errors.UsageError` for any other option.
        """
        return Deployment(self._described, self._transport, change(self._options, options))

    def invoke(self, /, **parameters: Any) -> dict[str, Any]:
        """Call the deployment and return its outputs, by name.

        Raises:
            ParameterError: the parameters do not fit.
            RunError, and its kinds RunTimedOut, RunCancelled, RunLost and OutputError.
            QueueFull, Unavailable: not now; ``retry_after`` says when, in seconds.
            NotFound, Unauthenticated, Forbidden, LinkError.
        """
        return _outputs(self._send(self._calling(parameters)))

    async def ainvoke(self, /, **parameters: Any) -> dict[str, Any]:
        """:meth:`invoke` for an event loop. Over HTTP its cancellation lets a queued call go."""
        return _outputs(await self._asend(self._calling(parameters)))

    def submit(self, /, **parameters: Any) -> RunHandle:
        """Start a run and do not wait for it."""
        return self._handle(self._send(self._calling(parameters, detached=True)))

    async def asubmit(self, /, **parameters: Any) -> RunHandle:
        """:meth:`submit` for an event loop."""
        return self._handle(await self._asend(self._calling(parameters, detached=True)))

    def stream(self, /, **parameters: Any) -> Events:
        """Call the deployment and iterate over what happens: steps, progress, logs, yielded values.
        The last event is "done"; a run that fails raises its error. What :meth:`invoke` raises
        comes with the first event."""
        request = self._streaming(parameters)
        return Events(self._transport, request, self._events)

    def astream(self, /, **parameters: Any) -> AsyncEvents:
        """:meth:`stream` for an event loop."""
        request = self._streaming(parameters)
        return AsyncEvents(self._transport, request, self._events)

    def batch(self, instances: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | WarmcellError]:
        """Run once per instance, as many at a time as the deployment allows. Each result is the
        outputs or, of a run that did not succeed, its error."""
        request = calling(self.name, self._options, instances=instances)
        return _results(self._send(request))

    async def abatch(
        self, instances: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any] | WarmcellError]:
        """:meth:`batch` for an event loop."""
        request = calling(self.name, self._options, instances=instances)
        return _results(await self._asend(request))

    def run(self, run_id: str) -> RunHandle:
        """A run of this deployment by its id."""
        return RunHandle(self._transport, self.name, run_id)

    # -- its owner -----------------------------------------------------------------------------

    def undeploy(self) -> None:
        """Stop serving: calls answer 404 from now on, calls in flight end."""
        self._take("DELETE")

    delete = undeploy

    def rollback(self, to: int | None = None) -> Deployment:
        """Serve snapshot ``to``, by default the one before: at once if it is warm, else as soon as
        it is restored in a kernel of its own; until then what was served is. Ends a split.

        Raises:
            NotFound: no such snapshot.
            Conflict: there is none before, or ``to`` is not stored and no longer warm.
        """
        self._take("POST", "/rollback", {"to": to})
        return self

    def snapshots(self) -> Snapshots:
        """The snapshots of its pipeline, newest first: who deployed them, when, with which
        note."""
        from warmcell.changes import Snapshots

        query = urlencode({"pipeline": self.pipeline, "brief": "true"})
        return Snapshots(self._transport.control("GET", f"api/v1/snapshots?{query}")["snapshots"])

    def diff(self, before: int | None = None, after: int | None = None) -> SnapshotDiff:
        """What changed from snapshot ``before`` (the served one by default) to snapshot ``after``,
        or to the notebook as it is now. Raises :class:`~warmcell.errors.Conflict` where no kernel
        of that notebook runs."""
        from warmcell.changes import SnapshotDiff

        given = {"before": before, "after": after}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return SnapshotDiff(self._transport.control("GET", f"{self._path}/diff?{query}"))

    def drift(self) -> Drift:
        """Each name that it holds, by copy or by reference, and whether the notebook's value or
        source has changed since. Deploying again refreezes all of them."""
        from warmcell.changes import Drift

        return Drift(self._transport.control("GET", f"{self._path}/drift"))

    def history(self) -> list[dict[str, Any]]:
        """What was done to it and by whom, newest first: deployed, overtaken, rolled back."""
        found: list[dict[str, Any]] = self._transport.control("GET", f"{self._path}/history")[
            "history"
        ]
        return found

    def calls(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = 10_000,
        status: str | Sequence[str] | None = None,
        where: str | None = None,
        *,
        unpack: bool = True,
    ) -> pandas.DataFrame:
        """Return its calls as a pandas DataFrame, newest first, with the run id as index.

        Beside ``created_at``, ``status``, ``duration`` (seconds), ``snapshot``, ``user`` and the
        error there is a column for each parameter and output, typed as the schema says; objects
        are unpacked: ``customer.age``. A name that would come twice is ``input.x`` and
        ``output.x``. What was redacted stays so. Calls that repeat another one, a shadow's or a
        rerun's, are left out.

        Args:
            since, until: only calls from this time on, and before that one.
            limit: so many at most; None for all.
            status: only these, as "succeeded" or ["failed", "timed_out"].
            where: SQL over a line of the view ``runs``: ``"parameters ->> '$.country' = 'DE'"``.
            unpack: False for one column per parameter and output, objects as they are.
        """
        from warmcell.client import Client
        from warmcell.history.calls import calls

        return calls(
            Client.of(self._transport), self.name, since=since, until=until, limit=limit,
            status=status, where=where, unpack=unpack,
        )  # fmt: skip

    def lineage(self, *, direction: Any = "both", depth: int = 20) -> Lineage:
        """What it serves and where that came from: snapshot, held artifacts, model version; see
        :meth:`~warmcell.client.Client.get_lineage`."""
        from warmcell.client import Client

        client = Client.of(self._transport)
        return client.get_lineage(deployment=self.name, direction=direction, depth=depth)

    def create_key(
        self,
        name: str,
        scopes: Sequence[str] = ("invoke",),
        expires_in: float | None = None,
    ) -> str:
        """Make an API key for this deployment and return it; it is never shown again.

        Args:
            name: what it is called in lists, and in the history of the runs made with it.
            scopes: "invoke" (call, and see the runs made with it) and "read" (all runs).
            expires_in: seconds; without, it lasts until it is revoked.
        """
        body = {"name": name, "scopes": list(scopes), "expires_in": expires_in}
        made = self._transport.control("POST", f"{self._path}/keys", body)
        return str(made["key"])

    def keys(self) -> list[dict[str, Any]]:
        """The keys of this deployment, without their secrets."""
        found: list[dict[str, Any]] = self._transport.control("GET", f"{self._path}/keys")["keys"]
        return found

    def revoke_key(self, name: str) -> None:
        """Make a key useless, at once."""
        self._transport.control("DELETE", f"{self._path}/keys/{quote(name, safe='')}")

    def webhook_secret(self) -> str:
        """The secret (``whsec_…``) that signs what callback URLs get from this deployment."""
        return str(self._transport.control("GET", f"{self._path}/webhook")["secret"])

    def rotate_webhook_secret(self) -> str:
        """Make a new secret and return it; for a while, both sign."""
        return str(self._transport.control("POST", f"{self._path}/webhook/rotate")["secret"])

    def curl(self, /, **parameters: Any) -> str:
        """Return a shell command that calls the deployment."""
        body = json.dumps({"parameters": parameters}).replace("'", "'\\''")
        return (
            f'curl -X POST {self.invoke_url} -H "Authorization: token $TOKEN" '
            f"-H 'Content-Type: application/json' -d '{body}'"
        )

    def __repr__(self) -> str:
        if "snapshot" not in self._described:
            return f"<deployment {self.name} at {self.url}>"
        what = f"snapshot {self.snapshot} of {self.pipeline}"
        return f"<deployment {self.name}: {what} at {self.url}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if "snapshot" not in self._described:
            return {"text/plain": repr(self)}
        from warmcell_widgets import render

        return {
            "text/plain": render.deployment_text(self._described),
            "text/html": render.deployment_html(self._described),
        }

    # -- inside --------------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return f"api/v1/deployments/{quote(self.name, safe='')}"

    def _known(self, field: str) -> Any:
        if field not in self._described:  # who has a key only was told nothing yet
            self.refresh()
        return self._described.get(field)

    def _take(
        self,
        method: str,
        action: str = "",
        body: Any = None,
        *,
        path: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        path = path or self._path + action
        self._described |= self._transport.control(method, path, body, timeout=timeout) or {}

    def _refreshed(self) -> Mapping[str, Any]:
        return self.refresh()._described

    def _release(self, action: str, body: Mapping[str, Any]) -> Self:
        self._take("POST", action, dict(body), timeout=WARM_SECONDS)
        return self

    def _calling(self, parameters: Mapping[str, Any], *, detached: bool = False) -> Request:
        return calling(self.name, self._options, parameters=parameters, detached=detached)

    def _streaming(self, parameters: Mapping[str, Any]) -> Request:
        request = self._calling(parameters)
        headers = {**request.headers, **ACCEPT}
        return Request(request.method, request.path, request.body, headers, request.timeout)

    def _send(self, request: Request) -> Any:
        return self._transport.control(
            request.method,
            request.path,
            request.body,
            headers=request.headers,
            timeout=request.timeout,
        )

    async def _asend(self, request: Request) -> Any:
        return await self._transport.acontrol(
            request.method,
            request.path,
            request.body,
            headers=request.headers,
            seconds=request.timeout,
        )

    def _handle(self, accepted: Mapping[str, Any]) -> RunHandle:
        if "run_id" in accepted:
            return RunHandle(self._transport, self.name, accepted["run_id"], accepted)
        return RunHandle(self._transport, self.name, accepted["metadata"]["run_id"])

    def _events(self, run_id: str) -> str:
        return events_path(self.name, run_id)


def _of_this_kernel() -> Transport:
    from warmcell.remote.linked import Linked

    return Linked()


def _outputs(answer: Any) -> dict[str, Any]:
    outputs: dict[str, Any] = answer["outputs"]
    return outputs


def _results(answer: Any) -> list[dict[str, Any] | WarmcellError]:
    return [
        result["outputs"]
        if result["success"]
        else error_from_problem(int(result["error"].get("status") or 500), result["error"])
        for result in answer["results"]
    ]
