"""The part of the client that forgets what steps gave."""

from __future__ import annotations

from warmcell.remote.asking import Asking

__all__ = ["CacheClient"]


class CacheClient(Asking):
    """Methods of :class:`warmcell.client.Client` on the cache of steps."""

    def clear_cache(
        self, step: str | None = None, *, pipeline: str | None = None, run: str | None = None
    ) -> int:
        """Take no results again of a step, a pipeline or a run (its id); of nothing, where none is
        named. Artifacts stay. Returns how many results this were."""
        given = {"step": step, "pipeline": pipeline, "run": run}
        body = {name: value for name, value in given.items() if value is not None}
        found = self._call("POST", "api/v1/cache/clear", body)
        return int(found["entries"])
