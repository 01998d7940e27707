"""The files of ``static/``: one style sheet, and ES modules joined into one text per widget.

anywidget loads a module from a Blob URL, where a relative ``import`` cannot work. The modules
stay real ones, usable as files from any server; :func:`script` inlines what they import.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default\b)", re.MULTILINE)


@cache
def style() -> str:
    """The style sheet of every view."""
    return (STATIC / "warmcell.css").read_text(encoding="utf-8")


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
        texts[file] = _IMPORT.sub("", text)

    add(name)
    last = texts.pop(name)
    return "\n".join([*(_EXPORT.sub("", text) for text in texts.values()), last])
