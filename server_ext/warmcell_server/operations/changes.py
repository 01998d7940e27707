"""Change control: what differs between snapshots and from the notebook, and who did what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.comparing import compare, drift
from warmcell.errors import Conflict, NotFound, UsageError
from warmcell.ids import now, rfc3339
from warmcell_server.deployments import check_name
from warmcell_server.operation import Call, Result, Routes
from warmcell_server.questions import notebook_of

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()

NOW = "now"
LINES = 1000  # of the history of a deployment


@ROUTES.add("GET", "api/v1/snapshots/*/*/diff/*")
async def _diff(host: Host, call: Call) -> Result:
    """Two snapshots of a pipeline, or one and "now", the notebook that deployed it."""
    pipeline, before, after = call.arguments
    old = await _snapshot(host, pipeline, before)
    if after != NOW:
        return 200, await asyncio.to_thread(compare, old, await _snapshot(host, pipeline, after))
    deployment = next((one for one in host.deployments if one.pipeline == pipeline), None)
    if deployment is None:
        raise Conflict(
            f"Pipeline '{pipeline}' is not deployed, so that nobody knows it as it is now.",
            hint="In its notebook, pipeline.diff(3) compares snapshot 3 with the cells.",
        )
    told = await _ask(host, call, deployment)
    new = {**told["draft"], "settings": old["settings"]}  # those are a deployment's own
    return 200, await asyncio.to_thread(compare, old, new)


@ROUTES.add("GET", "api/v1/deployments/*/diff")
async def _deployment_diff(host: Host, call: Call) -> Result:
    """What a deployment serves, or snapshot ``before``, and ``after``: "now" by default."""
    deployment = host.deployments.get(call.arguments[0])
    before = call.query.get("before") or str(deployment.snapshot)
    after = call.query.get("after") or NOW
    old = await _snapshot(host, deployment.pipeline, before)
    if after == NOW:
        new: dict[str, Any] = (await _ask(host, call, deployment))["draft"]
        old["settings"] = deployment.settings  # the same snapshot may be served under others
    else:
        new = await _snapshot(host, deployment.pipeline, after)
    return 200, await asyncio.to_thread(compare, old, new)


@ROUTES.add("GET", "api/v1/deployments/*/drift")
async def _drift(host: Host, call: Call) -> Result:
    """Each name that the served snapshot holds, and whether the notebook's has changed since."""
    deployment = host.deployments.get(call.arguments[0])
    served = deployment.snapshot
    told = await _ask(host, call, deployment)
    snapshot = await _snapshot(host, deployment.pipeline, str(served))
    in_place = told["in_place"] if told["snapshot"] == served else ()
    found = drift(snapshot, told["draft"], in_place)
    return 200, {
        "deployment": deployment.name,
        "notebook": deployment.notebook,
        "checked_at": rfc3339(now()),
        **found,
    }


@ROUTES.add("GET", "api/v1/deployments/*/history")
async def _history(host: Host, call: Call) -> Result:
    """What was done to a deployment and by whom, newest first; also of a name that is gone."""
    name = call.arguments[0]
    check_name(name)  # it becomes part of a query
    query = (
        'SELECT time, event, subject, "user", detail FROM audit '
        f"WHERE deployment = '{name}' ORDER BY time DESC"
    )
    table = await asyncio.wrap_future(host.store.sql(query, limit=LINES))
    lines = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    for line in lines:
        if isinstance(line["detail"], str):
            line["detail"] = msgspec.json.decode(line["detail"])
    return 200, {"history": lines}


@ROUTES.add("GET", "api/v1/snapshots/*/*/notebook")
async def _notebook(host: Host, call: Call) -> Result:
    """A snapshot as a notebook (nbformat 4)."""
    from warmcell.notebook.opening import as_notebook

    pipeline, number = call.arguments
    snapshot = await _snapshot(host, pipeline, number)
    served = [
        one.name
        for one in host.deployments
        if (one.pipeline, one.snapshot) == (pipeline, snapshot["number"])
    ]
    return 200, as_notebook(snapshot, served)


async def _snapshot(host: Host, pipeline: str, number: str) -> dict[str, Any]:
    if not number.isdecimal():
        raise UsageError(f"A snapshot has a number, and '{number}' is none.")
    if len(number) > 9:
        raise NotFound(f"Pipeline '{pipeline}' has no snapshot {number}.")
    return await asyncio.wrap_future(host.store.get_snapshot(pipeline, int(number)))


async def _ask(host: Host, call: Call, deployment: Deployment) -> dict[str, Any]:
    worker = notebook_of(host.link.workers, deployment, call.worker)
    return await host.questions.ask(worker, deployment.name, deployment.pipeline)
