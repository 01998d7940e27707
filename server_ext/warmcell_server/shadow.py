"""Shadow: what a snapshot that executes calls unseen has done."""

from __future__ import annotations

from typing import Any

__all__ = ["AT_ONCE", "OUTCOMES", "Shadow"]

AT_ONCE = 4  # calls that one shadow executes at the same time; more are dropped, never queued
OUTCOMES = ("same", "different", "failed", "dropped")


class Shadow:
    """Counts of a snapshot that executes ``fraction`` of the calls too, its answers unseen.

    ``same`` and ``different`` answers, those that ``failed`` where the real call did not, and calls
    that were ``dropped`` because it was busy, or that could not be executed a second time.
    """

    def __init__(self, fraction: float) -> None:
        self.fraction = fraction
        self.in_flight = 0
        self.same = 0
        self.different = 0
        self.failed = 0
        self.dropped = 0

    def begin(self) -> bool:
        """Take a place for a call; false where there is none."""
        if self.in_flight >= AT_ONCE:
            self.dropped += 1
            return False
        self.in_flight += 1
        return True

    def ended(self, outcome: str) -> None:
        """A call that had a place ended, as one of ``OUTCOMES``."""
        if outcome not in OUTCOMES:
            raise ValueError(f"a shadowing call cannot end as '{outcome}'")
        self.in_flight -= 1
        setattr(self, outcome, getattr(self, outcome) + 1)

    def describe(self) -> dict[str, Any]:
        """The counts as the control plane shows them."""
        return {
            "fraction": self.fraction,
            "runs": self.same + self.different + self.failed,
            "same": self.same,
            "different": self.different,
            "failed": self.failed,
            "dropped": self.dropped,
        }
