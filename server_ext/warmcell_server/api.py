"""The control plane: one table of operations, reached over HTTP, over the link and by widgets.

Paths are relative to ``…/warmcell/``. What an operation raises is mapped in
:mod:`warmcell_server.problems`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from warmcell.errors import NotFound, WarmcellError
from warmcell_server import problems
from warmcell_server.operation import Call, Result
from warmcell_server.operations import ROUTES
from warmcell_server.workers import Worker

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["Api"]

log = logging.getLogger("warmcell.api")


class Api:
    """Runs operations on a host. Belongs to the host's event loop."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def handle(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        user: str | None = None,
        worker: Worker | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Result:
        """Run one operation. ``path`` has no leading slash and no query; its parts may be quoted.

        Raises:
            NotFound: no such path.
            WarmcellError: as the operation says.
        """
        allowed = []
        for verb, pattern, operation in ROUTES:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if verb == method:
                arguments = tuple(unquote(part) for part in match.groups())
                call = Call(method, path, query or {}, body, user, worker, arguments, headers or {})
                return await operation(self.host, call)
            allowed.append(verb)
        if allowed:
            raise problems.MethodNotAllowed(method, path, allowed)
        raise NotFound(f"There is no '{path}' here.")

    async def answer(
        self,
        method: str,
        target: str,
        body: bytes,
        *,
        user: str | None,
        worker: Worker | None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Run one operation and return its status and JSON, errors included: for the link.
        ``target`` may carry a query."""
        parts = urlsplit(target)
        try:
            query = dict(parse_qsl(parts.query))
            status, result = await self.handle(
                method,
                parts.path.strip("/"),
                query,
                body,
                user=user,
                worker=worker,
                headers=headers,
            )
            data = result if isinstance(result, bytes) else msgspec.json.encode(result)
        except WarmcellError as error:
            problem = problems.problem(error)
            return problem.status, msgspec.json.encode(problem.body)
        except Exception as error:
            # The outermost edge of a request: a kernel must not wait for an answer in vain.
            log.exception("%s %s failed", method, target)
            problem = problems.plain(500, f"{type(error).__name__}: {error}")
            return problem.status, msgspec.json.encode(problem.body)
        return status, data
