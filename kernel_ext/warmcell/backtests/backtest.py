"""Backtest: what a pipeline as it is now answers to recorded calls, against what was answered."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from warmcell.answers import Difference, Tolerance, each_difference
from warmcell.backtests.executing import Replayed
from warmcell.backtests.history import Recorded, Skipped, is_file
from warmcell.records import ErrorInfo

__all__ = ["Backtest", "Change", "Latency", "Row"]

_KEPT = 1000  # differences that are kept of one answer


@dataclass(slots=True)
class Row:
    """One call that was replayed.

    ``before`` and ``after`` are the outputs by name; ``after`` is None where the draft failed, and
    ``error`` says why. ``differences`` are the first thousand of ``count``. ``seconds_before`` is
    how long the call was executed when it was served, ``seconds_after`` how long the draft took.
    """

    run_id: str
    created_at: str
    snapshot: int | None
    before: dict[str, Any]
    after: dict[str, Any] | None
    error: ErrorInfo | None
    seconds_before: float | None
    seconds_after: float | None
    differences: list[Difference] = field(default_factory=list)
    count: int = 0
    given: bytes = field(default=b"{}", repr=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the call was executed with."""
        found: dict[str, Any] = json.loads(self.given)
        return found

    @property
    def status(self) -> str:
        """ "same", "changed" or "error"."""
        if self.error is not None:
            return "error"
        return "changed" if self.count else "same"

    @property
    def relative(self) -> float | None:
        """The largest relative change of a number; infinite for one that was 0."""
        found = [one.relative for one in self.differences if one.relative is not None]
        return max(found, default=None)

    def weight(self) -> tuple[float, ...]:
        """How much changed: other things than numbers first, then in proportion, then at all."""
        other = sum(one.absolute is None for one in self.differences)
        largest = max((one.absolute or 0.0 for one in self.differences), default=0.0)
        return (float(other > 0), self.relative or 0.0, largest)


@dataclass(slots=True)
class Change:
    """How one place of the answers changed, in ``count`` answers; ``mean`` (signed), ``smallest``
    and ``largest`` (in size) of its numbers, and the largest in proportion. ``other`` counts
    changes that are not from number to number."""

    path: str
    count: int = 0
    numbers: int = 0
    other: int = 0
    mean: float = 0.0
    largest: float = 0.0
    relative: float = 0.0
    _last: str = field(default="", repr=False)

    def add(self, run_id: str, found: Difference) -> None:
        """Count a difference; several places of a list in one answer count once."""
        if run_id != self._last:
            self.count, self._last = self.count + 1, run_id
        change = found.change
        if change is None or not math.isfinite(change):
            self.other += 1
            return
        self.numbers += 1
        self.mean += (change - self.mean) / self.numbers
        self.largest = max(self.largest, abs(change))
        self.relative = max(self.relative, found.relative or 0.0)

    def __str__(self) -> str:
        text = f"{self.path or 'the answer'}: changed in {self.count}"
        if self.numbers:
            text += f", mean {self.mean:+.4g}, largest {self.largest:.4g} ({_percent(self)})"
        return text


def _percent(change: Change) -> str:
    return f"{change.relative:.1%}" if math.isfinite(change.relative) else "from 0"


@dataclass(frozen=True, slots=True)
class Latency:
    """Execution times in seconds, of the calls that succeeded both times: the median and the 95th
    percentile, as they were served and now; ``p50_ratio`` and ``p95_ratio`` are now by then."""

    p50_before: float
    p50_after: float
    p95_before: float
    p95_after: float

    @property
    def p50_ratio(self) -> float:
        return self.p50_after / self.p50_before if self.p50_before else math.inf

    @property
    def p95_ratio(self) -> float:
        return self.p95_after / self.p95_before if self.p95_before else math.inf

    def __str__(self) -> str:
        return (
            f"p50 {_seconds(self.p50_before)} -> {_seconds(self.p50_after)} "
            f"(x{self.p50_ratio:.2f}), p95 {_seconds(self.p95_before)} -> "
            f"{_seconds(self.p95_after)} (x{self.p95_ratio:.2f})"
        )


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"


