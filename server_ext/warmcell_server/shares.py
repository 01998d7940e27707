"""Shares: what somebody asks for who splits the calls of a deployment, read and checked."""

from __future__ import annotations

import math

from warmcell.errors import UsageError

__all__ = ["MOST", "fraction_of", "path_of", "share_of", "weights_of"]

MOST = 8  # snapshots that share the calls: each is held warm, and has figures of its own
TOLERANCE = 1e-6  # of a sum of weights: 0.7 + 0.2 + 0.1 is not 1


def weights_of(given: object) -> dict[int, float]:
    """Read the weights of a split, by snapshot number; in JSON the numbers are texts.

    Raises :class:`UsageError` for weights that are none or do not sum to 1.
    """
    if not isinstance(given, dict) or not given:
        raise UsageError(
            "A split has no weights.", hint="Give shares by snapshot number, as {3: 0.9, 4: 0.1}."
        )
    if len(given) > MOST:
        raise UsageError(
            f"A split of {len(given)} snapshots: at most {MOST} can share the calls.",
            hint="Each of them is held warm.",
        )
    weights: dict[int, float] = {}
    for number, weight in given.items():
        try:
            snapshot = int(str(number))
        except ValueError:
            snapshot = 0
        if snapshot < 1 or isinstance(number, bool | float):
            raise UsageError(
                f"'{number}' is no snapshot number.", hint="Give weights as {3: 0.9, 4: 0.1}."
            )
        if snapshot in weights:
            raise UsageError(f"Snapshot {snapshot} has two weights.")
        weights[snapshot] = share_of(weight, f"The weight of snapshot {snapshot}")
    whole = sum(weights.values())
    if abs(whole - 1) > TOLERANCE:
        raise UsageError(
            f"The weights sum to {whole:.6g}, not to 1.",
            hint="They are shares of all calls: {3: 0.9, 4: 0.1}.",
        )
    return weights


def fraction_of(given: object, what: str = "The fraction of a shadow") -> float:
    """Read a share above 0. Raises :class:`UsageError` for what is none."""
    share = share_of(given, what)
    if share == 0:
        raise UsageError(f"{what} is 0, and nothing would be executed.", hint="Give 0.1 for 10 %.")
    return share


def path_of(given: object) -> str | None:
    """Read ``by``. Raises :class:`UsageError` for what is no dotted path."""
    if given is None:
        return None
    if not isinstance(given, str) or not all(given.split(".")):
        raise UsageError(
            f"by is {given!r}.",
            hint="It is the name of a parameter, or a path into one: 'customer.id'.",
        )
    return given


def share_of(given: object, what: str) -> float:
    """Read a share of the calls. Raises :class:`UsageError` for what is none."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not math.isfinite(given) or given < 0:  # type: ignore[arg-type, operator]
        raise UsageError(f"{what} is {given!r}.", hint="A share is a number from 0 to 1.")
    share = float(given)  # type: ignore[arg-type]
    if share > 1 + TOLERANCE:
        raise UsageError(
            f"{what} is {share:g}, more than 1.",
            hint=f"Shares are no percentages: write {share / 100:g} for {share:g} %.",
        )
    return min(share, 1.0)
