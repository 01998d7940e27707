"""The control plane: one table of operations, reached over HTTP, over the link and by widgets.

Paths are relative to ``…/warmcell/``. An operation takes a :class:`Call` and returns a status and
something that JSON can hold; what it raises is mapped in :mod:`warmcell_server.problems`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

import warmcell
from warmcell import wire
from warmcell.errors import BadRequest, Conflict, NotFound, UsageError, WarmcellError
from warmcell.ids import now
from warmcell.records import DeploymentEntry, SnapshotEntry, SnapshotRecord
from warmcell_server import problems
from warmcell_server.deployments import micros
from warmcell_server.dispatcher import conflict_if_ended
from warmcell_server.invocation import invoke
from warmcell_server.workers import Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Api", "Call"]

log = logging.getLogger("warmcell.api")

LONGEST_WAIT = 30.0
CHANGE_INTERVAL = 0.25  # seconds between two answers about changes, at least
RUN_FILTERS = frozenset(
    {
        "limit",
        "before",
        "pipeline",
        "deployment",
        "snapshot",
        "status",
        "trigger",
        "since",
        "until",
        "text",
    }
)


@dataclass
class Call:
    """One request of the control plane."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: str | None = None
    worker: Worker | None = None
    arguments: tuple[str, ...] = ()


Result: TypeAlias = tuple[int, Any]
Operation: TypeAlias = Callable[["Api", Call], Awaitable[Result]]
_routes: list[tuple[str, re.Pattern[str], Operation]] = []


def _route(method: str, pattern: str) -> Callable[[Operation], Operation]:
    compiled = re.compile(pattern.replace("*", "([^/]+)"))

    def register(operation: Operation) -> Operation:
        _routes.append((method, compiled, operation))
        return operation

    return register


class Api:
    """Runs operations on a host. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def handle(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        user: str | None = None,
        worker: Worker | None = None,
    ) -> Result:
        """Run one operation. ``path`` has no leading slash and no query; its parts may be quoted.

        Raises:
            NotFound: no such path.
            WarmcellError: as the operation says.
        """
        allowed = []
        for verb, pattern, operation in _routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if verb == method:
                arguments = tuple(unquote(part) for part in match.groups())
                call = Call(method, path, query or {}, body, user, worker, arguments)
                return await operation(self, call)
            allowed.append(verb)
        if allowed:
            raise problems.MethodNotAllowed(method, path, allowed)
        raise NotFound(f"There is no '{path}' here.")

    async def answer(
        self, method: str, target: str, body: bytes, *, user: str | None, worker: Worker | None
    ) -> tuple[int, bytes]:
        """Run one operation and return its status and JSON, errors included: for the link.
        ``target`` may carry a query."""
        parts = urlsplit(target)
        try:
            query = dict(parse_qsl(parts.query))
            status, result = await self.handle(
                method, parts.path.strip("/"), query, body, user=user, worker=worker
            )
            data = result if isinstance(result, bytes) else msgspec.json.encode(result)
        except WarmcellError as error:
            problem = problems.problem(error)
            return problem.status, msgspec.json.encode(problem.body)
        except Exception as error:
            # The outermost edge of a request: a kernel must not wait for an answer in vain.
            log.exception("%s %s failed", method, target)
            problem = problems.plain(500, f"{type(error).__name__}: {error}")
            return problem.status, msgspec.json.encode(problem.body)
        return status, data


def _decode(call: Call, type_: type[Any]) -> Any:
    try:
        return msgspec.json.decode(call.body or b"{}", type=type_)
    except msgspec.ValidationError as error:
        raise UsageError(f"The body of {call.method} {call.path} does not fit: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body of {call.method} {call.path} is no JSON: {error}.") from error


# -- status ----------------------------------------------------------------------------------


@_route("GET", "api/v1/status")
async def _status(api: Api, call: Call) -> Result:
    host = api.host
    return 200, {
        "version": warmcell.__version__,
        "host_id": host.host_id,
        "mode": host.mode,
        "role": host.store.role,
        "home": str(host.home),
        "url": host.url,
        "notices": host.store.notices,
    }


@_route("GET", "api/v1/changes")
async def _changes(api: Api, call: Call) -> Result:
    """Wait until the store has more than version ``since``, at most ``wait`` seconds."""
    since = _number(call, "since", 0)
    wait = min(_number(call, "wait", 20), LONGEST_WAIT)
    store = api.host.store
    loop = asyncio.get_running_loop()
    if store.version <= since:
        changed = asyncio.Event()

        def notify() -> None:
            loop.call_soon_threadsafe(changed.set)

        unsubscribe = store.subscribe(notify)
        try:
            if store.version <= since:
                await asyncio.wait_for(changed.wait(), wait)
                await asyncio.sleep(CHANGE_INTERVAL)  # gather a burst into one answer
        except TimeoutError:
            pass
        finally:
            unsubscribe()
    return 200, {"version": store.version}


def _number(call: Call, name: str, default: float) -> float:
    text = call.query.get(name)
    try:
        return default if text is None else float(text)
    except ValueError:
        raise UsageError(f"'{name}' must be a number, not '{text}'.") from None


# -- deployments -----------------------------------------------------------------------------


@_route("GET", "api/v1/deployments")
async def _deployments(api: Api, call: Call) -> Result:
    url = api.host.url
    pipeline = call.query.get("pipeline")
    found = sorted(api.host.deployments, key=lambda d: d.updated_at, reverse=True)
    return 200, {
        "deployments": [
            d.describe(url) for d in found if pipeline is None or d.pipeline == pipeline
        ]
    }


@_route("GET", "api/v1/deployments/*")
async def _deployment(api: Api, call: Call) -> Result:
    return 200, api.host.deployments.get(call.arguments[0]).describe(api.host.url)


@_route("POST", "api/v1/deployments")
async def _deploy(api: Api, call: Call) -> Result:
    """Serve a worker's binding. The name is claimed in the store before anything is switched."""
    host, worker = api.host, call.worker
    if worker is None:
        raise Conflict(
            "Only a kernel can deploy: it holds the objects.",
            hint="Run pipeline.deploy(...) or %deploy in the notebook.",
        )
    body = _decode(call, wire.Deploy)
    limits = host.deployments.check(body, worker)
    number = await asyncio.wrap_future(
        host.store.add_snapshot(host.deployments.snapshot_record(body, call.user))
    )
    record = host.deployments.draft(body, number, limits, call.user)
    await asyncio.wrap_future(host.store.claim(record))
    deployment = host.deployments.switch(body, record, limits, worker)
    return 201, deployment.describe(host.url)


