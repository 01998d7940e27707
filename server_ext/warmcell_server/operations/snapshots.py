"""Snapshots: list, show, and note how their stored form was written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell import wire
from warmcell.errors import Conflict, NotFound
from warmcell.records import SnapshotEntry, SnapshotRecord
from warmcell_server.deploying import environment_of
from warmcell_server.deployments import micros
from warmcell_server.operation import Call, Result, Routes, decode
from warmcell_server.tagged import with_tags

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES", "key_of", "record_of"]

ROUTES = Routes()
_BRIEF = (
    "pipeline", "number", "digest", "created_at", "user", "notebook", "note", "stored", "trusted",
)  # fmt: skip


@ROUTES.add("GET", "api/v1/snapshots")
async def _snapshots(host: Host, call: Call) -> Result:
    """All of each, or with ``brief`` only what tells them apart; of a ``pipeline``, or those that
    each ``tag`` fits."""
    rows = await asyncio.wrap_future(host.store.list_snapshots(call.query.get("pipeline")))
    await host.trusting.judge(rows)
    if call.query.get("brief", "").lower() in ("1", "true"):
        rows = [{name: row[name] for name in _BRIEF} for row in rows]
    rows = [{"id": f"{row['pipeline']}/{row['number']}", **row} for row in rows]
    return 200, {"snapshots": await with_tags(host, call, "snapshot", rows, _id)}


def _id(row: dict[str, Any]) -> str:
    return str(row["id"])


@ROUTES.add("GET", "api/v1/snapshots/*/*")
async def _snapshot(host: Host, call: Call) -> Result:
    """One snapshot, with all that is known of it."""
    pipeline, number = key_of(call)
    row = await asyncio.wrap_future(host.store.get_snapshot(pipeline, number))
    await host.trusting.judge([row])
    return 200, row


@ROUTES.add("PATCH", "api/v1/snapshots/*/*")
async def _stored(host: Host, call: Call) -> Result:
    """The worker wrote the stored form of a snapshot, or could not."""
    if call.worker is None:
        raise Conflict("Only the kernel that captured a snapshot can say how it is stored.")
    pipeline, number = key_of(call)
    body = decode(call, wire.Stored)
    row = await asyncio.wrap_future(host.store.get_snapshot(pipeline, number))
    record = record_of(row)
    record.stored, record.manifest = body.stored, body.manifest
    record.environment = environment_of(host, call.worker, body.environment)
    host.store.append(SnapshotEntry(record))
    host.deployments.stored(pipeline, number, body.stored)
    for deployment in host.deployments:
        host.restoring.switched(deployment)  # it can have a standby now
    return 200, {"pipeline": pipeline, "number": number, "stored": body.stored}


def record_of(row: dict[str, Any]) -> SnapshotRecord:
    """The record of a snapshot that was read from the store."""
    known = {name: row[name] for name in SnapshotRecord.__struct_fields__ if name in row}
    for name in ("input_schema", "output_schema", "held", "environment", "settings", "manifest"):
        if known.get(name) is not None:
            known[name] = msgspec.Raw(msgspec.json.encode(known[name]))
    if not isinstance(known.get("source", ""), str):
        known["source"] = msgspec.json.encode(known["source"]).decode()
    known["created_at"] = micros(known["created_at"])
    return SnapshotRecord(**known)


def key_of(call: Call) -> tuple[str, int]:
    """The pipeline and the number that a path names. Raises :class:`NotFound`."""
    pipeline, number = call.arguments
    if not number.isdecimal() or len(number) > 9:
        raise NotFound(f"There is no snapshot '{number}' of pipeline '{pipeline}'.")
    return pipeline, int(number)
