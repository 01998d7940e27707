"""JSON text of unknown origin."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["decode"]


def decode(text: str) -> Any:
    """Return the value of JSON ``text``; the text itself where it is nested too deep to decode."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