@_route("DELETE", "api/v1/deployments/*")
async def _undeploy(api: Api, call: Call) -> Result:
    host = api.host
    deployment = host.deployments.remove(call.arguments[0])
    host.dispatcher.orphaned(deployment)
    deployment.updated_at = now()
    host.store.append(DeploymentEntry(deployment.record(host.host_id, "removed")))
    return 200, {"name": deployment.name, "state": "removed"}


@_route("POST", "api/v1/deployments/*/rollback")
async def _rollback(api: Api, call: Call) -> Result:
    class Body(msgspec.Struct, forbid_unknown_fields=True):
        to: int | None = None

    host = api.host
    deployment = host.deployments.rollback(call.arguments[0], _decode(call, Body).to)
    host.store.append(DeploymentEntry(deployment.record(host.host_id)))
    return 200, deployment.describe(host.url)


# -- snapshots -------------------------------------------------------------------------------


@_route("GET", "api/v1/snapshots")
async def _snapshots(api: Api, call: Call) -> Result:
    rows = await asyncio.wrap_future(api.host.store.list_snapshots(call.query.get("pipeline")))
    return 200, {"snapshots": rows}


@_route("GET", "api/v1/snapshots/*/*")
async def _snapshot(api: Api, call: Call) -> Result:
    pipeline, number = _snapshot_key(call)
    return 200, await asyncio.wrap_future(api.host.store.get_snapshot(pipeline, number))


