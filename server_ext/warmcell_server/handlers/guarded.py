"""What a handler says of who may come in, and the headers that guard its answers."""

from __future__ import annotations

from asyncio import Future
from typing import TYPE_CHECKING, Literal, cast

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from warmcell.errors import NotFound
from warmcell_server import access, responseheaders
from warmcell_server.keys.key import Key
from warmcell_server.keys.pagekeys import TEMPORARY
from warmcell_server.settings import Cors

if TYPE_CHECKING:
    from warmcell_server.deployment import Deployment
    from warmcell_server.host import Host

__all__ = ["GuardedHandler", "Scope"]

Scope = Literal["invoke", "read", "any"]

_JSON = "application/json"
_POLICY = "default-src 'none'; frame-ancestors 'none'"
_HEADERS_BY_DEFAULT = ("accept", "authorization", "content-type", "x-xsrftoken")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class GuardedHandler(JupyterHandler):
    """A handler whose deployment, if it has one, is the first argument of its path.

    ``scope`` is what a key of the deployment in the path must have for the request, "any" for
    either; None refuses keys. ``public`` opens it to everybody where the deployment is public.
    Handlers for which this depends on the request override ``needs`` and ``for_all``.
    """

    path_args: list[str] = []  # until Tornado has decoded the path, which may fail
    scope: Scope | None = None
    public = False
    offered_as: str | None = None  # name among the default endpoints, which settings may leave out
    key: Key | None = None  # that the caller came in with
    _varies = False  # whether the answer depends on the origin
    anybody = False  # whether the caller came in without saying who it is

    @property
    def user(self) -> str | None:
        """The name of who asks, for the record."""
        found = self.current_user
        return found.username if found is not None else None

    @property
    def needs(self) -> Scope | None:
        """The scope that this request needs of a key."""
        return self.scope

    @property
    def for_all(self) -> bool:
        """Whether this request is one that a public deployment answers to everybody."""
        return self.public

    @property
    def is_open(self) -> bool:
        """Whether everybody may make this request."""
        named = self.named
        return named is not None and named.served.auth == "public" and self.for_all

    @property
    def named(self) -> Deployment | None:
        """The deployment that the path names, if this host knows it."""
        host = self.settings.get("warmcell")
        if host is None or not self.path_args:
            return None
        return cast("Host", host).deployments.find(self.path_args[0])

    def check_offered(self) -> None:
        """Raise :class:`NotFound` for what the settings of the deployment leave out."""
        named = self.named
        if named is None or self.offered_as is None or named.served.offers(self.offered_as):
            return
        raise NotFound(
            f"Deployment '{named.name}' leaves out '{self.offered_as}'.",
            hint="Its settings say so, in include_default_endpoints.",
        )

    @property
    def sees_all(self) -> bool:
        """Whether the caller sees all runs, and what happened inside: logs and tracebacks."""
        if self.key is not None:
            return "read" in self.key.scopes
        return not self.anybody

    @property
    def content_security_policy(self) -> str:
        return _POLICY

    # -- headers -----------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        headers = self._headers
        headers.pop("Server", None)
        headers["Content-Type"] = _JSON
        headers["Content-Security-Policy"] = self.content_security_policy
        for name, value in responseheaders.ALWAYS.items():
            headers[name] = value
        for name, value in self.settings.get("headers", {}).items():
            self.set_header(name, value)

    def set_headers_of_deployment(self) -> None:
        """Set what the settings of the deployment say of headers."""
        named = self.named
        if named is not None:
            for name, value in responseheaders.secure(named.served.secure_headers):
                # A page's own policy is what makes it work, and keeps it off Jupyter's origin.
                if name == "Content-Security-Policy" and self.content_security_policy != _POLICY:
                    continue
                if value is None:
                    self.clear_header(name)
                else:
                    self.set_header(name, value)
        self.set_cors_headers()

    def set_cors_headers(self) -> None:
        """Let pages of other origins read the answer: as the deployment's settings say, else, to
        Jupyter's users, as Jupyter does."""
        origin = self.request.headers.get("Origin")
        named = self.named
        cors = named.served.cors if named is not None else None
        if cors is not None and cors.allow_origins:
            self._varies = True
            allowed = responseheaders.allowed_origin(cors, origin, self._method_asked())
            self._allow_origin(allowed)
            if allowed is not None and self._credentials_allowed(origin):
                self.set_header("Access-Control-Allow-Credentials", "true")
        elif origin == "null" and self._comes_from_page():
            self._allow_origin(origin)
        elif origin is not None and self._entered_by_jupyter():
            super().set_cors_headers()

    def flush(self, include_footers: bool = False) -> Future[None]:
        # Only now: methods set Vary too.
        if self._varies and not self._headers_written:
            self.add_header("Vary", "Origin")
        written: Future[None] = super().flush(include_footers)
        return written

    def _entered_by_jupyter(self) -> bool:
        """Whether Jupyter's identity was asked for; also for a preflight, which has none."""
        return self.key is None and not self.anybody and hasattr(self, "_jupyter_current_user")

    def _allow_origin(self, value: str | None) -> None:
        if value is not None:
            self.set_header("Access-Control-Allow-Origin", value)
            self.set_header("Access-Control-Expose-Headers", responseheaders.EXPOSED)

    def _method_asked(self) -> str:
        method = self.request.method or ""
        if method == "OPTIONS":
            method = self.request.headers.get("Access-Control-Request-Method", "")
        return "GET" if method == "HEAD" else method

    def _credentials_allowed(self, origin: str | None) -> bool:
        """Whether a page of ``origin`` may use the login of whoever looks at it."""
        named = self.named
        if named is None:
            return False
        cors = named.served.cors
        return cors.allow_credentials and origin in cors.allow_origins

    def _comes_from_page(self) -> bool:
        """Whether a sandboxed front end of the deployment asks, which has no origin of its own: it
        has a key that was made for it, and before it sends that, it asks whether it may."""
        named = self.named
        if named is None or self.needs is None:
            return False
        if self.request.method == "OPTIONS":
            return named.site is not None and not named.served.trusted
        return (access.given_key(self) or "").startswith(TEMPORARY)

    def check_origin(self, origin_to_satisfy_tornado: str = "") -> bool:
        """Jupyter's check, for a request with a login; settings of the deployment may widen it."""
        if self._credentials_allowed(self.request.headers.get("Origin")):
            return True
        allowed: bool = super().check_origin(origin_to_satisfy_tornado)
        return allowed

    @allow_unauthenticated
    def options(self, *_: str) -> None:
        """Answer a browser's preflight; it comes without credentials and learns nothing."""
        self.set_status(204)
        headers = self.request.headers
        named = self.named
        asked = headers.get("Access-Control-Request-Headers")
        if named is not None and named.served.cors.allow_origins:
            cors = named.served.cors
        elif headers.get("Origin") == "null" and self._comes_from_page():
            cors = Cors()
        else:
            cors = Cors(allow_methods=("*",), allow_headers=_HEADERS_BY_DEFAULT)
        for name, value in responseheaders.preflight(cors, self.methods(), asked).items():
            self.set_header(name, value)

    def methods(self) -> list[str]:
        """The methods that this handler has, but for OPTIONS."""
        missing = web.RequestHandler._unimplemented_method
        return [m for m in _METHODS if getattr(type(self), m.lower()) is not missing]
