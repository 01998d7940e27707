"""Bodies of ``multipart/form-data`` (RFC 7578), taken apart without copying them.

A large body is a map of its file: parts are views of it.
"""

from __future__ import annotations

import mmap
from email.parser import HeaderParser
from typing import NamedTuple

from warmcell.errors import BadRequest

__all__ = ["Part", "parts"]

MOST_PARTS = 1000
MOST_HEADER = 16_384


class Part(NamedTuple):
    """One part. ``filename`` is None for a text field; ``content_type`` is None where the client
    said nothing."""

    name: str
    filename: str | None
    content_type: str | None
    data: memoryview


def parts(body: bytes | mmap.mmap, boundary: str) -> list[Part]:
    """Take ``body`` apart. Raises :class:`BadRequest` where it is not of the form."""
    if not 0 < len(boundary) <= 200:
        raise _broken("it names no boundary")
    try:
        mark = b"--" + boundary.encode("latin-1")
    except UnicodeEncodeError:
        raise _broken("its boundary is no text") from None
    view = memoryview(body)
    found: list[Part] = []
    position = body.find(mark)
    if position > 0 and body[position - 2 : position] != b"\r\n":
        raise _broken("it does not begin with its boundary")
    if position < 0:
        raise _broken("its boundary does not occur in it")
    delimiter = b"\r\n" + mark
    position += len(mark)
    while True:
        following = body[position : position + 2]
        if following == b"--":
            return found
        line = body.find(b"\r\n", position, position + 256)
        if line < 0 or body[position:line].strip(b" \t"):
            raise _broken("a boundary is not followed by a new line")
        start = line + 2
        end = body.find(delimiter, start - 2)
        if end < 0:
            raise _broken("the last boundary is missing")
        if len(found) >= MOST_PARTS:
            raise _broken(f"it has more than {MOST_PARTS} parts")
        found.append(_part(body, view, start, end))
        position = end + len(delimiter)


def _part(body: bytes | mmap.mmap, view: memoryview, start: int, end: int) -> Part:
    stop = body.find(b"\r\n\r\n", start, min(end + 4, start + MOST_HEADER))
    if stop < 0:
        raise _broken("a part has no end of its headers")
    try:
        head = HeaderParser().parsestr(body[start:stop].decode())
    except UnicodeDecodeError:
        raise _broken("the headers of a part are not UTF-8") from None
    if head.get_content_disposition() != "form-data":
        raise _broken("a part is no form-data")
    name = head.get_param("name", header="content-disposition")
    if isinstance(name, tuple):
        name = name[2]
    if not isinstance(name, str) or not name:
        raise _broken("a part has no name")
    kind = head.get("Content-Type")
    data = view[stop + 4 : end] if end > stop + 4 else view[:0]
    return Part(name, head.get_filename(), None if kind is None else str(kind), data)


def _broken(what: str) -> BadRequest:
    return BadRequest(
        f"The body is no multipart/form-data: {what}.",
        hint="Let your HTTP client make it: curl -F name=value -F data=@file.csv",
    )
