"""The events of a run that nobody followed, made anew from its record."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from warmcell.ids import now
from warmcell.records import TERMINAL
from warmcell_server.events import Happening
from warmcell_server.results import from_run, terminal_event

__all__ = ["Replay", "rebuilt"]

_encode = msgspec.json.Encoder().encode
_STEP = ("step", "index", "status", "upstream", "started_at", "finished_at", "error")
_LOG = ("time", "stream", "text", "step", "level")


def rebuilt(run: dict[str, Any]) -> list[Happening]:
    """What is known to have happened in a run, as the store returned it, in order; with the
    terminal event once it has ended. Progress and what steps yielded is not kept."""
    return list(Replay().take(run))


class Replay:
    """Makes events of a run from records of it that know more each time."""

    def __init__(self) -> None:
        self._told: set[tuple[str, bytes]] = set()
        self._last = 0

    def take(self, run: dict[str, Any]) -> Iterable[Happening]:
        """The events that are new in ``run``."""
        for moment, _, kind, body in sorted(_items(run), key=lambda item: item[:2]):
            data = _encode(body)
            if (kind, data) not in self._told:
                self._told.add((kind, data))
                yield self._happening(moment, kind, data)
        if run["status"] in TERMINAL:
            finished = _microseconds(run["finished_at"]) or now()
            yield self._happening(finished, *terminal_event(from_run(run)))

    def _happening(self, moment: int, kind: str, data: bytes) -> Happening:
        self._last = max(self._last + 1, moment)
        return Happening(self._last, kind, data)


def _items(run: dict[str, Any]) -> Iterable[tuple[int, int, str, dict[str, Any]]]:
    """Time, rank at the same time, kind and data."""
    head = {"run_id": run["run_id"], "status": "queued", "deployment": run["deployment"]}
    created = _microseconds(run["created_at"]) or 0
    started = _microseconds(run["started_at"])
    if run["status"] == "queued" or started is None:
        yield created, 0, "run", head
    if started is not None:
        yield started, 0, "run", {**head, "status": "running"}
    for step in run["steps"]:
        body = {name: step.get(name) for name in _STEP}
        body["error"] = _error(step.get("error"))
        began, ended = _microseconds(step["started_at"]), _microseconds(step["finished_at"])
        if began is not None:
            yield (
                began,
                1,
                "step",
                {**body, "status": "running", "finished_at": None, "error": None},
            )
        if step["status"] != "running":
            yield ended or began or started or created, 3, "step", body
    for record in run["logs"]:
        yield _microseconds(record["time"]) or 0, 2, "log", {name: record[name] for name in _LOG}


def _error(error: Any) -> dict[str, Any] | None:
    if not isinstance(error, dict):
        return None
    return {name: error.get(name) for name in ("type", "message", "hint")}


def _microseconds(text: str | None) -> int | None:
    """A time of the store as microseconds since the epoch."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
