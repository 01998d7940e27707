"""Window: how the newest calls of one snapshot went."""

from __future__ import annotations

from collections import Counter, deque

__all__ = ["ERRORS", "NEWEST", "Window"]

NEWEST = 200
ERRORS = frozenset({"failed", "timed_out", "lost"})  # "invalid" and "cancelled" are the caller's
_TOOK = frozenset({"succeeded", "timed_out"})  # a call that failed at once was not fast


class Window:
    """The newest ``NEWEST`` calls of a snapshot, and how many ended how since it takes part."""

    __slots__ = ("_errors", "_seconds", "counted", "runs")

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()  # by status
        self.counted = 0  # calls that say something about the snapshot
        self._errors: deque[bool] = deque(maxlen=NEWEST)
        self._seconds: deque[float] = deque(maxlen=NEWEST)

    def add(self, status: str, seconds: float) -> None:
        """Count a call that ended after ``seconds`` of execution."""
        self.runs[status] += 1
        if status != "succeeded" and status not in ERRORS:
            return
        self.counted += 1
        self._errors.append(status in ERRORS)
        if status in _TOOK:
            self._seconds.append(seconds)

    @property
    def seen(self) -> int:
        """How many calls :attr:`errors` is about."""
        return len(self._errors)

    @property
    def errors(self) -> int:
        """How many of the newest calls failed."""
        return sum(self._errors)

    @property
    def error_rate(self) -> float | None:
        """The share of the newest calls that failed; None before the first."""
        return self.errors / self.seen if self._errors else None

    @property
    def timed(self) -> int:
        """How many calls :attr:`p95` is about."""
        return len(self._seconds)

    @property
    def p95(self) -> float | None:
        """Within how many seconds 95 % of the newest calls that came to an end were executed; None
        before the first."""
        if not self._seconds:
            return None
        return sorted(self._seconds)[(95 * self.timed + 99) // 100 - 1]
