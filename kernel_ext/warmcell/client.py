"""Client: deployments and the run history, from a notebook or from anywhere.

In a kernel the calls go over the link; elsewhere over HTTP, to the server that is named, or to the
one running Jupyter server of this user that has Warmcell. The paths are the same both ways.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from warmcell.deployment import Deployment
from warmcell.discovery import discover
from warmcell.errors import UsageError
from warmcell.transport import Http, Transport

if TYPE_CHECKING:
    from warmcell.runs import Run

__all__ = ["Client", "Table"]

_FILTERS = ("before", "pipeline", "deployment", "snapshot", "status", "trigger", "since", "until")


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


class Client:
    """Reads the history and works with deployments.

    Args:
        url: address of the Jupyter server or of its ``…/warmcell/``; else ``WARMCELL_URL``; else
            the link of this kernel; else the running server that has Warmcell.
        token: its token; else ``WARMCELL_TOKEN``.
    """

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        url = url or os.environ.get("WARMCELL_URL")
        token = token or os.environ.get("WARMCELL_TOKEN")
        self._transport: Transport | None = None
        if url:
            self._transport = Http(url, token)
        elif not _in_kernel():
            self._transport = discover(token)

    def _call(
        self, method: str, path: str, body: object | None = None, *, timeout: float = 30.0
    ) -> Any:
        if self._transport is not None:
            return self._transport.control(method, path, body, timeout=timeout)
        from warmcell.link import control

        return control(method, path, body, timeout=timeout)

    # -- runs ----------------------------------------------------------------------------------

    def list_runs(self, limit: int = 50, **filters: Any) -> list[Run]:
        """Return runs, newest first.

        Filters: ``pipeline``, ``deployment``, ``snapshot`` (number), ``status``, ``trigger``,
        ``since`` and ``until`` (RFC 3339 text or datetime), ``before`` (a cursor).
        """
        from warmcell.options import close_match
        from warmcell.runs import Run

        for name in filters:
            if name not in _FILTERS:
                raise UsageError(
                    f"list_runs() has no filter {name!r}.",
                    hint=close_match(name, _FILTERS) or f"Filters: {', '.join(_FILTERS)}.",
                )
        given = {k: _text(v) for k, v in {"limit": limit, **filters}.items() if v is not None}
        answer = self._call("GET", f"api/v1/runs?{urlencode(given)}")
        return [Run.from_json(run) for run in answer["runs"]]

    def get_run(self, run_id: str) -> Run:
        """Return one run with its steps, artifacts and logs. Raises
        :class:`~warmcell.errors.NotFound`."""
        from warmcell.runs import Run

        return Run.from_json(self._call("GET", f"api/v1/runs/{quote(run_id, safe='')}"))

    def cancel_run(self, run_id: str) -> None:
        """Cancel a run. Raises :class:`~warmcell.errors.Conflict` if it has ended."""
        self._call("DELETE", f"api/v1/runs/{quote(run_id, safe='')}")

    def sql(self, query: str, *, limit: int = 10_000) -> Table:
        """Run one SELECT over the views runs, steps, artifacts, logs, snapshots, deployments.

        Raises :class:`~warmcell.errors.QueryError`.
        """
        return Table(self._call("POST", "api/v1/sql", {"query": query, "limit": limit}))

    # -- deployments ---------------------------------------------------------------------------

    def list_deployments(self) -> list[Deployment]:
        """Return what is deployed in this store, also by other notebooks."""
        return [self._deployment(d) for d in self._call("GET", "api/v1/deployments")["deployments"]]

    def get_deployment(self, name: str) -> Deployment:
        """Return one deployment. Raises :class:`~warmcell.errors.NotFound`."""
        return self._deployment(self._call("GET", f"api/v1/deployments/{quote(name, safe='')}"))

    def invoke(self, name: str, /, **parameters: Any) -> dict[str, Any]:
        """Call a deployment and return its outputs by name.

        Raises :class:`~warmcell.errors.ParameterError`, :class:`~warmcell.errors.RunError` and
        its kinds, :class:`~warmcell.errors.Unavailable`, :class:`~warmcell.errors.NotFound`.
        """
        return _invoke(self._call, name, parameters)

    def delete_deployment(self, name: str) -> None:
        """Stop serving: calls answer 404 from now on, its runs stay in the history."""
        self._call("DELETE", f"api/v1/deployments/{quote(name, safe='')}")

    def _deployment(self, described: Mapping[str, Any]) -> Deployment:
        return _Served(described, self._call)

    def __repr__(self) -> str:
        return f"<warmcell client of {self._transport.url if self._transport else 'this kernel'}>"


class _Served(Deployment):
    """A deployment that is reached the way its client is."""

    def __init__(self, described: Mapping[str, Any], call: Callable[..., Any]) -> None:
        super().__init__(described)
        self._call = call
        self._path = f"api/v1/deployments/{quote(self.name, safe='')}"

    def refresh(self) -> Deployment:
        self._described = self._call("GET", self._path)
        return self

    def invoke(self, **parameters: Any) -> dict[str, Any]:
        return _invoke(self._call, self.name, parameters)

    def undeploy(self) -> None:
        self._described |= self._call("DELETE", self._path) or {"state": "removed"}

    delete = undeploy

    def rollback(self, to: int | None = None) -> Deployment:
        self._described = self._call("POST", f"{self._path}/rollback", {"to": to})
        return self


_INVOKE_SECONDS = 3600.0


def _invoke(call: Callable[..., Any], name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    from warmcell.schemas import encode_parameters

    body = {"parameters": encode_parameters(parameters)}
    answer = call("POST", f"{quote(name, safe='')}/invoke", body, timeout=_INVOKE_SECONDS)
    outputs: dict[str, Any] = answer["outputs"]
    return outputs


def _in_kernel() -> bool:
    """Say whether this process is a notebook's: IPython runs here, or a host named itself."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return shell is not None or "WARMCELL_CONNECTION" in os.environ


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(_text, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
