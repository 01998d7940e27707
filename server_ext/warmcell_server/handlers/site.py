"""A deployment's own front end at ``{name}/``, and its files."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Literal
from urllib.parse import quote

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado import web

from warmcell.around.site import INDEX, Asset, Site
from warmcell.errors import Forbidden, NotFound, WarmcellError
from warmcell_server import dashboards
from warmcell_server.authored import SANDBOX
from warmcell_server.deployment import Deployment
from warmcell_server.handlers.base import Handler
from warmcell_server.handlers.pages import PageHandler

__all__ = ["FILES", "AssetHandler", "SiteHandler"]

FILES = "_site"
"""First part of the path of a front end's files; a secret word and their own path follow."""

_PIECE = 256 * 1024


class _FileHandler(Handler):
    """Sends files of a front end."""

    @property
    def content_security_policy(self) -> str:
        return SANDBOX

    async def send(self, asset: Asset, *, cache: str) -> None:
        """Finish with a file, unless the client has it."""
        self.set_header("Content-Type", asset.content_type)
        self.set_header("Cache-Control", cache)
        self.set_header("Etag", f'"{asset.digest}"')
        if self.check_etag_header():
            self.set_status(304)
            self.finish()
            return
        self.set_header("Content-Length", asset.size)
        if self.request.method == "HEAD":
            self.finish()
            return
        data = await self.host.dashboards.read(asset.digest)
        for start in range(0, len(data), _PIECE):
            self.write(data[start : start + _PIECE])
            await self.flush()
        self.finish()


class SiteHandler(PageHandler, _FileHandler):
    """``{name}/…`` of a deployment with a front end: its pages, for every path that a person may
    open, and its files for those who come with credentials."""

    @property
    def needs(self) -> Literal["invoke"]:
        """The page hands out a key that calls the deployment."""
        return "invoke"

    @property
    def content_security_policy(self) -> str:
        return SANDBOX

    def action(self) -> str:
        return "execute"

    async def _show(self, name: str, path: str) -> None:
        host = self.host
        deployment = host.deployments.get(name)
        if deployment.site is None:
            raise NotFound(f"Deployment '{name}' has no front end.")
        host.trusting.check(deployment)
        site = await host.dashboards.site(deployment.site)
        asset = site.files.get(path or INDEX)
        if asset is None and self._for_people(path):
            path, asset = INDEX, site.files[INDEX]
        if asset is None:
            raise NotFound(f"Deployment '{name}' has no '/{path}'.")
        if deployment.served.trusted:
            self.set_header("Content-Security-Policy", "frame-ancestors 'self'")
        if asset.content_type.startswith("text/html"):
            await self._send_page(deployment, site, asset, path.rpartition("/")[0])
        else:
            await self.send(asset, cache="private, no-cache")

    get = head = web.authenticated(_show)

    async def _send_page(
        self, deployment: Deployment, site: Site, asset: Asset, folder: str
    ) -> None:
        host = self.host
        name = deployment.name
        at = base = f"{host.base_path}{name}/"
        if not deployment.served.trusted:
            assert deployment.site is not None
            base += f"{FILES}/{host.dashboards.grant(name, deployment.site)}/"
        page = dashboards.page(
            await host.dashboards.read(asset.digest),
            site.files,
            name=name,
            path=at,
            base=f"{base}{quote(folder)}/" if folder else base,
            key=host.keys.temporary(name, dashboards.SECONDS, by=self.key, anybody=self.anybody),
        )
        own = deployment.served.secure_headers.csp
        if isinstance(own, str):  # both hold: two policies in one header
            self.set_header("Content-Security-Policy", f"{own}, {self._policy()}")
        self.set_header("Cache-Control", "no-store")  # it has a key in it
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page)

    def _policy(self) -> str:
        found: str = self._headers["Content-Security-Policy"]
        return found

    def _for_people(self, path: str) -> bool:
        """Whether a browser opens an address that the front end itself makes sense of."""
        last = path.rpartition("/")[2]
        return "." not in last and "text/html" in self.request.headers.get("Accept", "")


class AssetHandler(_FileHandler):
    """``{name}/_site/{word}/…``: files of a front end, for whoever has the secret word. No login
    is looked at: a sandboxed page has none."""

    def prepare(self) -> Awaitable[None] | None:  # type: ignore[override]
        if not self.check_host():
            return self.refuse(Forbidden("The host name is not this server's."))
        return None

    @property
    def tracks_activity(self) -> bool:
        return False

    async def _show(self, name: str, word: str, path: str) -> None:
        host = self.host
        site = await host.dashboards.site(host.dashboards.granted(name, word))
        asset = site.files.get(path or INDEX)
        if asset is None:
            raise NotFound(f"The front end of '{name}' has no '{path}'.")
        if asset.content_type.startswith("text/html"):  # a link, if only to "#top" of the page
            self.redirect(f"{host.base_path}{name}/{quote(path)}")
            return
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        self.set_header("X-Frame-Options", "SAMEORIGIN")
        await self.send(asset, cache=f"private, max-age={int(dashboards.SECONDS)}, immutable")

    get = head = allow_unauthenticated(_show)

    def answer_error(self, error: WarmcellError | web.HTTPError) -> None:
        super().answer_error(error)
        self.set_header("Access-Control-Allow-Origin", "*")
