"""What the settings of a deployment put below its URL: other paths, endpoints, a front end.

Tornado's routes are fixed while deployments come and go, so this one looks at each request and
makes the handler that it is for.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast
from urllib.parse import unquote

from tornado import web
from tornado.httputil import HTTPServerRequest

from warmcell.config.paths import FIXED
from warmcell.errors import NotFound, Unavailable
from warmcell_server.deployments import RESERVED
from warmcell_server.handlers.base import Handler
from warmcell_server.handlers.endpoint import EndpointHandler
from warmcell_server.handlers.site import FILES, AssetHandler, SiteHandler
from warmcell_server.problems import MethodNotAllowed
from warmcell_server.settings import Settings

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["PathHandler"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class _Target(NamedTuple):
    """A handler, the arguments of its method, and attributes that it is to have."""

    kind: type[Handler]
    arguments: tuple[str, ...]
    attributes: dict[str, Any] = {}


class PathHandler(Handler):
    """``{name}/…`` where no other route fits. Making one gives the handler that the deployment has
    for the request; where it has none, one that says so to whoever may know."""

    scope: Literal["any"] = "any"
    public = True
    allowed: list[str] = []

    def __new__(
        cls, application: web.Application, request: HTTPServerRequest, **kwargs: Any
    ) -> Any:
        target = _target(application, request)
        if target.kind is PathHandler:
            made = super().__new__(cls)
            made.allowed = target.attributes.get("allowed", [])
            return made
        handler: Any = target.kind(application, request, **kwargs)
        for name, value in target.attributes.items():
            setattr(handler, name, value)
        execute = handler._execute
        handler._execute = lambda transforms, *args, **named: execute(transforms, *target.arguments)
        return handler

    def _none(self, name: str, rest: str) -> None:
        host = self.host
        if self.settings.get("warmcell_starting") is not None:
            raise Unavailable("Warmcell was starting.", retry_after=1)
        if name in RESERVED:
            raise NotFound(f"There is no '{self.request.path}' here.")
        deployment = host.deployments.get(name)
        if self.allowed:
            raise MethodNotAllowed(self.request.method or "", self.request.path, self.allowed)
        if deployment.restoring and not deployment.endpoints:
            raise deployment.unavailable  # its endpoints are not known yet
        raise NotFound(f"Deployment '{name}' has no '/{rest}'.")

    get = head = post = put = patch = delete = web.authenticated(_none)


def _target(application: web.Application, request: HTTPServerRequest) -> _Target:
    host = cast("Host | None", application.settings.get("warmcell"))
    if host is None or not request.path.startswith(host.base_path):
        return _Target(PathHandler, ())
    name, _, rest = request.path.removeprefix(host.base_path).partition("/")
    name = unquote(name)
    deployment = host.deployments.find(name)
    if deployment is None:
        return _fixed()[""](name) if not rest else _Target(PathHandler, ())
    method = request.method or ""
    if method == "OPTIONS":
        method = request.headers.get("Access-Control-Request-Method", "GET")
    if method == "HEAD":
        method = "GET"
    if rest.startswith(f"{FILES}/"):
        _, word, file = [*rest.split("/", 2), ""][:3]
        return _Target(AssetHandler, (name, unquote(word), unquote(file)))
    people = "text/html" in request.headers.get("Accept", "")
    return _configured(deployment, name, method, rest, people)


def _configured(deployment: Deployment, name: str, method: str, rest: str, people: bool) -> _Target:
    path = "/" + rest
    found = _paths(deployment.served).get(path)
    if found is not None and found[1] == method:
        return _fixed()[found[0]](name)
    number, values = _endpoint(deployment, method, path)
    if number is not None:
        return _Target(EndpointHandler, (name,), {"number": number, "values": values})
    allowed = [e.method for e in deployment.endpoints if _values(e.path, path) is not None]
    if found is not None:
        allowed.append(found[1])
    if deployment.site is not None and method == "GET" and (people or not allowed):
        return _Target(SiteHandler, (name, unquote(rest)))
    if not rest:
        return _fixed()[""](name)
    return _Target(PathHandler, (), {"allowed": allowed})


@lru_cache(256)
def _paths(served: Settings) -> dict[str, tuple[str, str]]:
    """The configured paths of a deployment, and the fixed path and the method of each."""
    found = {}
    for setting, (usual, method) in FIXED.items():
        prefix = "" if setting == "docs_url_path" else served.api_url_path
        found[prefix + getattr(served, setting)] = (usual, method)
    return found


class _Route:
    """A route of ours, to be taken under another path."""

    def __init__(self, kind: type[Handler], rest: tuple[str, ...]) -> None:
        self.kind = kind
        self.rest = rest

    def __call__(self, name: str) -> _Target:
        return _Target(self.kind, (name, *self.rest))


@cache
def _fixed() -> dict[str, _Route]:
    """Our own routes by their path below a deployment's URL; "" is its page."""
    from warmcell_server.handlers import PAGE, routes

    found = {"": _Route(PAGE, ())}
    for path, _ in FIXED.values():
        for pattern, kind in routes("/"):
            match = re.fullmatch(pattern, f"/warmcell/name{path}")
            if match is not None:
                found[path] = _Route(cast(type[Handler], kind), match.groups()[1:])
                break
    return found


def _endpoint(deployment: Deployment, method: str, path: str) -> tuple[int | None, dict[str, str]]:
    """The endpoint for a request and the values of its path; of several that fit, the one with the
    fewest placeholders."""
    found = [
        (len(values), number, values)
        for number, spec in enumerate(deployment.endpoints)
        if spec.method == method and (values := _values(spec.path, path)) is not None
    ]
    if not found:
        return None, {}
    _, number, values = min(found, key=lambda each: each[0])
    return number, values


def _values(pattern: str, path: str) -> dict[str, str] | None:
    """What stands for the placeholders of ``pattern`` in ``path``; None if it does not fit."""
    match = _compiled(pattern).fullmatch(path)
    if match is None:
        return None
    return {name: unquote(value) for name, value in match.groupdict().items()}


@lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    text, position = "", 0
    for match in _PLACEHOLDER.finditer(pattern):
        text += re.escape(pattern[position : match.start()]) + f"(?P<{match[1]}>[^/]+)"
        position = match.end()
    return re.compile(text + re.escape(pattern[position:]))
