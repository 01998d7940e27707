"""The shape of a case."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """Cells that define ``step``, an expression that calls it, and edits made after the deploy.

    ``frozen``: the live answer after the edits is the notebook's answer before them. ``stored``: a
    fresh process gives the live answer of before the edits; False where storing must be refused.
    ``drifts``: what changed in place, so that what was captured can no longer be stored.
    ``fresh``: what a fresh process answers where that must differ. ``noted``: texts that the notes
    contain. ``files`` are local modules by name; ``edited_files`` replace them after the deploy.
    ``capture_first``: the notebook itself calls ``step`` only after the capture.
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


def case(name: str, cells: str, edits: str = "", **options: object) -> Case:
    """A case from text; ``---`` separates cells."""
    return Case(
        name,
        tuple(c.strip("\n") for c in cells.split("---\n")),
        tuple(c.strip("\n") for c in edits.split("---\n") if c.strip()),
        **options,  # type: ignore[arg-type]
    )
