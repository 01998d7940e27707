"""What a deployment has around its pipeline: custom endpoints, middleware, startup and shutdown."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from warmcell.runner import hooks

if TYPE_CHECKING:
    from warmcell.around.endpoints import Endpoint
    from warmcell.around.endpoints.calls import ServedEndpoint
    from warmcell.around.middleware import Middleware
    from warmcell.config import DeploymentSettings
    from warmcell.pipelines import Pipeline

__all__ = ["Around", "roots"]

ENDPOINTS, MIDDLEWARE, STARTUP, SHUTDOWN = "endpoints", "middleware", "startup", "shutdown"

log = logging.getLogger("warmcell.around")


def roots(pipeline: Pipeline, settings: DeploymentSettings) -> dict[str, Any]:
    """What a snapshot has to capture beside the pipeline, by name; nothing where there is nothing.

    Raises :class:`UsageError` where two endpoints answer the same request.
    """
    from warmcell.around.endpoints import attached
    from warmcell.config.paths import check_paths

    found: dict[str, Any] = {}
    endpoints = attached(pipeline, settings.custom_endpoints or ())
    if endpoints:
        check_paths(settings.paths(), [(e.method, e.path, e.name) for e in endpoints])
        found[ENDPOINTS] = endpoints
    if settings.custom_middlewares:
        found[MIDDLEWARE] = sorted(settings.custom_middlewares, key=lambda layer: layer.order)
    for name, hook, keywords in (
        (STARTUP, settings.startup_hook, settings.startup_hook_kwargs),
        (SHUTDOWN, settings.shutdown_hook, settings.shutdown_hook_kwargs),
    ):
        if hook is not None:
            found[name] = (hook, keywords or {})
    return found


class Around:
    """The same, made from the captured roots and ready to serve.

    Making it raises :class:`DefinitionError` for an endpoint that no request can call, and what
    the classes of endpoints and middleware raise when they are made.
    """

    def __init__(self, captured: Mapping[str, Any]) -> None:
        self.endpoints: list[ServedEndpoint] = []
        endpoints: list[Endpoint] = captured.get(ENDPOINTS, [])
        if endpoints:
            from warmcell.around.endpoints.calls import ServedEndpoint

            self.endpoints = [ServedEndpoint(endpoint) for endpoint in endpoints]
        layers: list[Middleware] = captured.get(MIDDLEWARE, [])
        self.layers = [(layer.name, layer.function()) for layer in layers]
        self._startup = captured.get(STARTUP)
        self._shutdown = captured.get(SHUTDOWN)

    def start(self, state: object) -> None:
        """Run the startup hook. Raises what it raises."""
        if self._startup is not None:
            hook, keywords = self._startup
            hooks.call(_bound(hook, keywords, state))

    def stop(self, state: object) -> None:
        """Run the shutdown hook; its error is logged."""
        if self._shutdown is not None:
            hook, keywords = self._shutdown
            hooks.guarded(_bound(hook, keywords, state))


def _bound(
    hook: Callable[..., Any], keywords: Mapping[str, Any], state: object
) -> Callable[[], Any]:
    """``hook`` with its keywords, and the state if it takes that."""
    given = dict(keywords)
    if "state" in inspect.signature(hook).parameters:
        given.setdefault("state", state)
    return partial(hook, **given)