@_route("PATCH", "api/v1/snapshots/*/*")
async def _stored(api: Api, call: Call) -> Result:
    """The worker wrote the stored form of a snapshot, or could not."""
    if call.worker is None:
        raise Conflict("Only the kernel that captured a snapshot can say how it is stored.")
    pipeline, number = _snapshot_key(call)
    body = _decode(call, wire.Stored)
    host = api.host
    row = await asyncio.wrap_future(host.store.get_snapshot(pipeline, number))
    known = {name: row[name] for name in SnapshotRecord.__struct_fields__ if name in row}
    for name in ("input_schema", "output_schema", "held", "environment", "settings", "manifest"):
        if known.get(name) is not None:
            known[name] = msgspec.Raw(msgspec.json.encode(known[name]))
    if not isinstance(known.get("source", ""), str):
        known["source"] = msgspec.json.encode(known["source"]).decode()
    known["created_at"] = row["created_at"]
    record = _snapshot_record(known)
    record.stored, record.manifest = body.stored, body.manifest
    record.environment = body.environment
    host.store.append(SnapshotEntry(record))
    for deployment in host.deployments:
        if (deployment.pipeline, deployment.snapshot) == (pipeline, number):
            deployment.stored = body.stored
    return 200, {"pipeline": pipeline, "number": number, "stored": body.stored}


def _snapshot_record(known: dict[str, Any]) -> SnapshotRecord:
    known["created_at"] = micros(known["created_at"])
    return SnapshotRecord(**known)


def _snapshot_key(call: Call) -> tuple[str, int]:
    pipeline, number = call.arguments
    if not number.isdecimal():
        raise NotFound(f"There is no snapshot '{number}' of pipeline '{pipeline}'.")
    return pipeline, int(number)


# -- runs ------------------------------------------------------------------------------------


@_route("GET", "api/v1/runs")
async def _runs(api: Api, call: Call) -> Result:
    return 200, await list_runs(api.host, call.query)


async def list_runs(host: Host, query: dict[str, str]) -> dict[str, Any]:
    """One page of runs, newest first, and the cursor of the next."""
    unknown = sorted(query.keys() - RUN_FILTERS)
    if unknown:
        raise UsageError(
            f"Unknown filter '{unknown[0]}'.", hint=f"Filters: {', '.join(sorted(RUN_FILTERS))}."
        )
    filters: dict[str, Any] = dict(query)
    for name in ("limit", "snapshot"):
        if name in filters:
            if not str(filters[name]).isdecimal():
                raise UsageError(f"'{name}' must be a whole number, not '{filters[name]}'.")
            filters[name] = int(filters[name])
    limit = filters["limit"] = max(1, min(filters.get("limit", 50), 1000))
    rows = await asyncio.wrap_future(host.store.list_runs(**{**filters, "limit": limit + 1}))
    more = len(rows) > limit
    return {"runs": rows[:limit], "next": rows[limit - 1]["run_id"] if more else None}


@_route("GET", "api/v1/runs/*")
async def _run(api: Api, call: Call) -> Result:
    return 200, await asyncio.wrap_future(api.host.store.get_run(call.arguments[0]))


@_route("DELETE", "api/v1/runs/*")
async def _cancel(api: Api, call: Call) -> Result:
    return 202, await cancel_run(api.host, call.arguments[0])


async def cancel_run(host: Host, run_id: str) -> dict[str, Any]:
    """Ask a run to stop. Raises NotFound, or Conflict once it has ended."""
    try:
        host.dispatcher.cancel(run_id)
    except NotFound:
        run = await asyncio.wrap_future(host.store.get_run(run_id))
        conflict_if_ended(run["status"], run_id)
        raise Conflict(
            f"Run '{run_id}' runs in another process.", hint="Cancel it where it runs."
        ) from None
    return {"run_id": run_id, "status": "cancelling"}


@_route("POST", "api/v1/sql")
async def _sql(api: Api, call: Call) -> Result:
    class Body(msgspec.Struct, forbid_unknown_fields=True):
        query: str
        limit: int = 10_000

    body = _decode(call, Body)
    limit = max(1, min(body.limit, 100_000))
    table = await asyncio.wrap_future(api.host.store.sql(body.query, limit=limit))
    return 200, {
        "columns": table.columns,
        "types": table.types,
        "rows": table.rows,
        "truncated": table.truncated,
    }


# -- the data plane, for the Python client in a kernel and for widgets ------------------------


@_route("POST", "*/invoke")
async def _invoke(api: Api, call: Call) -> Result:
    return 200, await invoke(api.host, call.arguments[0], call.body, user=call.user)
