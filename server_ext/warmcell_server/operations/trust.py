"""Trust: a person says that a stored snapshot may run here as theirs; the audit notes it.

No key of a deployment opens this, and over HTTP Jupyter's authorizer is asked for ``execute`` on
``kernels``, as what is trusted runs in one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from warmcell.ids import now
from warmcell.records import AuditEntry, AuditRecord, SnapshotEntry
from warmcell_server.auditing import who
from warmcell_server.operation import Call, Result, Routes
from warmcell_server.operations.snapshots import key_of, record_of

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


@ROUTES.add("POST", "api/v1/snapshots/*/*/trust")
async def _trust(host: Host, call: Call) -> Result:
    """Sign a snapshot for this user, and begin to restore what waited for it; ``restoring`` names
    those deployments. Harmless when repeated."""
    pipeline, number = key_of(call)
    row = await asyncio.wrap_future(host.store.get_snapshot(pipeline, number))
    await host.trusting.judge([row])
    if not row["trusted"]:
        manifest = await host.trusting.sign(row)
        record = record_of(row)
        host.store.append(_line(call, record.pipeline, number, row["user"]))  # nothing without it
        record.manifest = manifest
        host.store.append(SnapshotEntry(record))
        row["manifest"] = msgspec.json.decode(manifest)
        await host.trusting.judge([row])
    begun = host.restoring.trusted(pipeline, number)
    return 200, {
        "pipeline": pipeline,
        "number": number,
        "trusted": row["trusted"],
        "restoring": [deployment.name for deployment in begun],
    }


def _line(call: Call, pipeline: str, number: int, author: str | None) -> AuditEntry:
    detail = {"pipeline": pipeline, "snapshot": number, "author": author}
    if call.worker is not None:
        detail["by"] = call.worker.label()
    return AuditEntry(
        AuditRecord(
            time=now(),
            event="snapshot.trusted",
            subject=f"{pipeline}@{number}",
            user=who(call),
            detail=msgspec.Raw(msgspec.json.encode(detail)),
        )
    )
