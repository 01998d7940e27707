"""How much the store holds and how it grows, and deleting what is old."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import UsageError
from warmcell.ids import rfc3339
from warmcell_server.operation import Call, Result, Routes, decode

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


class _Export(msgspec.Struct, forbid_unknown_fields=True):
    to: str | None = None
    blobs: bool = True


class _Import(msgspec.Struct, forbid_unknown_fields=True, rename={"source": "from"}):
    source: str


class _Pruning(msgspec.Struct, forbid_unknown_fields=True):
    max_age_days: float | None = None
    max_runs: int | None = None
    max_bytes: int | None = None
    pipeline: str | None = None
    deployment: str | None = None
    dry_run: bool = False


@ROUTES.add("GET", "api/v1/store")
async def _store(host: Host, call: Call) -> Result:
    """Numbers and bytes of what there is, what came of late, and what is kept at most."""
    used: dict[str, Any] = await asyncio.wrap_future(host.store.usage())
    oldest, keep = used["oldest"], host.housekeeping.keep
    return 200, {
        **used,
        "home": str(host.home),
        "oldest": None if oldest is None else rfc3339(oldest),
        "keep": {"days": keep.days, "runs": keep.runs, "bytes": keep.bytes},
    }


@ROUTES.add("POST", "api/v1/store/prune", _Pruning)
async def _prune(host: Host, call: Call) -> Result:
    """Delete runs beyond the limits of the body; without any, beyond those of the server."""
    wanted: _Pruning = decode(call, _Pruning)
    limits = {
        "max_age_days": wanted.max_age_days,
        "max_runs": wanted.max_runs,
        "max_bytes": wanted.max_bytes,
    }
    for name, value in limits.items():
        if value is not None and not value >= 0:
            raise UsageError(f"'{name}' must be 0 or more, not {value}.")
    if all(value is None for value in limits.values()):
        if wanted.pipeline is not None or wanted.deployment is not None:
            raise UsageError(
                "How many of these runs shall stay?",
                hint="Give max_age_days, max_runs or max_bytes; max_runs=0 deletes all.",
            )
        keep = host.housekeeping.keep
        limits = {"max_age_days": keep.days, "max_runs": keep.runs, "max_bytes": keep.bytes}
    gone = await asyncio.wrap_future(
        host.store.prune(
            **limits,  # type: ignore[arg-type]
            pipeline=wanted.pipeline,
            deployment=wanted.deployment,
            dry_run=wanted.dry_run,
        )
    )
    return 200, {**gone, "dry_run": wanted.dry_run}


@ROUTES.add("POST", "api/v1/store/export")
async def _export(host: Host, call: Call) -> Result:
    """Write all of the store as Parquet to a folder of the server's machine."""
    wanted: _Export = decode(call, _Export)
    return 200, await asyncio.wrap_future(host.store.export(wanted.to, blobs=wanted.blobs))


@ROUTES.add("POST", "api/v1/store/import")
async def _import(host: Host, call: Call) -> Result:
    """Take in what is new in an export, or in another store, of the server's machine."""
    wanted: _Import = decode(call, _Import)
    return 200, await asyncio.wrap_future(host.store.import_(wanted.source))
