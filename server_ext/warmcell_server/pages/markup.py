"""HTML whose texts are escaped unless they are :class:`Html`."""

from __future__ import annotations

import re
from html import escape

__all__ = ["Html", "el", "inline", "join", "prose"]

_CODE = re.compile(r"`([^`\n]+)`")
_VOID = frozenset({"meta", "br", "hr", "input", "link"})


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


def el(tag: str, *children: str | None, **attributes: str | bool | None) -> Html:
    """Return ``<tag …>children</tag>``. None is nothing; ``class_`` is the attribute ``class``."""
    shown = ""
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        shown += f" {name}" if value is True else f' {name}="{escape(str(value))}"'
    if tag in _VOID:
        return Html(f"<{tag}{shown}>")
    return Html(f"<{tag}{shown}>{join(*children)}</{tag}>")


def join(*children: str | None) -> Html:
    """Put HTML and texts one after the other."""
    return Html(
        "".join(
            child if isinstance(child, Html) else escape(child)
            for child in children
            if child is not None
        )
    )


def prose(text: str | None) -> Html:
    """A text for people: paragraphs, and code where it stands between backticks."""
    if not text:
        return Html()
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return join(*(el("p", inline(paragraph)) for paragraph in paragraphs))


def inline(text: str) -> Html:
    """One line of prose."""
    parts = _CODE.split(text)
    return join(*(el("code", part) if n % 2 else part for n, part in enumerate(parts)))
