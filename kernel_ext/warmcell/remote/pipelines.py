"""The part of the client that is about pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from warmcell.remote.asking import Asking
from warmcell.remote.page import Page

if TYPE_CHECKING:
    from warmcell.client import Client
    from warmcell.runs import Run

__all__ = ["PipelineClient", "PipelineInfo", "tags_text"]


def tags_text(*given: str | Sequence[str] | None) -> str | None:
    """Tags as a query names them; None where there are none."""
    found: list[str] = []
    for one in given:
        found += [one] if isinstance(one, str) else map(str, one or ())
    return ",".join(found) or None


class RunCount(int):
    """How many runs a pipeline has; callable for who reads it so: gives them, newest first."""

    _pipeline: PipelineInfo

    @classmethod
    def of(cls, pipeline: PipelineInfo) -> RunCount:
        """That of ``pipeline``."""
        made = cls(pipeline["runs"])
        made._pipeline = pipeline
        return made

    def __call__(self, **filters: Any) -> list[Run]:
        return self._pipeline.get_runs(**filters)


class PipelineInfo(Mapping[str, Any]):
    """A pipeline as the store knows it: ``name``, ``tags``, the number of its ``runs`` and
    ``snapshots``, ``last_run_at``, ``latest_snapshot`` and the names of its ``deployments``. A
    mapping, and by attributes."""

    def __init__(self, described: Mapping[str, Any], client: Client) -> None:
        self._described, self._client = dict(described), client

    def __getitem__(self, key: str) -> Any:
        return self._described[key]

    def __iter__(self) -> Any:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_described"][name]
        except KeyError:
            raise AttributeError(f"A pipeline has no {name!r}.") from None

    @property
    def id(self) -> str:
        """Its name, which is what it is known by."""
        return str(self._described["name"])

    @property
    def runs(self) -> RunCount:
        """How many runs it has; ``runs()`` are the newest of them."""
        return RunCount.of(self)

    def get_runs(self, limit: int = 50, **filters: Any) -> list[Run]:
        """Its runs, newest first; see :meth:`warmcell.client.Client.list_runs`."""
        return self._client.list_runs(limit, pipeline=self.id, **filters)

    @property
    def last_run(self) -> Run:
        """Its newest run. Raises ``IndexError`` where it never ran."""
        return self.get_runs(1)[0]

    def __repr__(self) -> str:
        tags = f", tags {', '.join(self['tags'])}" if self["tags"] else ""
        return f"<pipeline {self.id}: {self['runs']} runs, {self['snapshots']} snapshots{tags}>"


class PipelineClient(Asking):
    """Pipelines that ran or were deployed. What is not there raises
    :class:`~warmcell.errors.NotFound`."""

    def list_pipelines(
        self, *, tags: str | Sequence[str] | None = None, tag: str | None = None
    ) -> Page[PipelineInfo]:
        """Return the pipelines by name; with ``tags`` those that all of them fit: names, or
        ``contains:``, ``startswith:``, ``endswith:``, ``notequals:`` and a text."""
        wanted = tags_text(tag, tags)
        query = f"?{urlencode({'tag': wanted})}" if wanted else ""
        found = self._call("GET", f"api/v1/pipelines{query}")["pipelines"]
        return Page(PipelineInfo(one, cast("Client", self)) for one in found)

    def get_pipeline(self, name_id_or_prefix: str) -> PipelineInfo:
        """Return one pipeline."""
        path = f"api/v1/pipelines/{quote(name_id_or_prefix, safe='')}"
        return PipelineInfo(self._call("GET", path), cast("Client", self))
