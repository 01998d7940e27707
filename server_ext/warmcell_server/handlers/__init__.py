"""Tornado handlers: they map requests to the host and answers back."""

from __future__ import annotations

import re

from tornado import web

from warmcell_server.handlers.control import ControlHandler, UnknownHandler
from warmcell_server.handlers.deployment import (
    MetricsHandler,
    ProbeHandler,
    RunHandler,
    RunsHandler,
)
from warmcell_server.handlers.events import AnyEventsHandler, EventsHandler
from warmcell_server.handlers.invoke import InvokeHandler, SubmitHandler
from warmcell_server.handlers.outputs import OutputHandler
from warmcell_server.handlers.pages import DocsHandler, OpenapiHandler, PageHandler
from warmcell_server.handlers.paths import PathHandler
from warmcell_server.handlers.versionfiles import VersionFileHandler

__all__ = ["PAGE", "routes"]

PAGE = PageHandler
"""What a deployment shows at its URL, unless it has a front end of its own."""


def routes(base_url: str) -> list[tuple[str, type[web.RequestHandler]]]:
    """Patterns below ``base_url`` and their handlers; the first match counts.

    Deployments come and go while Tornado's routes stay: the name is looked up at every request.
    """
    root = re.escape(base_url.rstrip("/")) + "/warmcell"
    name = rf"{root}/([^/]+)"
    return [
        (rf"{name}/invoke", InvokeHandler),
        (rf"{name}/submit", SubmitHandler),
        (rf"{root}/api/v1/runs/([^/]+)/events", AnyEventsHandler),
        (rf"{root}/api/v1/artifact-versions/([^/]+)/files/(.+)", VersionFileHandler),
        (rf"{root}/(api/v1/.*)", ControlHandler),
        (rf"{root}/metrics", MetricsHandler),
        (rf"{name}/openapi\.json", OpenapiHandler),
        (rf"{name}/docs", DocsHandler),
        (rf"{name}/(health|livez|readyz|info|metrics)", ProbeHandler),
        (rf"{name}/runs", RunsHandler),
        (rf"{name}/runs/([^/]+)", RunHandler),
        (rf"{name}/runs/([^/]+)/events", EventsHandler),
        (rf"{name}/runs/([^/]+)/outputs/([^/]+)", OutputHandler),
        (rf"{name}/(.*)", PathHandler),
        (rf"{root}(?:/.*)?", UnknownHandler),
    ]
