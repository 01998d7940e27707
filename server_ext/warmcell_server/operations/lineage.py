"""Lineage: what something came from, what was made of it, and runs as OpenLineage events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warmcell.errors import UsageError
from warmcell_server.intime import read
from warmcell_server.operation import Call, Result, Routes

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


@ROUTES.add("GET", "api/v1/lineage")
async def _lineage(host: Host, call: Call) -> Result:
    """The graph around what the query names: ``kind`` with ``id``, or ``artifact``, ``model``,
    ``run``, ``step``, ``deployment``, ``pipeline`` and ``number``, ``version``; ``direction``,
    ``depth`` and ``limit``. Names are in the query, since they may have slashes."""
    if "kind" not in call.query:
        raise UsageError(
            "Whose lineage?", hint="Name it in the query: ?kind=artifact&artifact=churn-model"
        )
    return 200, await read(host.store.read("lineage", **call.query))


@ROUTES.add("GET", "api/v1/artifact-versions/*/origin")
async def _origin(host: Host, call: Call) -> Result:
    """The run that made a version, with parameters, snapshot, code and inputs."""
    return 200, await read(host.store.read("version_origin", name=call.arguments[0]))


@ROUTES.add("GET", "api/v1/runs/*/openlineage")
async def _openlineage(host: Host, call: Call) -> Result:
    """A run as OpenLineage events; jobs and datasets are in ``namespace``."""
    namespace = call.query.get("namespace")
    events = await read(
        host.store.read("openlineage", run_id=call.arguments[0], namespace=namespace)
    )
    return 200, {"events": events}
