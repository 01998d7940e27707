"""What a deployment counts of its calls: plain numbers, turned into metrics when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

__all__ = ["Histogram", "Measures"]

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)
STEP_NAMES = 100  # names that have a histogram of their own; a body may make up names as it runs
OTHER = "other"


class Histogram:
    """How often a duration in seconds fell between two of ``BOUNDS``."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Pairs of an upper bound and how many were not above it, as Prometheus has them."""
        found: list[tuple[str, float]] = []
        count = 0
        for bound, own in zip((*map(repr, BOUNDS), "+Inf"), self.counts, strict=True):
            count += own
            found.append((bound, count))
        return found


class Measures:
    """Counts of one deployment since this host knows it. ``calls`` is what callers waited for,
    ``queued`` the part of it before a worker began."""

    __slots__ = ("calls", "queued", "refused", "runs", "steps")

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.calls = Histogram()
        self.queued = Histogram()
        self.steps: dict[str, Histogram] = {}

    def ended(
        self, status: str, seconds: float, queued: float, steps: Sequence[tuple[str, int]]
    ) -> None:
        """Count a run that ended, after ``queued`` seconds of waiting and ``seconds`` of execution;
        the durations of ``steps`` are microseconds."""
        self.runs[status] += 1
        if status == "invalid":
            return  # nothing ran: many of those would make the deployment look fast
        self.calls.add(queued + seconds)
        self.queued.add(queued)
        known = self.steps
        for name, took in steps:
            histogram = known.get(name)
            if histogram is None:
                name = name if len(known) < STEP_NAMES else OTHER
                histogram = known.setdefault(name, Histogram())
            histogram.add(took / 1_000_000)
