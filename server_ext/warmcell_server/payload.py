"""Payload: what a request brought, in memory or in a file."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from warmcell_server.uploads import Upload

__all__ = ["Payload"]


class Payload(msgspec.Struct, eq=False):
    """What a request brought.

    ``content_type`` is None for a JSON object, which ``data`` is then. Else it is the value of the
    header, and the bytes are in ``data`` or in ``file``; a JSON array counts as something else.
    ``query`` has the last value of each name, None without a query. ``digest`` is the SHA-256 of
    the file where the request has an Idempotency-Key.
    """

    data: bytes
    content_type: str | None = None
    file: str | None = None
    query: dict[str, str] | None = None
    digest: str | None = None
    upload: Upload | None = None
    kept: bool = False

    def keep_until(self, future: asyncio.Future[Any]) -> None:
        """Let the file live until ``future`` is done, and not only until the request is answered.
        Does nothing for a payload without one."""
        if self.upload is not None:
            self.kept = True
            remove = self.upload.remove
            future.add_done_callback(lambda _: remove())
