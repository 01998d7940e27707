"""Runs: list, show, cancel, query."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from warmcell.errors import Conflict, NotFound, UsageError
from warmcell.records import Status
from warmcell_server.asked import wait_of
from warmcell_server.dispatcher import conflict_if_ended
from warmcell_server.intime import read
from warmcell_server.largeoutputs import INLINE, inline
from warmcell_server.operation import Call, Result, Routes, decode

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.store.sql import Table

__all__ = ["ROUTES", "cancel_run", "list_runs", "show_run"]

ROUTES = Routes()
_ROWS = 500  # that are encoded at once
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
        "tag",
    }
)


@ROUTES.add("GET", "api/v1/runs")
async def _runs(host: Host, call: Call) -> Result:
    """One page of runs, newest first, and the cursor of the next."""
    return 200, await list_runs(host, call.query)


async def list_runs(host: Host, query: dict[str, str]) -> dict[str, Any]:
    """One page of runs, newest first, and the cursor of the next."""
    unknown = sorted(query.keys() - RUN_FILTERS)
    if unknown:
        raise UsageError(
            f"Unknown filter '{unknown[0]}'.", hint=f"Filters: {', '.join(sorted(RUN_FILTERS))}."
        )
    filters: dict[str, Any] = dict(query)
    if "status" in filters:
        _check_status(filters["status"])
    for name in ("limit", "snapshot"):
        if name in filters:
            if not str(filters[name]).isdecimal():
                raise UsageError(f"'{name}' must be a whole number, not '{filters[name]}'.")
            filters[name] = int(filters[name])
    limit = filters["limit"] = max(1, min(filters.get("limit", 50), 1000))
    rows = await asyncio.wrap_future(host.store.list_runs(**{**filters, "limit": limit + 1}))
    more = len(rows) > limit
    return {"runs": rows[:limit], "next": rows[limit - 1]["run_id"] if more else None}


def _check_status(wanted: str) -> None:
    known = get_args(Status)
    for part in wanted.split(","):
        if part.strip() not in known:
            raise UsageError(
                f"No run has the status '{part.strip()}'.", hint=f"There are {', '.join(known)}."
            )


@ROUTES.add("GET", "api/v1/runs/*")
async def _run(host: Host, call: Call) -> Result:
    """One run with its steps, artifacts, metadata and logs."""
    wait = wait_of(call.headers.get("Prefer", "")) or 0.0
    return 200, await show_run(host, call.arguments[0], wait=wait)


async def show_run(
    host: Host, run_id: str, deployment: str | None = None, wait: float = 0.0
) -> dict[str, Any]:
    """One run with its parts; of a call in flight where it is, which only the dispatcher knows,
    without a look into the store: runs are polled. With ``wait`` (seconds) its end is awaited
    first, for so long.

    Raises NotFound, also for a run of another deployment than the one named.
    """
    if wait and (call := host.dispatcher.live(run_id)) is not None:
        await asyncio.wait([call.future], timeout=wait)
    run = host.dispatcher.progress(run_id)
    if run is None:
        run = await read(host.store.get_run(run_id))
        await inline(run, host.store.blobs, INLINE)
    if deployment is not None and run["deployment"] != deployment:
        raise NotFound(f"Deployment '{deployment}' has no run '{run_id}'.")
    return run


@ROUTES.add("DELETE", "api/v1/runs/*")
async def _cancel(host: Host, call: Call) -> Result:
    """Cancel a run. 409 once it has ended."""
    return 202, await cancel_run(host, call.arguments[0])


async def cancel_run(host: Host, run_id: str) -> dict[str, Any]:
    """Ask a run to stop, which a queued one does at once. Raises NotFound, or Conflict once it has
    ended."""
    try:
        ended = host.dispatcher.cancel(run_id)
    except NotFound:
        run = await read(host.store.get_run(run_id))
        conflict_if_ended(run["status"], run_id)
        raise Conflict(
            f"Run '{run_id}' runs in another process.", hint="Cancel it where it runs."
        ) from None
    return {"run_id": run_id, "status": "cancelled" if ended else "cancelling"}


@ROUTES.add("POST", "api/v1/sql")
async def _sql(host: Host, call: Call) -> Result:
    """Answer one SELECT over the documented views."""

    class Body(msgspec.Struct, forbid_unknown_fields=True):
        query: str
        limit: int = 10_000

    body = decode(call, Body)
    limit = max(1, min(body.limit, 100_000))
    table = await asyncio.wrap_future(host.store.sql(body.query, limit=limit))
    return 200, await asyncio.to_thread(_encoded, table)


def _encoded(table: Table) -> bytes:
    """The answer as JSON, a few rows at a time: each time nobody else can run."""
    encode = msgspec.json.encode
    head = {"columns": table.columns, "types": table.types, "truncated": table.truncated}
    rows = table.rows
    parts = [encode(rows[start : start + _ROWS])[1:-1] for start in range(0, len(rows), _ROWS)]
    return encode(head)[:-1] + b',"rows":[' + b",".join(parts) + b"]}"
