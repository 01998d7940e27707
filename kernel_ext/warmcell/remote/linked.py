"""The transport of a kernel: its link to the host, and HTTP for what the link does not carry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import cached_property
from typing import Any

from warmcell import link
from warmcell.remote.transport import Http

__all__ = ["Linked"]


class Linked:
    """Carries the control plane and invocations over this kernel's link. Event streams go by HTTP,
    with the token of the host's server."""

    web = False

    @property
    def url(self) -> str:
        """Address of the host, if this kernel has one by now."""
        return link.status().url

    def control(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """See :meth:`warmcell.link.Kernel.control`; a call with headers goes by HTTP."""
        if headers:
            return self.http.control(method, path, body, headers=headers, timeout=timeout)
        return link.control(method, path, body, timeout=timeout)

    async def acontrol(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = 30.0,
    ) -> Any:
        """:meth:`control` for an event loop."""
        if headers:
            return await self.http.acontrol(method, path, body, headers=headers, seconds=seconds)
        return await link.kernel().acontrol(method, path, body, seconds=seconds)

    def lines(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        piece: int = -1,
    ) -> AbstractContextManager[Iterator[bytes]]:
        """See :meth:`warmcell.remote.transport.Http.lines`."""
        return self.http.lines(method, path, body, headers=headers, piece=piece)

    def alines(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See :meth:`warmcell.remote.transport.Http.alines`."""
        return self.http.alines(method, path, body, headers=headers)

    @cached_property
    def http(self) -> Http:
        """HTTP to the same host. Raises :class:`LinkError` where this kernel knows no token."""
        from warmcell.tokens import server_token

        token = server_token()
        return Http(link.status().url, token)

    def __repr__(self) -> str:
        return "<link of this kernel>"
