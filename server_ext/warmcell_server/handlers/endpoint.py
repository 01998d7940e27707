"""``{name}/…``: a custom endpoint of a deployment, answered by its code."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from tornado import web

from warmcell import wire
from warmcell.errors import Unavailable
from warmcell_server.authored import SANDBOX, check_headers, shown_headers
from warmcell_server.deployment import Deployment
from warmcell_server.handlers.base import Handler

__all__ = ["EndpointHandler"]


class EndpointHandler(Handler):
    """One endpoint. :class:`~warmcell_server.handlers.paths.PathHandler` finds it and sets
    ``number``, its place among those of the deployment, and ``values``, those of its path."""

    scope: Literal["invoke"] = "invoke"
    number = -1
    values: dict[str, str]
    _spec: wire.EndpointSpec | None = None  # what the caller was let in for
    _request: wire.EndpointCall | None = None
    _left = False  # whether the caller went away

    def action(self) -> str:
        return "execute"

    @property
    def content_security_policy(self) -> str:
        return SANDBOX

    @property
    def for_all(self) -> bool:
        """Whether its author opened it, whatever the deployment is."""
        return self._spec is not None and not self._spec.auth_required

    @property
    def is_open(self) -> bool:
        return self.for_all

    def prepare(self) -> Awaitable[None] | None:  # type: ignore[override]
        named = self.named
        self._spec = named.endpoints[self.number] if named is not None else None
        return super().prepare()

    def _expect_media(self, kind: str) -> None:
        """Any type will do: what the body has to be, the endpoint knows."""

    async def _answer(self, name: str) -> None:
        host = self.host
        deployment = host.deployments.get(name)
        if self._spec not in deployment.endpoints[self.number : self.number + 1]:
            raise Unavailable(f"Deployment '{name}' was deployed anew just now.", retry_after=1)
        request = self._request = self._call()
        if self._left:  # before there was a request to drop
            host.endpoints.abandon(name, request)
        answer = await host.endpoints.call(deployment, self.number, request)
        self._set_headers(deployment, answer)
        self.set_status(answer.status)
        self.finish_with(answer.body)

    get = head = post = put = patch = delete = web.authenticated(_answer)

    def _call(self) -> wire.EndpointCall:
        request = self.request
        pairs = parse_qsl(request.query, keep_blank_values=True)
        query = [(name, value) for name, value in pairs if name != "token"]
        url = f"{request.protocol}://{request.host}{request.path}"
        return wire.EndpointCall(
            0,
            "",
            0,
            request.method or "",
            f"{url}?{urlencode(query)}" if query else url,
            self.values,
            query,
            shown_headers(request.headers),
            self._whole(),
            self.user,
        )

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._left = True
        if self._request is not None:
            self.host.endpoints.abandon(self.path_args[0], self._request)

    def _set_headers(self, deployment: Deployment, answer: wire.EndpointAnswer) -> None:
        trusted = deployment.served.trusted
        if trusted:
            self.set_header("Content-Security-Policy", "frame-ancestors 'self'")
        who = f"Endpoint '{deployment.endpoints[self.number].name}'"
        check_headers(answer.headers, who, trusted=trusted)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.set_header("Content-Type", answer.content_type)
