"""The operations of the control plane, one module per concept."""

from __future__ import annotations

from warmcell_server.operation import Route
from warmcell_server.operations import (
    artifacts,
    cache,
    changes,
    deployments,
    document,
    keys,
    lineage,
    logs,
    metadata,
    models,
    pipelines,
    rerun,
    runs,
    snapshots,
    status,
    store,
    tags,
    traffic,
    trust,
    visualizations,
    webhooks,
)

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    *status.ROUTES,
    *document.ROUTES,
    *deployments.ROUTES,
    *traffic.ROUTES,
    *keys.ROUTES,
    *pipelines.ROUTES,
    *webhooks.ROUTES,
    *snapshots.ROUTES,
    *trust.ROUTES,
    *changes.ROUTES,
    *runs.ROUTES,
    *artifacts.ROUTES,
    *cache.ROUTES,
    *rerun.ROUTES,
    *tags.ROUTES,
    *metadata.ROUTES,
    *logs.ROUTES,
    *lineage.ROUTES,
    *store.ROUTES,
    *models.ROUTES,
    *visualizations.ROUTES,
)
