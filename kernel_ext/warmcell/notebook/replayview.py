"""How a replay shows itself: its steps, done, next and waiting, and what came out."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warmcell.artifacts import describe

if TYPE_CHECKING:
    from warmcell.replayed import Replay

__all__ = ["as_html", "as_text"]

_MARKS = {"succeeded": "✓", "failed": "✗", "timed_out": "✗", "next": "▸"}
_COLUMNS = ("", "step", "now", "in the run", "seconds", "variable", "value")
_DIFFERENCES = 10  # shown; all are in ``differences``
_WIDEST = 100


def as_text(replay: Replay) -> str:
    """The replay as text."""
    rows = [list(_COLUMNS), *_rows(replay)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([_title(replay), *lines, *_notes(replay)])


def as_html(replay: Replay) -> str:
    """The replay as a table."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in _COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>"
        for row in _rows(replay)
    )
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in _notes(replay))
    return (
        f"<p><b>{html.escape(_title(replay))}</b></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
    )


def _title(replay: Replay) -> str:
    where = "as this kernel serves it" if replay.warm else "as it is stored"
    title = f"Replay of run {replay.run.id} of {replay.run.pipeline}, snapshot {replay.snapshot} "
    return f"{title}({where}): {replay.status}"


def _rows(replay: Replay) -> Sequence[list[str]]:
    return [
        [
            _MARKS.get(step["status"], "·"),
            step["name"],
            step["status"],
            step["was"] or "",
            "" if step["seconds"] is None else f"{step['seconds']:.3g}",
            step["variable"] or "",
            _brief(replay[step["name"]]) if step["name"] in replay else "",
        ]
        for step in replay.steps
    ]


def _notes(replay: Replay) -> list[str]:
    notes = []
    bound = [f"{replay.variables[n]}" for n in replay.inputs if n in replay.variables]
    if bound:
        notes.append(f"Inputs: {', '.join(bound)}.")
    if replay.replaced:
        names = ", ".join(replay.replaced)
        notes.append(f"Variables that had another value before, kept in replay.replaced: {names}.")
    error = replay.run.error
    if error and error.get("step") == replay.next and replay.next is not None:
        notes.append(f"In the run {replay.next} raised {error['type']}: {error['message']}")
    if replay.next is not None:
        notes.append(
            f"{replay.next} waits: replay.step() executes it, replay.resume() all that is left."
        )
    if replay.error is not None:
        notes.append(f"Raised {type(replay.error).__name__}: {replay.error}")
    return [*notes, *_answer(replay)]


def _answer(replay: Replay) -> list[str]:
    if replay.status != "succeeded":
        return []
    if replay.run.status != "succeeded":
        return [f"It succeeds now; the run was {replay.run.status}."]
    found, skipped = replay.differences, replay.uncompared
    notes = [f"Not compared, as the history has no value of it: {', '.join(skipped)}."]
    notes = notes if skipped else []
    if not found:
        return ["The answer is that of the run.", *notes]
    notes.append(f"The answer differs from that of the run in {len(found)} places:")
    notes += [_cut(f"  {difference}") for difference in found[:_DIFFERENCES]]
    return notes


def _brief(value: Any) -> str:
    record = describe("", "", value)
    text = record.preview or (bytes(record.value).decode() if record.value is not None else "")
    return _cut(f"{record.type} {text}".strip())


def _cut(text: str) -> str:
    text = text.rstrip() if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
    return text.replace("\n", " ")
