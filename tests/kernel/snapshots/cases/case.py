"""The shape of a case."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any


@dataclass(frozen=True)
class Case:
    """Cells that define ``step``, an expression that calls it, and edits made after the deploy.

    ``frozen``: the live answer after the edits is the notebook's answer before them. ``stored``: a
    fresh process gives the live answer of before the edits; False where storing must be refused.
    ``drifts``: what changed in place, so that what was captured can no longer be stored.
    ``fresh``: what a fresh process answers where that must differ. ``noted``: texts that the notes
    contain. ``files`` are local modules by name; ``edited_files`` replace them after the deploy.
    ``capture_first``: the notebook itself calls ``step`` only after the capture. ``needs`` is a
    library without which the case is skipped.
    """

    name: str
    cells: tuple[str, ...]
    edits: tuple[str, ...] = ()
    call: str = "step(3)"
    frozen: bool = True
    stored: bool = True
    noted: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    edited_files: dict[str, str] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    copy: tuple[str, ...] = ()
    drifts: tuple[str, ...] = ()
    fresh: str | None = None
    capture_first: bool = False
    needs: str = ""


def case(name: str, cells: str, edits: str = "", **options: Any) -> Case:
    """A case from indented text; a line of ``---`` separates cells."""
    for key in ("files", "edited_files"):
        if key in options:
            options[key] = {n: _text(t) + "\n" for n, t in options[key].items()}
    if "call" in options:
        options["call"] = _text(options["call"])
    return Case(name, _cells(cells), _cells(edits), **options)


def _cells(text: str) -> tuple[str, ...]:
    return tuple(c.strip("\n") for c in _text(text).split("\n---\n") if c)


def _text(text: str) -> str:
    return dedent(text).strip("\n")
