"""Serving from the notebook again what was restored in a dedicated kernel meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from warmcell.drafting import Recipe, draft
from warmcell.errors import Conflict
from warmcell.link import control

if TYPE_CHECKING:
    from warmcell.deployment import Deployment
    from warmcell.pipelines import Pipeline

__all__ = ["serve_here"]


def serve_here(pipeline: Pipeline, name: str) -> Deployment:
    """Serve ``name`` from this kernel, with the snapshot and the settings that it has.

    Raises:
        Conflict: the cells make another snapshot now; nothing was changed.
        What :meth:`~warmcell.pipelines.Pipeline.deploy` raises.
    """
    current = control("GET", f"api/v1/deployments/{quote(name, safe='')}")
    number = current["snapshot"]
    settings = {key: value for key, value in current["settings"].items() if key != "site"}
    here = draft(pipeline, Recipe(pipeline, settings))
    served = control("GET", f"api/v1/snapshots/{quote(current['pipeline'], safe='')}/{number}")
    if (here["pipeline"], here["digest"]) != (current["pipeline"], served["digest"]):
        raise Conflict(
            f"This notebook now says something else than snapshot {number}, which '{name}' serves, "
            "so nothing was changed.",
            hint="“Snapshots”, “Compare with notebook” shows the difference. Deploy again to serve "
            "what the notebook says, or run the cells that it came from.",
        )
    deployed: Deployment = pipeline.deploy(name, settings=settings, note=current["note"])
    return deployed
