"""What pages are made of beside their text: one style sheet, one script, and the policy for them.

Both stand inside the page, named in its policy by their hashes: a page needs no other request, and
nothing that got into it by mistake can run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

__all__ = ["policy", "script", "style"]

STATIC = Path(__file__).parent / "static"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)


@cache
def style(name: str) -> str:
    """The style sheet ``static/<name>``, after the one of every page."""
    common = (STATIC / "page.css").read_text(encoding="utf-8")
    return common + (STATIC / name).read_text(encoding="utf-8")


@cache
def script(name: str) -> str:
    """The module ``static/<name>`` with everything it imports, as one module."""
    texts: dict[str, str] = {}

    def add(file: str) -> None:
        if file in texts:
            return
        text = (STATIC / file).read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            add(needed)
        texts[file] = _EXPORT.sub("", _IMPORT.sub("", text))

    add(name)
    return "\n".join(texts.values())


@cache
def policy(style_name: str, script_name: str | None = None) -> str:
    """The Content-Security-Policy of a page with this style sheet and this script."""
    rules = [
        "default-src 'none'",
        f"style-src {_hash(style(style_name))}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
    ]
    if script_name is not None:
        rules += [
            f"script-src {_hash(script(script_name))}",
            "connect-src 'self'",
            "img-src 'self'",
        ]
    return "; ".join(rules)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
