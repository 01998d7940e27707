"""What a deployment tells people and tools of itself: a playground, OpenAPI, and that as a page."""

from __future__ import annotations

from typing import Any

from tornado import web
from tornado.escape import to_unicode
from tornado.httputil import url_concat

from warmcell.errors import Unauthenticated, WarmcellError
from warmcell_server import openapi, pages
from warmcell_server.deployment import Deployment
from warmcell_server.handlers.base import Handler
from warmcell_server.recent import recent

__all__ = ["DocsHandler", "OpenapiHandler", "PageHandler"]


class _DocumentHandler(Handler):
    """Open to whoever may call; the parameters of recorded runs are for those who see all runs."""

    scope = "any"
    public = True
    offered_as = "docs"

    async def recorded(self, deployment: Deployment) -> list[tuple[str, dict[str, Any]]]:
        """Examples from recorded runs that the caller may see."""
        return await recent(self.host, deployment) if self.sees_all else []


class OpenapiHandler(_DocumentHandler):
    """``GET {name}/openapi.json``."""

    @property
    def tracks_activity(self) -> bool:
        return False

    async def _document(self, name: str) -> None:
        deployment = self.host.deployments.get(name)
        self.answer(openapi.document(deployment, await self.recorded(deployment)))

    get = head = web.authenticated(_document)


class _HtmlHandler(_DocumentHandler):
    def show(self, page: str) -> None:
        """Finish with a page. Who opened it with the token in its address gets Jupyter's login
        cookie, as from Jupyter's own pages: the links of the page do not carry the token."""
        if self.token_authenticated and "token" in self.request.query_arguments:
            self.identity_provider.set_login_cookie(self, self.current_user)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Link", '<openapi.json>; rel="service-desc"')
        self.finish(page)

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


class PageHandler(_HtmlHandler):
    """``GET {name}/``: the playground."""

    offered_as = "dashboard"

    @property
    def content_security_policy(self) -> str:
        return pages.playground_policy()

    async def _page(self, name: str) -> None:
        deployment = self.host.deployments.get(name)
        page = pages.playground(
            deployment,
            self.host.url,
            recorded=await self.recorded(deployment),
            xsrf=self._xsrf(),
            sees_all=self.sees_all,
        )
        self.show(page)

    get = head = web.authenticated(_page)

    def _xsrf(self) -> str | None:
        """What the page has to send along with a login cookie; its script may not be able to read
        the cookie. Nothing for those who have no login."""
        if self.key is not None or self.anybody or self.token_authenticated:
            return None
        return to_unicode(self.xsrf_token)  # sets the cookie where there is none


class DocsHandler(_HtmlHandler):
    """``GET {name}/docs``: the OpenAPI document, rendered here: no script, nothing from afar."""

    @property
    def content_security_policy(self) -> str:
        return pages.docs_policy()

    async def _docs(self, name: str) -> None:
        deployment = self.host.deployments.get(name)
        document = openapi.document(deployment, await self.recorded(deployment))
        self.show(pages.docs(document, f"{self.host.url}{name}/"))

    get = head = web.authenticated(_docs)
