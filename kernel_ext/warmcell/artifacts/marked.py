"""Texts that say what they are: HTML, Markdown, CSV and JSON (:mod:`warmcell.types`)."""

from __future__ import annotations

from typing import Any, ClassVar

from warmcell.artifacts.files import INLINE, Incoming, Outgoing
from warmcell.artifacts.plain import Text
from warmcell.types import CSVString, HTMLString, JSONString, MarkdownString

__all__ = ["Marked"]

_ENDS: dict[type, str] = {
    HTMLString: "html", MarkdownString: "md", CSVString: "csv", JSONString: "json",
}  # fmt: skip
_CLASSES = {end: kind for kind, end in _ENDS.items()}


class Marked(Text):
    """Such a text, as a file that its name says how to open."""

    kind: ClassVar[str] = "document"

    def accepts(self, value: Any) -> bool:
        return type(value) in _ENDS

    def save(self, value: str, out: Outgoing) -> None:
        end = out.form["as"] = _ENDS[type(value)]
        data = str.encode(value, "utf-8", "surrogatepass")
        try:
            small = len(data) <= INLINE and out.inline(str.__str__(value))
        except ValueError:  # half a character, which JSON does not have
            small = False
        if not small:
            out.write(f"value.{end}", data)

    def load(self, parts: Incoming) -> Any:
        kind = _CLASSES[parts.form["as"]]
        if not parts.names:
            return kind(parts.value)
        return kind(parts.read(f"value.{parts.form['as']}").decode("utf-8", "surrogatepass"))

    def facts(self, value: str) -> dict[str, Any]:
        return {"characters": len(value), "as": _ENDS[type(value)]}