class Backtest:
    """What a pipeline as it is now answers to recorded calls, against what was answered.

    ``rows`` are the calls that were replayed, newest first; ``changed`` those with another answer,
    largest change first; ``errors`` those that the draft failed. ``skipped`` are the calls that
    could not be replayed, with the reason. ``changes`` say per place of the answer how it changed.
    ``notes`` are what to know of the comparison.
    """

    def __init__(
        self,
        pipeline: str,
        deployment: str,
        *,
        skipped: Sequence[Skipped] = (),
        notes: Sequence[str] = (),
        tolerance: Tolerance | float | Mapping[str, float] | None = None,
        ignore: Iterable[str] = (),
    ) -> None:
        self.pipeline = pipeline
        self.deployment = deployment
        self.rows: list[Row] = []
        self.skipped = list(skipped)
        self.notes = list(notes)
        self.changes: dict[str, Change] = {}
        self._tolerance = Tolerance.of(tolerance)
        self._ignore = [ignore] if isinstance(ignore, str) else list(ignore)
        list(each_difference(0, 0, ignore=self._ignore))  # a wrong path is an error before any run

    def add(self, call: Recorded, answer: Replayed) -> None:
        """Compare the draft's answer to a call."""
        row = Row(
            call.run_id,
            call.created_at,
            call.snapshot,
            call.outputs,
            answer.outputs,
            answer.error,
            call.seconds,
            answer.seconds,
            given=call.parameters,
        )
        if answer.outputs is not None:
            before, after = _comparable(call, answer.outputs, answer.digests)
            for found in each_difference(
                before, after, tolerance=self._tolerance, ignore=self._ignore
            ):
                row.count += 1
                if row.count <= _KEPT:
                    row.differences.append(found)
                path = found.everywhere
                self.changes.setdefault(path, Change(path)).add(row.run_id, found)
            if not row.count:
                row.after = row.before
        self.rows.append(row)

    def arranged(self, order: Sequence[Recorded]) -> Backtest:
        """Itself, with its rows in the order of the calls: they end in any."""
        places = {call.run_id: at for at, call in enumerate(order)}
        self.rows.sort(key=lambda row: places[row.run_id])
        return self

    @property
    def changed(self) -> list[Row]:
        found = [row for row in self.rows if row.status == "changed"]
        return sorted(found, key=Row.weight, reverse=True)

    @property
    def errors(self) -> list[Row]:
        return [row for row in self.rows if row.error is not None]

    @property
    def changed_share(self) -> float:
        """The share of the replayed calls that have another answer, from 0 to 1."""
        return len(self.changed) / len(self.rows) if self.rows else 0.0

    @property
    def relative(self) -> float | None:
        """The largest change of a number in proportion; None where no number changed."""
        found = [row.relative for row in self.changed if row.relative is not None]
        return max(found, default=None)

    @property
    def latency(self) -> Latency | None:
        """Execution times before and after; None where nothing succeeded."""
        pairs = [
            (row.seconds_before, row.seconds_after)
            for row in self.rows
            if row.error is None
            and row.seconds_before is not None
            and row.seconds_after is not None
        ]
        if not pairs:
            return None
        before, after = (sorted(side) for side in zip(*pairs, strict=True))
        return Latency(
            _quantile(before, 0.5),
            _quantile(after, 0.5),
            _quantile(before, 0.95),
            _quantile(after, 0.95),
        )

    def reasons(self) -> dict[str, int]:
        """Why calls could not be replayed, and how many."""
        return dict(Counter(one.reason for one in self.skipped).most_common())

    def figures(self) -> dict[str, Any]:
        """The counts and times, as JSON."""
        latency = self.latency
        relative = self.relative
        finite = relative is not None and math.isfinite(relative)
        return {
            "deployment": self.deployment,
            "runs": len(self.rows),
            "changed": len(self.changed),
            "errors": len(self.errors),
            "skipped": self.reasons(),
            "changed_share": self.changed_share,
            "largest_relative": relative if finite else None,
            "p50": None if latency is None else [latency.p50_before, latency.p50_after],
            "p95": None if latency is None else [latency.p95_before, latency.p95_after],
        }

    def to_frame(self) -> Any:
        """A DataFrame with a line per replayed call. Raises ``ImportError`` without pandas."""
        import pandas

        lines = [
            {
                "run_id": row.run_id,
                "created_at": row.created_at,
                "snapshot": row.snapshot,
                "status": row.status,
                "differences": row.count,
                "relative": row.relative,
                "seconds_before": row.seconds_before,
                "seconds_after": row.seconds_after,
                "parameters": row.parameters,
                "before": row.before,
                "after": row.after,
                "error": None if row.error is None else f"{row.error.type}: {row.error.message}",
            }
            for row in self.rows
        ]
        frame = pandas.DataFrame(lines)
        if not lines:
            return frame
        frame["created_at"] = pandas.to_datetime(frame["created_at"], utc=True, format="ISO8601")
        return frame

    def __repr__(self) -> str:
        from warmcell.backtests.showing import text

        return text(self)

    def _repr_html_(self) -> str:
        from warmcell.backtests.showing import page

        return page(self)


def _comparable(
    call: Recorded, outputs: Mapping[str, Any], digests: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both answers with what tells whether files are the same in their place."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = dict(outputs)
    for name, value in call.outputs.items():
        known = call.digests.get(name)
        if is_file(value) and known is not None and digests.get(name) == known:
            after.pop(name, None)
            continue
        before[name] = _file(value, known)
    for name, value in after.items():
        after[name] = _file(value, digests.get(name))
    return before, after


def _file(value: Any, digest: str | None) -> Any:
    if not is_file(value):
        return value
    return {"content_type": value["content_type"], "size": value["size"], "digest": digest}


def _quantile(ordered: Sequence[float], share: float) -> float:
    """A quantile of sorted values, between its two neighbours."""
    at = (len(ordered) - 1) * share
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
