"""Restoration: what went away together and comes back together, and how often that failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment

__all__ = ["STABLE_SECONDS", "Restoration", "pause"]

STABLE_SECONDS = 60.0  # a dedicated kernel that served so long did not die of its deployments
LONGEST_WAIT = 60.0


def pause(failures: int) -> float:
    """Seconds to wait after so many failures: 1, 2, 4 … 60."""
    return min(LONGEST_WAIT, 2.0 ** min(failures - 1, 10)) if failures else 0.0


class Restoration:
    """Deployments on their way back, together. ``cause`` says why they have to be restored;
    ``next_at`` is when they are tried again (monotonic clock), None while that goes on."""

    def __init__(self, deployments: list[Deployment], cause: str) -> None:
        self.deployments = deployments
        self.cause = cause
        self.failures = max((d.failures for d in deployments), default=0)
        self.next_at: float | None = None

    @property
    def retry_after(self) -> float:
        """Seconds until it is worth asking again."""
        return 2.0 if self.next_at is None else max(1.0, self.next_at - time.monotonic())

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        return pause(self.failures)

    def wanted(self) -> list[Deployment]:
        """What still has to come back: a deployment may be served again by its notebook."""
        return [d for d in self.deployments if d.restoration is self and d.binding is None]

    def explain(self, failure: str = "") -> None:
        """Say in ``reason`` what goes on."""
        wait = self.pause()
        if failure and not failure.endswith((".", "!", "?")):
            failure += "."
        for deployment in self.wanted():
            deployment.reason = f"{self.cause}. It is being restored in a kernel of its own."
            if wait:
                deployment.reason = (
                    f"{self.cause}. {failure or 'That has happened before.'} Attempt "
                    f"{self.failures + 1} to restore it is made {wait:g} s later."
                )
