"""Texts that say what they are, so that the artifact a step makes of them can be shown."""

from __future__ import annotations

__all__ = ["CSVString", "HTMLString", "JSONString", "MarkdownString"]


class HTMLString(str):
    """HTML: a page, or a part of one."""

    __slots__ = ()


class MarkdownString(str):
    """Markdown."""

    __slots__ = ()


class CSVString(str):
    """A table, as comma separated values with a header."""

    __slots__ = ()


class JSONString(str):
    """JSON."""

    __slots__ = ()
