"""``warmcell deployment split|shadow|promote|abort|traffic``: newcomers, brought in and out."""

from __future__ import annotations

from argparse import Namespace

from warmcell.cli import show
from warmcell.cli.given import client
from warmcell.deployment import Deployment
from warmcell.errors import UsageError

__all__ = ["abort", "promote", "shadow", "split", "traffic"]


def split(given: Namespace) -> None:
    """Share the calls of a deployment among snapshots."""
    weights = {}
    for word in given.shares:
        number, _, share = word.partition("=")
        try:
            weights[int(number)] = float(share)
        except ValueError:
            raise UsageError(
                f"'{word}' is no share of a snapshot.", hint="Write 3=0.9 4=0.1."
            ) from None
    bounds = {"error_rate": given.max_error_rate, "p95": given.max_p95}
    bounds = {name: value for name, value in bounds.items() if value is not None}
    if given.min_runs is not None:
        bounds["min_runs"] = given.min_runs
    _show(given, _found(given).split(weights, by=given.by, abort_if=bounds or None))


def shadow(given: Namespace) -> None:
    """Have a snapshot execute calls too, unseen."""
    _show(given, _found(given).shadow(given.snapshot, given.fraction))


def promote(given: Namespace) -> None:
    """Have a newcomer answer everything."""
    _show(given, _found(given).promote(given.snapshot))


def abort(given: Namespace) -> None:
    """Have the served snapshot answer everything again."""
    _show(given, _found(given).abort())


def traffic(given: Namespace) -> None:
    """Print how the calls are shared, with errors and latencies."""
    _show(given, _found(given))


def _found(given: Namespace) -> Deployment:
    return client(given).get_deployment(given.name)


def _show(given: Namespace, deployment: Deployment) -> None:
    found = deployment.traffic
    if given.json:
        weights = {str(number): share for number, share in found.weights.items()}
        shown = {"deployment": found.name, "main": found.main, "weights": weights}
        show.as_json({**shown, **found.to_json()})
        return
    show.note(found.title())
    if rows := found.rows():
        show.table(list(found.columns), rows, "")
