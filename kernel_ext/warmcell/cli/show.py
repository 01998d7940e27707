"""What commands print."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["as_json", "note", "outputs", "pairs", "run", "table", "value"]

WIDEST = 60


def as_json(thing: Any) -> None:
    """Print JSON that people can read as well."""
    print(json.dumps(thing, indent=2, ensure_ascii=False, default=str))


def note(text: str) -> None:
    """Say something beside the result."""
    print(text, file=sys.stderr)


def value(thing: Any) -> None:
    """Print one result: a text as it is, anything else as JSON."""
    print(thing if isinstance(thing, str) else json.dumps(thing, indent=2, ensure_ascii=False))


def outputs(found: Mapping[str, Any] | None) -> None:
    """Print what came out of a run: the value itself where there is one."""
    if not found:
        return
    value(next(iter(found.values())) if len(found) == 1 else dict(found))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Print a table; ``empty`` on standard error where there are no rows."""
    if not rows:
        note(empty)
        return
    lines = [[name.upper() for name in columns], *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())


def pairs(found: Mapping[str, Any]) -> None:
    """Print names and values below each other."""
    width = max(map(len, found))
    for name, thing in found.items():
        if thing is None or thing == []:
            continue
        shown = thing if isinstance(thing, list) else [thing]
        for number, one in enumerate(shown):
            print(f"{'' if number else name:<{width}}  {_text(one)}")


def run(described: Mapping[str, Any]) -> None:
    """Print one run: its state, its steps, what it wrote and what came out."""
    error = described.get("error") or {}
    pairs(
        {
            "run": described["run_id"],
            "name": described.get("run_name"),
            "pipeline": described.get("pipeline"),
            "deployment": described.get("deployment"),
            "status": described["status"],
            "queued ahead": described.get("queued_ahead"),
            "created": described.get("created_at"),
            "seconds": described.get("duration"),
            "parameters": described.get("parameters"),
            "outputs": described.get("outputs"),
            "error": f"{error['type']}: {error['message']}" if error else None,
        }
    )
    if described.get("steps"):
        print()
        table(
            ["step", "status", "seconds", "attempts"],
            [
                [s["step"], s["status"], _seconds(s.get("duration")), s.get("attempts")]
                for s in described["steps"]
            ],
            "",
        )
    if described.get("logs"):
        print()
        print("".join(str(log["text"]) for log in described["logs"]).rstrip())
    if error.get("traceback"):
        print()
        print(str(error["traceback"]).rstrip())


def _seconds(found: Any) -> str:
    return "" if found is None else f"{float(found):.3f}"


def _text(thing: Any) -> str:
    if isinstance(thing, str):
        return thing
    return json.dumps(thing, ensure_ascii=False, default=str)


def _cell(thing: Any) -> str:
    text = "" if thing is None else " ".join(_text(thing).split())
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
