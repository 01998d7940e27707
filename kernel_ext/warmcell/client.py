"""Client: deployments and the run history, from a notebook or from anywhere.

In a kernel the calls go over the link; elsewhere over HTTP, to the server that is named, or to the
one running Jupyter server of this user that has Warmcell. The paths are the same both ways.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from warmcell.deployment import Deployment
from warmcell.errors import NotFound, UsageError
from warmcell.model.clienting import ModelClient
from warmcell.remote.artifacts import ArtifactClient
from warmcell.remote.caching import CacheClient
from warmcell.remote.calling import Request
from warmcell.remote.discovery import discover
from warmcell.remote.handle import RunHandle
from warmcell.remote.keeping import StoreClient
from warmcell.remote.lineage import LineageClient
from warmcell.remote.page import Page
from warmcell.remote.pipelines import PipelineClient, tags_text
from warmcell.remote.secrets import SecretClient
from warmcell.remote.stack import StackClient
from warmcell.remote.tags import TagClient
from warmcell.remote.transport import Http, Transport
from warmcell.remote.visualizations import VisualizationClient

if TYPE_CHECKING:
    from warmcell.changes import SnapshotDiff, Snapshots
    from warmcell.compared import RunComparison
    from warmcell.remote.logs import LogLine
    from warmcell.runs import Run

__all__ = ["Client", "Table"]

_FILTERS = (
    "before", "pipeline", "deployment", "snapshot", "status", "trigger", "since", "until", "tag",
    "tags",
)  # fmt: skip


class Table:
    """The answer to an SQL query: ``columns``, ``types`` and ``rows``; ``truncated`` tells that
    there were more rows than the limit."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.columns: list[str] = list(answer["columns"])
        self.types: list[str] = list(answer.get("types") or [])
        self.rows: list[list[Any]] = list(answer["rows"])
        self.truncated = bool(answer.get("truncated"))

    def to_frame(self) -> Any:
        """Return a pandas DataFrame. Raises ``ImportError`` where pandas is not installed."""
        import pandas

        frame = pandas.DataFrame(self.rows, columns=self.columns)
        for column, kind in zip(self.columns, self.types, strict=False):
            if kind.startswith("TIMESTAMP") and self.columns.count(column) == 1:
                frame[column] = pandas.to_datetime(frame[column], utc=True, format="ISO8601")
        return frame

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        more = ", truncated" if self.truncated else ""
        return f"<table of {len(self.rows)} rows: {', '.join(self.columns)}{more}>"


