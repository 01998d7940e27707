"""Text that JSON and the link can carry."""

from __future__ import annotations

__all__ = ["storable"]


def storable(text: str) -> str:
    """``text`` with "?" for half characters (lone surrogates), which UTF-8 does not have: names of
    files and broken input bring them, and a print of one must not fail a run."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
