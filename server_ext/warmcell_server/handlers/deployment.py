"""What a deployment shows besides ``invoke``: its runs, its condition, its documents."""

from __future__ import annotations

from typing import Any

from tornado import web

from warmcell.errors import Unavailable
from warmcell_server import metrics, visibility
from warmcell_server.asked import wait_of
from warmcell_server.deployment import Deployment
from warmcell_server.handlers.base import Handler
from warmcell_server.handlers.guarded import Scope
from warmcell_server.health import WAY_OUT
from warmcell_server.operations.runs import cancel_run, list_runs, show_run

__all__ = ["MetricsHandler", "ProbeHandler", "RunHandler", "RunsHandler"]


class RunsHandler(Handler):
    """``GET {name}/runs``: the deployment's runs, newest first, filtered and paged."""

    scope = "read"

    async def _list(self, name: str) -> None:
        host = self.host
        host.deployments.get(name)
        self.answer(await list_runs(host, {**self.query(), "deployment": name}))

    get = head = web.authenticated(_list)


class RunHandler(Handler):
    """``GET`` and ``DELETE {name}/runs/{id}``: one run of the deployment, or its end."""

    @property
    def needs(self) -> Scope:
        return "invoke" if self.request.method == "DELETE" else "any"

    @property
    def for_all(self) -> bool:
        return self.request.method != "DELETE"

    async def _show(self, name: str, run_id: str) -> None:
        seconds = wait_of(self.request.headers.get("Prefer", "")) or 0.0
        if seconds:
            self.set_header("Preference-Applied", f"wait={seconds:g}")
        self.answer(visibility.shown(self, await self._run(name, run_id, seconds)))

    get = head = web.authenticated(_show)

    @web.authenticated
    async def delete(self, name: str, run_id: str) -> None:
        host = self.host
        deployment = host.deployments.get(name)
        live = host.dispatcher.live(run_id)
        if live is None or live.deployment is not deployment:
            run = await self._run(name, run_id)
            visibility.check(self, run["user"], run_id)
        else:
            visibility.check(self, live.user, run_id)
        self.answer(await cancel_run(host, run_id), 202)

    async def _run(self, name: str, run_id: str, wait: float = 0.0) -> dict[str, Any]:
        host = self.host
        host.deployments.get(name)
        return await show_run(host, run_id, name, wait)


class ProbeHandler(Handler):
    """``health``, ``livez``, ``readyz``, ``info`` and ``metrics``."""

    @property
    def offered_as(self) -> str:  # type: ignore[override]
        what = self.path_args[1]
        return what if what in ("info", "metrics") else "health"

    @property
    def needs(self) -> Scope:
        return "any" if self.for_all else "read"

    @property
    def for_all(self) -> bool:
        return self.path_args[1] not in ("info", "metrics")

    @property
    def tracks_activity(self) -> bool:
        return False

    def _probe(self, name: str, what: str) -> None:
        deployment = self.host.deployments.get(name)
        answers: dict[str, Any] = {
            "livez": self._live,
            "readyz": self._ready,
            "health": self._health,
            "info": self._info,
            "metrics": self._metrics,
        }
        answers[what](deployment)

    get = head = web.authenticated(_probe)

    def _live(self, deployment: Deployment) -> None:
        self.answer({"status": "ok"})

    def _ready(self, deployment: Deployment) -> None:
        _require_ready(deployment)
        if starved := deployment.starved:
            raise Unavailable(
                f"Deployment '{deployment.name}' is starved. {starved}",
                retry_after=2,
                hint=WAY_OUT,
            )
        self.answer({"status": "ok"})

    def _health(self, deployment: Deployment) -> None:
        """Ready, and with what is measured of it."""
        _require_ready(deployment)
        vitals = deployment.vitals
        self.answer(
            {
                "status": "starved" if deployment.starved else "ok",
                "deployment": deployment.name,
                "snapshot": deployment.snapshot,
                "in_flight": deployment.in_flight,
                "queued": deployment.queued,
                "lag": vitals.lag if vitals else None,
                "stuck": vitals.stuck if vitals else 0,
                "silent": round(deployment.silent or 0.0, 3),
                "starved": deployment.starved or None,
            }
        )

    def _info(self, deployment: Deployment) -> None:
        self.answer(deployment.describe(self.host.url))

    def _metrics(self, deployment: Deployment) -> None:
        self.set_header("Content-Type", metrics.CONTENT_TYPE)
        self.finish(metrics.render([deployment]))


def _require_ready(deployment: Deployment) -> None:
    if not deployment.ready:
        raise deployment.unavailable


class MetricsHandler(Handler):
    """``metrics``: all deployments of this host, as Prometheus text."""

    @property
    def tracks_activity(self) -> bool:
        return False

    def _metrics(self) -> None:
        deployments = list(self.host.deployments)
        self.set_header("Content-Type", metrics.CONTENT_TYPE)
        self.finish(metrics.render(deployments))

    get = head = web.authenticated(_metrics)
