"""The operations of the control plane, one module per concept."""

from __future__ import annotations

from warmcell_server.operation import Route
from warmcell_server.operations import deployments, runs, snapshots, status

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    *status.ROUTES,
    *deployments.ROUTES,
    *snapshots.ROUTES,
    *runs.ROUTES,
)
