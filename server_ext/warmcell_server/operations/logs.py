"""What runs wrote, searched."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from warmcell.errors import UsageError
from warmcell_server.operation import Call, Result, Routes

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()
LIMIT, MOST = 100, 1000
FILTERS = frozenset(
    {
        "text",
        "regex",
        "run_id",
        "pipeline",
        "deployment",
        "step",
        "stream",
        "level",
        "since",
        "until",
        "before",
        "limit",
    }
)


@ROUTES.add("GET", "api/v1/logs")
async def _logs(host: Host, call: Call) -> Result:
    """One page of pieces of output, the newest first, and the cursor of the next."""

    unknown = sorted(call.query.keys() - FILTERS)
    if unknown:
        raise UsageError(
            f"Unknown filter '{unknown[0]}'.", hint=f"Filters: {', '.join(sorted(FILTERS))}."
        )
    wanted: dict[str, Any] = dict(call.query)
    for name in ("since", "until"):
        if name in wanted:
            wanted[name] = _microseconds(name, wanted[name])
    given = str(wanted.get("limit", LIMIT))
    if not given.isdecimal():
        raise UsageError(f"'limit' must be a whole number, not '{given}'.")
    wanted["limit"] = max(1, min(int(given), MOST))
    if "regex" in wanted:
        if wanted["regex"] not in ("true", "false"):
            raise UsageError(f"'regex' is true or false, not '{wanted['regex']}'.")
        wanted["regex"] = wanted["regex"] == "true"
    return 200, await asyncio.wrap_future(host.store.read("search_logs", **wanted))


def _microseconds(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"'{name}' is '{text}', which is no time.", hint="For example: 2026-11-21T09:30:00Z"
        ) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