class Client(
    ArtifactClient,
    CacheClient,
    LineageClient,
    ModelClient,
    PipelineClient,
    SecretClient,
    StackClient,
    StoreClient,
    TagClient,
    VisualizationClient,
):
    """Reads the history and works with deployments.

    Args:
        url: address of the Jupyter server, of its ``…/warmcell/`` or of one deployment; else
            ``WARMCELL_URL``; else the link of this kernel; else the running server that has
            Warmcell.
        token: its token; else ``WARMCELL_TOKEN``.
        key: an API key of a deployment (``wck_…``), which opens that one and nothing else; else
            ``WARMCELL_KEY``.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, key: str | None = None
    ) -> None:
        url = url or os.environ.get("WARMCELL_URL")
        token = token or os.environ.get("WARMCELL_TOKEN")
        key = key or os.environ.get("WARMCELL_KEY")
        self._transport: Transport
        if url:
            self._transport = Http(url, token, key)
        elif key:
            raise UsageError(
                "A key says nothing of where its deployment is.",
                hint="Pass Client(url=..., key=...), or set WARMCELL_URL.",
            )
        elif _in_kernel():
            from warmcell.remote.linked import Linked

            self._transport = Linked()
        else:
            self._transport = discover(token)

    @classmethod
    def of(cls, transport: Transport) -> Client:
        """A client that goes this way."""
        made = cls.__new__(cls)
        made._transport = transport
        return made

    @property
    def url(self) -> str:
        """Address of the host; ends in ``/warmcell/``."""
        return self._transport.url

    def _call(
        self, method: str, path: str, body: object | None = None, *, timeout: float = 30.0
    ) -> Any:
        return self._transport.control(method, path, body, timeout=timeout)

    # -- runs ----------------------------------------------------------------------------------

    def list_runs(self, limit: int = 50, **filters: Any) -> Page[Run]:
        """Return runs, newest first.

        Filters: ``pipeline``, ``deployment``, ``snapshot`` (number), ``status``, ``trigger``,
        ``since`` and ``until`` (RFC 3339 text or datetime), ``before`` (a cursor), ``tag`` or
        ``tags``: names, or ``contains:``, ``startswith:``, ``endswith:``, ``notequals:`` and a
        text, all of which have to fit.
        """
        from warmcell.options import close_match
        from warmcell.runs import Run

        for name in filters:
            if name not in _FILTERS:
                raise UsageError(
                    f"list_runs() has no filter {name!r}.",
                    hint=close_match(name, _FILTERS) or f"Filters: {', '.join(_FILTERS)}.",
                )
        if "tags" in filters:
            filters["tag"] = filters.pop("tags")
        given = {k: _text(v) for k, v in {"limit": limit, **filters}.items() if v is not None}
        path = "api/v1/runs"
        if self._keyed:  # which opens the runs of its deployment only
            path = f"{quote(given.pop('deployment', '') or self._named(None), safe='')}/runs"
        answer = self._call("GET", f"{path}?{urlencode(given)}")
        return Page(Run.from_json(run, self._transport) for run in answer["runs"])

    def get_run(self, run_id: str) -> Run:
        """Return one run with its steps, artifacts and logs. Raises
        :class:`~warmcell.errors.NotFound`."""
        from warmcell.runs import Run

        return Run.from_json(self._call("GET", self._run_path(run_id)), self._transport)

    def rerun(
        self,
        run_id: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
        snapshot: int | str = "own",
        wait: bool = True,
        timeout: float | None = None,
    ) -> Run:
        """Run a call of a deployment once more; see :meth:`warmcell.runs.Run.rerun`."""
        from warmcell.rerun import rerun

        return rerun(
            self._transport, run_id, parameters, replace=replace, snapshot=snapshot, wait=wait,
            timeout=timeout,
        )  # fmt: skip

    def compare_runs(
        self, before: str, after: str, *, tolerance: float | None = None
    ) -> RunComparison:
        """Return what differs between two runs: inputs, outputs, steps. Numbers at most
        ``tolerance`` apart count as the same. Raises :class:`~warmcell.errors.NotFound`."""
        from warmcell.compared import RunComparison

        path = f"api/v1/runs/{quote(before, safe='')}/compare/{quote(after, safe='')}"
        given = "" if tolerance is None else f"?tolerance={tolerance}"
        return RunComparison(self._call("GET", path + given))

    def cancel_run(self, run_id: str) -> None:
        """Cancel a run. Raises :class:`~warmcell.errors.Conflict` if it has ended."""
        self._call("DELETE", self._run_path(run_id))

    def run_handle(self, run_id: str, deployment: str | None = None) -> RunHandle:
        """Return a handle of a run that goes on, to wait for it or to follow it. With a key the
        deployment is needed, unless the client's URL names it."""
        name = self._named(deployment) if self._keyed else deployment or ""
        return RunHandle(self._transport, name, run_id)

    get_pipeline_run = get_run
    list_pipeline_runs = list_runs

    def sql(self, query: str, *, limit: int = 10_000) -> Table:
        """Run one SELECT over the views runs, steps, artifacts, calls, models, tags, lineage,
        metadata and more; ``SELECT * FROM views`` says which there are, and what is in them.

        ``FROM artifact('features')``, also ``artifact('features', 3)`` or ``artifact('features',
        tag := 'best')``, reads an artifact that is a frame; ``FROM calls('churn')`` the calls of a
        deployment with a typed column for each parameter and output.

        The answer has at most ``limit`` rows and about 64 MB. Raises
        :class:`~warmcell.errors.QueryError`, also where it takes more than 30 s or too much memory.
        """
        return Table(self._call("POST", "api/v1/sql", {"query": query, "limit": limit}))

    # -- deployments ---------------------------------------------------------------------------

    def list_deployments(
        self,
        pipeline: str | None = None,
        *,
        tags: str | Sequence[str] | None = None,
        tag: str | None = None,
    ) -> Page[Deployment]:
        """Return what is deployed in this store, also by other notebooks; of one pipeline only,
        where it is given, and with ``tags`` those that all of them fit."""
        wanted = {"pipeline": pipeline, "tag": tags_text(tag, tags)}
        given = urlencode({name: value for name, value in wanted.items() if value})
        query = f"?{given}" if given else ""
        found = self._call("GET", f"api/v1/deployments{query}")["deployments"]
        return Page(Deployment(described, self._transport) for described in found)

    def get_deployment(self, name: str | None = None) -> Deployment:
        """Return one deployment; without a name the one that the client's URL names.

        With a key nothing is asked before the deployment is called. Raises
        :class:`~warmcell.errors.NotFound`.
        """
        name = self._named(name)
        if self._keyed:
            return self._deployment(name)
        described = self._call("GET", f"api/v1/deployments/{quote(name, safe='')}")
        return Deployment(described, self._transport)

    # -- snapshots -----------------------------------------------------------------------------

    def list_snapshots(
        self,
        pipeline: str | None = None,
        *,
        tags: str | Sequence[str] | None = None,
        tag: str | None = None,
    ) -> Snapshots:
        """Return snapshots, newest first: who deployed them, when, and from which notebook; with
        ``tags`` those that all of them fit."""
        from warmcell.changes import Snapshots

        wanted = {"brief": "true", "pipeline": pipeline, "tag": tags_text(tag, tags)}
        given = {name: value for name, value in wanted.items() if value}
        return Snapshots(self._call("GET", f"api/v1/snapshots?{urlencode(given)}")["snapshots"])

    def get_snapshot(self, pipeline: str, number: int) -> dict[str, Any]:
        """Return one snapshot with its source, what it holds and its environment. Raises
        :class:`~warmcell.errors.NotFound`."""
        path = f"api/v1/snapshots/{quote(pipeline, safe='')}/{number}"
        found: dict[str, Any] = self._call("GET", path)
        return found

    def diff_snapshots(self, pipeline: str, before: int, after: int) -> SnapshotDiff:
        """Return what changed from one snapshot of a pipeline to another."""
        from warmcell.changes import SnapshotDiff

        path = f"api/v1/snapshots/{quote(pipeline, safe='')}/{before}/diff/{after}"
        return SnapshotDiff(self._call("GET", path))

    def snapshot_notebook(self, name: str, number: int) -> dict[str, Any]:
        """Return a snapshot of a deployment or pipeline as the JSON of a notebook."""
        path = f"api/v1/snapshots/{self._pipeline(name)}/{number}/notebook"
        found: dict[str, Any] = self._call("GET", path)
        return found

    def trust_snapshot(self, name: str, number: int) -> dict[str, Any]:
        """Sign a stored snapshot of a deployment or pipeline that somebody else made, so that this
        user's kernels run its code, and begin to restore what waited for that; ``restoring`` of
        the answer names those deployments.

        Raises :class:`~warmcell.errors.SnapshotError` if a byte of it is damaged or missing, and
        :class:`~warmcell.errors.Conflict` if nothing of it is stored.
        """
        path = f"api/v1/snapshots/{self._pipeline(name)}/{number}/trust"
        found: dict[str, Any] = self._call("POST", path, {}, timeout=600.0)  # reads all of it
        return found

    # -- calls ---------------------------------------------------------------------------------

    def invoke(self, name: str, /, **parameters: Any) -> dict[str, Any]:
        """Call a deployment and return its outputs by name; see
        :meth:`~warmcell.deployment.Deployment.invoke`."""
        return self._deployment(name).invoke(**parameters)

    async def ainvoke(self, name: str, /, **parameters: Any) -> dict[str, Any]:
        """:meth:`invoke` for an event loop."""
        return await self._deployment(name).ainvoke(**parameters)

    def send(self, request: Request) -> Any:
        """Send a request as it is and return the whole answer."""
        return self._transport.control(
            request.method,
            request.path,
            request.body,
            headers=request.headers,
            timeout=request.timeout,
        )

    def get_deployment_logs(
        self, name: str, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[str]:
        """Yield what the runs of a deployment wrote, piece by piece, the oldest first: the last
        ``tail`` of them, a thousand by default. With ``follow`` it goes on as runs end."""
        from warmcell.remote.logs import logs_of

        for line in logs_of(self, name, follow=follow, tail=tail):
            yield line.text

    def search_logs(
        self, text: str | None = None, *, regex: bool = False, limit: int = 100, **filters: Any
    ) -> list[LogLine]:
        """Return pieces of what runs wrote, the newest first: those that contain ``text``,
        whatever its case, or with ``regex`` fit it.

        Filters: ``run_id``, ``pipeline``, ``deployment``, ``step``, ``stream`` (stdout, stderr,
        log, display), ``level``, ``since`` and ``until`` (RFC 3339 text or datetime).
        """
        from warmcell.options import close_match
        from warmcell.remote.logs import FILTERS, search

        for name in filters:
            if name not in FILTERS:
                raise UsageError(
                    f"search_logs() has no filter {name!r}.",
                    hint=close_match(name, FILTERS) or f"Filters: {', '.join(FILTERS)}.",
                )
        wanted = {name: _text(value) for name, value in filters.items() if value is not None}
        return search(self, text, regex=regex, limit=limit, filters=wanted)

    def delete_deployment(self, name: str) -> None:
        """Stop serving: calls answer 404 from now on, its runs stay in the history."""
        self._call("DELETE", f"api/v1/deployments/{quote(name, safe='')}")

    # -- inside --------------------------------------------------------------------------------

    @property
    def _keyed(self) -> bool:
        return bool(getattr(self._transport, "keyed", False))

    def _named(self, name: str | None) -> str:
        found = name or getattr(self._transport, "deployment", None)
        if not found:
            raise UsageError(
                "Which deployment is meant?", hint="Name it, or give its own URL to the client."
            )
        return str(found)

    def _deployment(self, name: str) -> Deployment:
        """A deployment of which nothing is asked before it is called."""
        described = {"name": name, "url": f"{self.url}{quote(name, safe='')}/"}
        return Deployment(described, self._transport)

    def _pipeline(self, name: str) -> str:
        """The pipeline of a deployment, else of that name; quoted."""
        try:
            pipeline = self.get_deployment(name).pipeline
        except NotFound:
            pipeline = name
        return quote(pipeline, safe="")

    def _run_path(self, run_id: str) -> str:
        prefix = f"{quote(self._named(None), safe='')}/runs" if self._keyed else "api/v1/runs"
        return f"{prefix}/{quote(run_id, safe='')}"

    def __repr__(self) -> str:
        return f"<warmcell client of {self.url if self._transport.web else 'this kernel'}>"


def _in_kernel() -> bool:
    """Say whether this process is a notebook's: IPython runs here, or a host named itself."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return shell is not None or "WARMCELL_CONNECTION" in os.environ


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(_text, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
