"""What is displayed, without secrets: a cell's output is kept in the notebook's file."""

from __future__ import annotations

import json
from typing import Any

from warmcell.redaction import MASK, Redaction

__all__ = ["masked"]

_PICTURES = ("image/", "audio/", "video/", "application/pdf")  # base64: nothing in them is text


def masked(bundle: dict[str, Any], redaction: Redaction) -> dict[str, Any]:
    """A bundle of forms by media type (``text/html``, ``application/json``, …) without what is to
    be masked. A form that names a covered key in another way than ``key=value`` or JSON does, as a
    table does at its head, is masked as a whole: its values cannot be told apart."""
    if not redaction.active:
        return bundle
    return {kind: _form(kind, value, redaction) for kind, value in bundle.items()}


def _form(kind: str, value: Any, redaction: Redaction) -> Any:
    if isinstance(value, str):
        if kind.startswith(_PICTURES) and not kind.startswith("image/svg"):
            return value
        text = redaction.text(value)
        return MASK if redaction.names(text) else text
    if isinstance(value, dict | list):
        try:
            return json.loads(redaction.json(json.dumps(value).encode()))
        except (TypeError, ValueError):
            return MASK
    return value
