"""Request and Response: what custom endpoints and middleware see of HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from warmcell.errors import BadRequest, UsageError
from warmcell.records import ErrorInfo

__all__ = ["Headers", "Request", "Response"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What the connection needs is the server's to say.
_OURS = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})


class Headers(Mapping[str, str]):
    """Headers by name, in whatever case."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"Headers({self._values!r})"


class Request:
    """One request. Credentials are not among the ``headers``; ``user`` is who sent it.

    ``path_params`` has the placeholders of the path, ``query_params`` the last value of each name
    in the query, ``query_list`` all pairs. ``state`` is what the pipeline's ``on_init`` returned.
    """

    def __init__(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        path_params: Mapping[str, str] | None = None,
        query_list: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        user: str | None = None,
        state: Any = None,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = Headers(headers or {})
        self.path_params = dict(path_params or {})
        self.query_list = list(query_list or [])
        self.query_params = dict(self.query_list)
        self.user = user
        self.state = state
        self._body = body

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self._body

    def json(self) -> Any:
        """The body, decoded. Raises :class:`~warmcell.errors.BadRequest` if it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"The body is no JSON: {error}.") from error

    def __repr__(self) -> str:
        return f"<{self.method} {self.url}>"


class Response:
    """An answer of one's own: a status, headers, and a body.

    ``content`` is text, bytes, or anything that JSON can hold; ``media_type`` is by default that of
    the content. ``error`` and ``outputs`` are those of a run; an answer of one's own has none.
    """

    error: ErrorInfo | None = None

    def __init__(
        self,
        content: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        given: Any = status
        if isinstance(given, bool) or not isinstance(given, int) or not 200 <= given <= 599:
            raise UsageError(
                f"{status!r} is no status of an answer.", hint="It is a number from 200 to 599."
            )
        self.content = content
        self.status = int(status)
        self.headers = dict(headers or {})
        self.media_type = media_type

    @property
    def outputs(self) -> dict[str, Any] | None:
        """None: no run made this."""
        return None

    def render(self) -> tuple[bytes, str]:
        """The body and its media type. Raises ValueError for what JSON cannot hold, and
        :class:`UsageError` for a header that cannot be sent."""
        checked(self.headers, self.media_type)
        content = self.content
        if isinstance(content, bytes | bytearray | memoryview):
            return bytes(content), self.media_type or "application/octet-stream"
        json = self.media_type is not None and "json" in self.media_type
        if isinstance(content, str) and not json:
            kind = self.media_type or "text/plain"
            if "charset" not in kind and kind.startswith("text/"):
                kind += "; charset=utf-8"
            return content.encode(), kind
        if content is None and self.media_type is None:
            return b"", "application/json"
        from warmcell.schemas.jsonform import to_json

        return to_json(content), self.media_type or "application/json"

    def __repr__(self) -> str:
        return f"<Response {self.status}>"


def checked(headers: Mapping[str, str], media_type: str | None = None) -> dict[str, str]:
    """``headers`` as they are sent. Raises :class:`UsageError` for one that cannot be."""
    values: dict[Any, Any] = dict(headers)
    if media_type is not None:
        values["Content-Type"] = media_type
    for name, value in values.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise UsageError(f"The header {name!r} cannot be set.")
        if not isinstance(value, str) or not value.isprintable() or not value.isascii():
            raise UsageError(
                f"The header {name} cannot have the value {value!r}.",
                hint="It is one line of ASCII text.",
            )
    return dict(headers)
