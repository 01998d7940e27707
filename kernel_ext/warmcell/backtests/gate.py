"""Gate: bounds on what a deploy may change, checked on recorded calls before it switches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from warmcell.answers import Tolerance
from warmcell.backtests.backtest import Backtest
from warmcell.backtests.history import Selection
from warmcell.errors import GateRefused, UsageError
from warmcell.options import close_match

if TYPE_CHECKING:
    from warmcell.serving import Binding

__all__ = ["Gate", "Gating", "check", "of"]


@dataclass(frozen=True, slots=True)
class Gate:
    """What a new snapshot may change of the answers to recorded calls.

    Of the ``last`` calls (or as ``since``, ``where`` and ``sample`` choose, see
    :meth:`~warmcell.pipelines.Pipeline.backtest`), at most the share ``max_changed`` (0 to 1) may
    have another answer, at most ``max_errors`` may fail, no number may change by more than
    ``max_relative`` in proportion, and the 95th percentile of the execution time may be at most
    ``max_p95_ratio`` times what it was. None leaves a bound out. Fewer than ``min_runs`` calls to
    compare refuse too. With ``runs``, ids or the name of a golden set, these are replayed; all of a
    set smaller than ``min_runs`` must be comparable. Times are judged only where they grew by
    ``p95_margin`` seconds at least: a ratio of fractions of a millisecond says nothing.
    """

    last: int = 200
    max_changed: float | None = 0.02
    max_errors: int | None = 0
    max_relative: float | None = None
    max_p95_ratio: float | None = 1.5
    min_runs: int = 20
    tolerance: Tolerance | float | Mapping[str, float] | None = None
    ignore: Sequence[str] = ()
    since: datetime | str | None = None
    where: str | None = None
    sample: int | None = None
    concurrency: int = 1
    timeout: float | None = None
    p95_margin: float = 0.005
    runs: Sequence[str] | str | None = None

    def __post_init__(self) -> None:
        for name in (
            "max_changed", "max_errors", "max_relative", "max_p95_ratio", "min_runs", "p95_margin",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None and name.startswith("max_"):
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not value >= 0 or (name == "max_changed" and value > 1):
                what = "a share from 0 to 1" if name == "max_changed" else "a number from 0 on"
                raise UsageError(f"The gate's {name} is {value!r}, which is not {what}.")
        Selection("", self.last, self.since, self.where, self.runs, self.sample)  # wrong, at once

    def broken(self, found: Backtest) -> list[str]:
        """The bounds that a backtest breaks, in sentences; none lets it pass."""
        runs = len(found.rows)
        least = self.min_runs
        if self.runs is not None:  # a small set that somebody chose may decide, but all of it
            least = min(least, runs + len(found.skipped)) or 1
        if runs < least:
            return [f"{runs} calls could be compared, and at least {least} are wanted"]
        broken = []
        if self.max_errors is not None and len(found.errors) > self.max_errors:
            broken.append(f"{len(found.errors)} of {runs} calls failed (at most {self.max_errors})")
        if self.max_changed is not None and found.changed_share > self.max_changed:
            broken.append(
                f"{len(found.changed)} of {runs} answers changed, {found.changed_share:.1%} "
                f"(at most {self.max_changed:.1%})"
            )
        relative = found.relative
        if self.max_relative is not None and relative is not None and relative > self.max_relative:
            by = f"by {relative:.1%}" if math.isfinite(relative) else "from 0"
            broken.append(f"a number changed {by} (at most {self.max_relative:.1%})")
        latency = found.latency
        if self.max_p95_ratio is not None and latency is not None:
            grew = latency.p95_after - latency.p95_before
            if latency.p95_ratio > self.max_p95_ratio and grew > self.p95_margin:
                broken.append(
                    f"the p95 of the execution time is {latency.p95_ratio:.2f} times what it was "
                    f"(at most {self.max_p95_ratio:g})"
                )
        return broken


Gating: TypeAlias = Gate | Mapping[str, Any] | Callable[[Backtest], bool | str] | bool


def of(gating: Gating) -> Gate:
    """The bounds that are meant; of a function only which calls it gets. Raises
    :class:`UsageError`."""
    if isinstance(gating, Gate):
        return gating
    if isinstance(gating, Mapping):
        known = [one.name for one in fields(Gate)]
        for name in gating:
            if name not in known:
                hint = close_match(str(name), known) or f"It has {', '.join(known)}."
                raise UsageError(f"A gate has no {name!r}.", hint=hint)
        return Gate(**gating)
    if gating is True or callable(gating):
        return Gate()
    raise UsageError(
        f"gate={gating!r} is no gate.",
        hint="Pass Gate(max_changed=0.02), a dict of its fields, True, or a function of a backtest "
        "that returns whether to deploy.",
    )


def check(
    binding: Binding, name: str, gating: Gating, *, timeout: float | None, keep: bool
) -> dict[str, Any]:
    """Replay calls of deployment ``name`` through ``binding`` and judge; returns the figures.

    A gate is a :class:`Gate`, a dict of its fields, True for its usual bounds, or a function that
    gets the :class:`Backtest` and returns True to let it pass, else False or a reason why not. The
    binding is let go, which runs ``on_cleanup``, unless it passes and ``keep`` says otherwise.
    Raises :class:`GateRefused`, and what a backtest raises.
    """
    from warmcell.backtests.backtesting import discard

    try:
        figures = _checked(binding, name, gating, timeout)
    except BaseException:
        discard(binding)
        raise
    if not keep:
        discard(binding)
    return figures


def _checked(binding: Binding, name: str, gating: Gating, timeout: float | None) -> dict[str, Any]:
    from warmcell.backtests.backtesting import SECONDS, compare
    from warmcell.backtests.history import Selection

    gate = of(gating)
    print(f"Replaying calls of '{name}' through the draft: its steps are really executed.")
    found = compare(
        binding,
        Selection(name, gate.last, gate.since, gate.where, gate.runs, gate.sample),
        tolerance=gate.tolerance,
        ignore=gate.ignore,
        concurrency=gate.concurrency,
        timeout=gate.timeout or timeout or SECONDS,
    )
    bounds = isinstance(gating, Gate | Mapping) or gating is True
    broken = gate.broken(found) if bounds else _judged(gating, found)
    if not broken:
        return found.figures()
    few = bounds and gate.runs is None and len(found.rows) < gate.min_runs
    raise GateRefused(
        f"The gate refuses to deploy '{name}': {'; '.join(broken)}. Nothing was changed: what was "
        "served before is still served.",
        backtest=found,
        hint=f"Let fewer do with min_runs={len(found.rows)}."
        if few
        else "The error has the answers as .backtest, and pipeline.backtest() shows them.",
    )


def _judged(gating: Any, found: Backtest) -> list[str]:
    verdict = gating(found)
    if isinstance(verdict, str):
        return [verdict.rstrip(".") or "it gave no reason"]
    if isinstance(verdict, bool):
        return [] if verdict else ["its function returned False"]
    raise UsageError(
        f"The gate's function returned a {type(verdict).__name__}.",
        hint="Return True to deploy, else False or the reason why not.",
    )
