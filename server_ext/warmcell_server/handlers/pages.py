"""The pages of a deployment for people: the playground at ``{name}/`` and ``{name}/docs``."""

from __future__ import annotations

from tornado import web
from tornado.httputil import url_concat

from warmcell.errors import Unauthenticated, WarmcellError
from warmcell_server import page
from warmcell_server.handlers.base import Handler

__all__ = ["PageHandler"]


class PageHandler(Handler):
    """``GET {name}/``: a page for people, how to call the deployment."""

    @property
    def content_security_policy(self) -> str:
        return page.POLICY

    def _page(self, name: str) -> None:
        host = self.host
        deployment = host.deployments.get(name)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page.render(deployment, host.url))

    get = head = web.authenticated(_page)

    def answer_error(self, error: WarmcellError | web.HTTPError) -> None:
        """Send people without a login to Jupyter's login page."""
        # An embedded host has no such page.
        login = self.settings.get("login_url") if "serverapp" in self.settings else None
        wants_page = "text/html" in self.request.headers.get("Accept", "")
        if isinstance(error, Unauthenticated) and login and wants_page:
            self.clear()
            self.redirect(url_concat(login, {"next": self.request.uri or ""}))
        else:
            super().answer_error(error)
