"""A run once more, and two runs beside each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from warmcell.compared import compare_runs
from warmcell_server.asked import asked_by
from warmcell_server.idempotency import digest, fingerprint
from warmcell_server.operation import Call, Result, Routes, decode, number
from warmcell_server.operations.runs import show_run
from warmcell_server.reruns import Wish
from warmcell_server.results import failure

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


@ROUTES.add("POST", "api/v1/runs/*/rerun")
async def _rerun(host: Host, call: Call) -> Result:
    """200 with the run that was made, however it ended; 202 without ``wait``."""
    wish: Wish = decode(call, Wish)
    asked = asked_by(call.headers)
    origin = call.arguments[0]
    key = print_ = None
    if asked.key is not None:
        key = digest(asked.key, call.user, f"rerun of {origin}")
        print_ = fingerprint(asked.key, call.body)
        if (made := host.idempotency.find(key, print_)) is not None:
            return await _answer(host, made, wait=wish.wait and not asked.detached)
    run = await show_run(host, origin)
    made = await host.reruns.begin(run, wish, user=call.user, key=key, fingerprint=print_)
    return await _answer(host, made, wait=wish.wait and not asked.detached)


async def _answer(host: Host, run_id: str, *, wait: bool) -> Result:
    waiting = host.dispatcher.live(run_id)
    if waiting is not None and wait:
        result = await asyncio.shield(waiting.future)
        if result.status == "invalid":
            raise failure(result)
    run = await show_run(host, run_id)
    if waiting is None or wait:
        return 200, run
    return 202, {
        "run_id": run_id,
        "status": run["status"],
        "deployment": run["deployment"],
        "url": f"{host.url}{run['deployment']}/runs/{quote(run_id)}",
    }


@ROUTES.add("GET", "api/v1/runs/*/compare/*")
async def _compare(host: Host, call: Call) -> Result:
    """What differs from the first run to the second; ``tolerance`` is how far two numbers may be
    apart and count as the same."""
    runs = [_plain(await show_run(host, run_id)) for run_id in call.arguments]
    tolerance = number(call, "tolerance", 0.0)
    return 200, await asyncio.to_thread(compare_runs, *runs, tolerance=tolerance)


def _plain(run: dict[str, Any]) -> dict[str, Any]:
    """The run with outputs that come from files decoded."""
    outputs = run.get("outputs") or {}
    decoded = {
        name: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
        for name, value in outputs.items()
    }
    return {**run, "outputs": decoded}
