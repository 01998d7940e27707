"""Bounds: what a newcomer has to keep within, or it is taken out of traffic."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from warmcell.errors import UsageError
from warmcell_server.window import Window

__all__ = ["Bounds", "bounds_of"]

MIN_RUNS = 20


class Bounds(msgspec.Struct, frozen=True, omit_defaults=True):
    """``error_rate`` is the largest share of the newest calls that may fail, ``p95`` the longest
    time in seconds within which 95 % of them have to be executed. Neither is looked at before
    ``min_runs`` calls have ended."""

    error_rate: float | None = None
    p95: float | None = None
    min_runs: int = MIN_RUNS

    def broken(self, snapshot: int, window: Window) -> str | None:
        """What ``snapshot`` broke, in a sentence; None while it keeps within the bounds."""
        if window.counted < self.min_runs:
            return None
        rate, p95 = window.error_rate, window.p95
        if self.error_rate is not None and rate is not None and rate > self.error_rate:
            return (
                f"Snapshot {snapshot} failed {window.errors} of its newest {window.seen} calls "
                f"({rate:.1%}); error_rate allows {self.error_rate:.1%}."
            )
        if self.p95 is not None and p95 is not None and p95 > self.p95:
            return (
                f"The p95 of snapshot {snapshot} is {p95:.3g} s over its newest {window.timed} "
                f"calls; p95 allows {self.p95:.3g} s."
            )
        return None

    def describe(self) -> dict[str, Any]:
        """The bounds as they were given."""
        return {"error_rate": self.error_rate, "p95": self.p95, "min_runs": self.min_runs}


def bounds_of(given: object) -> Bounds | None:
    """Read ``abort_if``; None where none is given.

    Raises :class:`UsageError` for a bound that there is not, or that cannot be kept or broken.
    """
    if given is None:
        return None
    if not isinstance(given, dict):
        raise UsageError(
            f"abort_if is {_said(given)}.",
            hint='Give bounds, as {"error_rate": 0.05, "p95": 0.8, "min_runs": 20}.',
        )
    if unknown := sorted(set(given) - set(Bounds.__struct_fields__), key=str):
        raise UsageError(
            f"abort_if has no '{unknown[0]}'.",
            hint=f"It has {', '.join(Bounds.__struct_fields__)}.",
        )
    rate, p95 = given.get("error_rate"), given.get("p95")
    runs = given.get("min_runs", MIN_RUNS)
    if rate is None and p95 is None:
        raise UsageError(
            "abort_if bounds nothing.", hint="Give 'error_rate', 'p95' (seconds), or both."
        )
    if rate is not None and not (_number(rate) and 0 <= rate < 1):
        raise UsageError(
            f"The error_rate of abort_if is {_said(rate)}.",
            hint="It is a share, from 0 to below 1: 0.05 for 5 %.",
        )
    if p95 is not None and not (_number(p95) and p95 > 0):
        raise UsageError(
            f"The p95 of abort_if is {_said(p95)}.", hint="It is a time in seconds above 0."
        )
    if not isinstance(runs, int) or isinstance(runs, bool) or runs < 1:
        raise UsageError(
            f"The min_runs of abort_if is {_said(runs)}.", hint="It is a whole number from 1 on."
        )
    return Bounds(rate, p95, runs)


def _number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def _said(given: object) -> str:
    return repr(given)[:60]
