"""Entries: the results of earlier runs that a run may take, as the store has them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from warmcell.records import ArtifactRecord

__all__ = ["Ask", "Entries", "Entry"]

_EACH = 5  # entries of a step that is called once, to begin with

Ask = Callable[[dict[str, Any]], dict[str, Any]]


class Entry(NamedTuple):
    """Results of a step of ``run_id``. Times are seconds since the epoch. ``digests`` are those of
    its artifact versions; one that is not there any more has None. ``versions`` are their rows."""

    key: str
    run_id: str
    step: str
    created_at: float
    expires_at: float | None
    parts: dict[str, str]
    outputs: list[ArtifactRecord]
    digests: dict[str, str | None]
    versions: dict[str, dict[str, Any]]


class Entries:
    """Asks for the newest entries of all ``steps`` (names, one for each call that is foreseen) at
    once, when the first is looked for, and of all that ``pipeline`` had, where it is named.
    ``resumed`` is a run whose entries count in any case."""

    def __init__(
        self,
        ask: Ask,
        steps: Sequence[str],
        resumed: str | None = None,
        pipeline: str | None = None,
    ) -> None:
        self._ask = ask
        self._pipeline = pipeline
        self._wanted = dict.fromkeys(steps)
        most = max((list(steps).count(name) for name in self._wanted), default=1)
        self._each = max(_EACH, 3 * most)
        self._resumed = resumed
        self._known: set[str] = set()  # names of steps that were asked for
        self._full: set[str] = set()  # of which there may be more
        self._by_step: dict[str, dict[str, Entry]] = {}
        self.of_resumed: set[str] = set()  # keys
        self._refused: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def of(self, step: str) -> list[Entry]:
        """The newest entries of a step, the newest first. Raises what asking raises."""
        with self._lock:
            if step not in self._known:
                first = not self._known
                names = {*self._wanted, step} - self._known
                if self._resumed is not None and first:
                    found = self._take({"run": self._resumed})
                    self.of_resumed = {one.key for one in found}
                request: dict[str, Any] = {"steps": ",".join(sorted(names)), "each": self._each}
                if self._pipeline is not None and first:
                    request["pipeline"] = self._pipeline
                self._take(request)
                self._known |= names
            found_ = list(self._by_step.get(step, {}).values())
        return sorted(found_, key=lambda one: one.created_at, reverse=True)

    def lacking(self, step: str) -> str:
        """Why there are no entries of a step."""
        found = self._refused.get(step)
        if found is None:
            return "there are no results of it yet"
        reason = found["status"].removeprefix("refused: ")
        return f"its output `{found['output']}` is not kept, as in run {found['run_id']}: {reason}"

    def complete(self, step: str) -> bool:
        """Whether :meth:`of` gave all entries of a step."""
        return step not in self._full

    def find(self, step: str, key: str) -> Entry | None:
        """The entry of one key."""
        with self._lock:
            found = self._by_step.get(step, {}).get(key)
            if found is None and step in self._full:
                self._take({"keys": key})
                found = self._by_step.get(step, {}).get(key)
        return found

    def drop(self, entry: Entry) -> None:
        """Take no results of an entry any more: they cannot be read."""
        with self._lock:
            self._by_step.get(entry.step, {}).pop(entry.key, None)

    def _take(self, request: dict[str, Any]) -> list[Entry]:
        answer = self._ask(request)
        self._full.update(answer["full"])
        self._refused.update(answer.get("refused") or {})
        self._known.update(answer["steps"])
        found = [_entry(row, answer["versions"]) for row in answer["entries"]]
        for one in found:
            self._by_step.setdefault(one.step, {}).setdefault(one.key, one)
        return found


def _entry(row: dict[str, Any], versions: dict[str, dict[str, Any]]) -> Entry:
    outputs = [msgspec.convert(one, ArtifactRecord) for one in row["outputs"] or ()]
    found = {version: versions.get(version, {}) for version in row["versions"] or ()}
    digests = {
        version: one["digest"] if one.get("status") == "stored" else None
        for version, one in found.items()
    }
    expires = row["expires_at"]
    return Entry(
        row["key"], row["run_id"], row["step"], _seconds(row["created_at"]),
        None if expires is None else _seconds(expires), row["parts"] or {}, outputs, digests, found,
    )  # fmt: skip


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
