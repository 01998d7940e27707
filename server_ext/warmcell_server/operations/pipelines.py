"""Pipelines: listed; of modules and notebooks deployed from, or run in, kernels of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, UsageError
from warmcell_server.intime import read
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.operations.runs import show_run
from warmcell_server.tagged import tags_asked

if TYPE_CHECKING:
    from warmcell_server.host import Host
    from warmcell_server.kernels import DedicatedKernels, Job

__all__ = ["ROUTES"]

ROUTES = Routes()


class _Asked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    target: str
    cwd: str | None = None  # where files and modules are looked for; the server's root by default
    kernel: str | None = None
    timeout: float = 600.0  # seconds


class _Deploy(_Asked):
    name: str | None = None
    settings: dict[str, Any] = {}
    overtake: bool = False
    note: str | None = None
    gate: dict[str, Any] | None = None


class _Run(_Asked):
    parameters: dict[str, Any] = {}
    texts: dict[str, str] = {}  # parameters as they stand on a command line
    run_name: str | None = None


@ROUTES.add("GET", "api/v1/pipelines")
async def _pipelines(host: Host, call: Call) -> Result:
    """What ran or was deployed, by name; those that each ``tag`` fits."""
    found = await read(host.store.read("list_pipelines", tags=tags_asked(call)))
    return 200, {"pipelines": found}


@ROUTES.add("GET", "api/v1/pipelines/*")
async def _pipeline(host: Host, call: Call) -> Result:
    """One pipeline by its name."""
    return 200, await read(host.store.read("get_pipeline", name=call.arguments[0]))


@ROUTES.add("POST", "api/v1/pipelines/deploy")
async def _deploy(host: Host, call: Call) -> Result:
    """Answers once the pipeline is served. A deployment of a dedicated kernel is replaced without
    asking, as its kernel has no notebook whose author would miss it."""
    body: _Deploy = decode(call, _Deploy)
    kernels, job = _job(host, body)
    name = await kernels.deploy(
        job,
        {
            "name": body.name,
            "settings": body.settings,
            "overtake": body.overtake,
            "note": body.note,
            "gate": body.gate,
            "replaceable": [
                deployment.name
                for deployment in host.deployments
                if (binding := deployment.binding)
                and binding.dedicated
                and binding.body.restored is None  # else there is a notebook that it belongs to
            ],
        },
    )
    deployment = host.deployments.get(name)
    return 201, {**deployment.describe(host.url), "output": job.written()}


@ROUTES.add("POST", "api/v1/pipelines/run")
async def _run(host: Host, call: Call) -> Result:
    """Answers with the run, once it has ended."""
    body: _Run = decode(call, _Run)
    kernels, job = _job(host, body)
    run_id = await kernels.run(
        job,
        {"parameters": body.parameters, "texts": body.texts, "run_name": body.run_name},
    )
    return 200, {**await show_run(host, run_id), "output": job.written()}


@ROUTES.add("DELETE", "api/v1/kernels/own")
async def _leave(host: Host, call: Call) -> Result:
    """A dedicated kernel serves nothing any more."""
    if call.worker is None or host.kernels is None:
        raise Conflict("Only a dedicated kernel can say this of itself.")
    host.kernels.leave(call.worker.kernel_id)
    return 202, {"kernel_id": call.worker.kernel_id, "state": "ending"}


def _job(host: Host, body: _Asked) -> tuple[DedicatedKernels, Job]:
    from warmcell_server.kernels import Job

    kernels = host.kernels
    if kernels is None:
        raise Conflict(
            "This host lives inside a kernel and starts no others.",
            hint="Start a server with `warmcell serve`, or deploy in the notebook.",
        )
    if not body.timeout > 0:
        raise UsageError("'timeout' must be a number of seconds above 0.")
    folder = Path(body.cwd).expanduser() if body.cwd else kernels.root
    return kernels, Job(body.target, kernels.root / folder, body.kernel, body.timeout)
