"""Snapshots: list, show, and note how their stored form was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, NotFound
from warmcell.records import SnapshotEntry, SnapshotRecord
from warmcell_server.deployments import micros
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.workers import Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()
_BRIEF = ("pipeline", "number", "digest", "created_at", "user", "notebook", "note", "stored")


@ROUTES.add("GET", "api/v1/snapshots")
async def _snapshots(host: Host, call: Call) -> Result:
    """All of each, or with ``brief`` only what tells them apart."""
    rows = await asyncio.wrap_future(host.store.list_snapshots(call.query.get("pipeline")))
    if call.query.get("brief", "").lower() in ("1", "true"):
        rows = [{name: row[name] for name in _BRIEF} for row in rows]
    return 200, {"snapshots": rows}


@ROUTES.add("GET", "api/v1/snapshots/*/*")
async def _snapshot(host: Host, call: Call) -> Result:
    pipeline, number = _snapshot_key(call)
    return 200, await asyncio.wrap_future(host.store.get_snapshot(pipeline, number))


@ROUTES.add("PATCH", "api/v1/snapshots/*/*")
async def _stored(host: Host, call: Call) -> Result:
    """The worker wrote the stored form of a snapshot, or could not."""
    if call.worker is None:
        raise Conflict("Only the kernel that captured a snapshot can say how it is stored.")
    pipeline, number = _snapshot_key(call)
    body = decode(call, wire.Stored)
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
    record.environment = _environment(host, call.worker, body)
    host.store.append(SnapshotEntry(record))
    host.deployments.stored(pipeline, number, body.stored)
    for deployment in host.deployments:
        host.restoring.switched(deployment)  # it can have a standby now
    return 200, {"pipeline": pipeline, "number": number, "stored": body.stored}


def _environment(host: Host, worker: Worker, body: wire.Stored) -> msgspec.Raw:
    """What the kernel told of itself, with what its server knows: enough to start another one."""
    told = msgspec.json.decode(body.environment) or {}
    if host.kernels is not None:
        told["kernelspec"] = host.kernels.kernelspec(worker.kernel_id)
    return msgspec.Raw(msgspec.json.encode(told))


def _snapshot_record(known: dict[str, Any]) -> SnapshotRecord:
    known["created_at"] = micros(known["created_at"])
    return SnapshotRecord(**known)


def _snapshot_key(call: Call) -> tuple[str, int]:
    pipeline, number = call.arguments
    if not number.isdecimal():
        raise NotFound(f"There is no snapshot '{number}' of pipeline '{pipeline}'.")
    return pipeline, int(number)
