"""What the runs of a deployment wrote, read from the history as it grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

if TYPE_CHECKING:
    from warmcell.client import Client

__all__ = ["FILTERS", "LogLine", "logs_of", "search"]

DEFAULT = 1_000  # lines
MOST = 100_000
PAGE = 1_000
FILTERS = (
    "run_id", "pipeline", "deployment", "step", "stream", "level", "since", "until"
)  # fmt: skip
WAIT = 25.0  # seconds that one question for news may wait


class LogLine(NamedTuple):
    """A piece of output. ``time`` is RFC 3339; ``stream`` is stdout, stderr, log or display."""

    time: str
    run_id: str
    step: str | None
    stream: str
    level: str | None
    text: str
    pipeline: str | None = None
    deployment: str | None = None


def logs_of(
    client: Client, deployment: str, *, follow: bool = False, tail: int | None = None
) -> Iterator[LogLine]:
    """Yield the last ``tail`` lines (a thousand by default) of a deployment's runs, the oldest
    first; with ``follow`` also what comes, as runs end.

    Raises :class:`~warmcell.errors.NotFound` for a deployment that there is not.
    """
    client.get_deployment(deployment)
    limit = max(0, min(DEFAULT if tail is None else tail, MOST))
    version = client._call("GET", "api/v1/changes?since=0&wait=0")["version"]
    seen = set(_read(client, deployment, MOST, recent=True)) if follow else set()
    lines = _read(client, deployment, limit)
    yield from reversed(lines)
    seen.update(lines)
    while follow:
        path = f"api/v1/changes?since={version}&wait={WAIT:g}"
        version = client._call("GET", path, timeout=WAIT + 30)["version"]
        # A run's lines are stored when it ends: younger ones of others may be there already.
        lines = _read(client, deployment, MOST, recent=True)
        yield from reversed([line for line in lines if line not in seen])
        seen = set(lines)


def search(
    client: Client, text: str | None, *, regex: bool, limit: int, filters: dict[str, Any]
) -> list[LogLine]:
    """The newest ``limit`` pieces of output that fit, the newest first."""
    given = {name: str(value) for name, value in filters.items() if value is not None}
    if text:
        given |= {"text": text, "regex": "true" if regex else "false"}
    found: list[LogLine] = []
    while len(found) < limit:
        given["limit"] = str(min(limit - len(found), PAGE))
        page = client._call("GET", f"api/v1/logs?{urlencode(given)}")
        found += [LogLine(**{name: row[name] for name in LogLine._fields}) for row in page["logs"]]
        if page["next"] is None:
            break
        given["before"] = page["next"]
    return found


def _read(client: Client, deployment: str, limit: int, *, recent: bool = False) -> list[LogLine]:
    """The newest lines first; ``recent`` ones are those of runs that ended lately, or go on."""
    name = deployment.replace("'", "''")
    ended = "now() AT TIME ZONE 'UTC' - INTERVAL 10 MINUTE"
    lately = f"AND coalesce(r.finished_at > {ended}, true)" if recent else ""
    table = client.sql(
        "SELECT l.time, l.run_id, l.step, l.stream, l.level, l.text FROM logs l "
        f"JOIN runs r USING (run_id) WHERE r.deployment = '{name}' {lately} "
        f"ORDER BY l.time DESC, l.run_id LIMIT {limit}",
        limit=max(limit, 1),
    )
    return [LogLine(*row) for row in table.rows]
