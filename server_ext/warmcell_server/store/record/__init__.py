"""The record: artifact versions, tags, metadata, models, lineage and the cache of steps.

Each module has the ``READS`` and ``CHANGES`` of one concept, by name. A read gets a cursor, a
change the writer's connection inside a transaction of its own; both get the request as a dict and
return what JSON can hold. A change must be safe to repeat: a joined host repeats what was under way
when the owner went away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from . import (
    aliases,
    cache,
    curated,
    deleting,
    finding,
    lineage,
    listing,
    loads,
    logs,
    metadata,
    modellinks,
    modelmaking,
    models,
    openlineage,
    origin,
    pipelines,
    tags,
    versions,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["CHANGES", "READS"]

Work: TypeAlias = "Callable[[DuckDBPyConnection, dict[str, Any]], Any]"

READS: dict[str, Work] = {
    **finding.READS,
    **listing.READS,
    **models.READS,
    **aliases.READS,
    **modellinks.READS,
    **tags.READS,
    **pipelines.READS,
    **metadata.READS,
    **curated.READS,
    **cache.READS,
    **lineage.READS,
    **origin.READS,
    **openlineage.READS,
}
CHANGES: dict[str, Work] = {
    **versions.CHANGES,
    **loads.CHANGES,
    **deleting.CHANGES,
    **modelmaking.CHANGES,
    **aliases.CHANGES,
    **modellinks.CHANGES,
    **tags.CHANGES,
    **metadata.CHANGES,
    **curated.CHANGES,
    **cache.CHANGES,
}
READS |= logs.READS
