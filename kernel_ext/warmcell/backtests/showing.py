"""A backtest as text and as HTML: the figures, then the answers that changed most."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from warmcell.answers import ABSENT, Difference

if TYPE_CHECKING:
    from warmcell.backtests.backtest import Backtest, Row

__all__ = ["facts", "page", "text"]

_ROWS = 20
_PLACES = 3  # of one answer
_CHANGES = 10
_WIDTH = 60
_COLUMNS = ("run", "place", "before", "now", "change", "in proportion")


def title(backtest: Backtest) -> str:
    """The outcome in one sentence."""
    runs, changed, errors = len(backtest.rows), len(backtest.changed), len(backtest.errors)
    what = f"Backtest of `{backtest.pipeline}` on {_calls(runs)} of '{backtest.deployment}'"
    if not runs:
        return f"{what}: nothing was compared."
    same = runs - changed - errors
    return (
        f"{what}: {changed} changed ({backtest.changed_share:.1%}), {errors} failed, "
        f"{same} the same."
    )


def facts(backtest: Backtest) -> list[str]:
    """What else there is to know, in sentences."""
    found = [f"{_calls(count)} not replayed: {why}." for why, count in backtest.reasons().items()]
    if backtest.latency is not None:
        found.append(f"Execution time: {backtest.latency}.")
    changes = sorted(backtest.changes.values(), key=lambda one: -one.count)
    found += [f"{change}." for change in changes[:_CHANGES]]
    if len(changes) > _CHANGES:
        found.append(f"And {len(changes) - _CHANGES} other places changed: see .changes.")
    found += backtest.notes
    if backtest.rows:
        found.append("Its steps were really executed, with what they write, send or delete.")
    return found


def text(backtest: Backtest) -> str:
    """All of it for a terminal."""
    lines = [title(backtest), *(f"  {fact}" for fact in facts(backtest))]
    for heading, table in _tables(backtest):
        widths = [max(len(line[at]) for line in table) for at in range(len(table[0]))]
        lines += ["", heading]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        ]
    return "\n".join(lines)


def page(backtest: Backtest) -> str:
    """All of it for a notebook; static."""
    listed = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts(backtest))
    parts = [f"<p><b>{html.escape(title(backtest))}</b></p>", f"<ul>{listed}</ul>"]
    for heading, table in _tables(backtest):
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table[0])
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>"
            for line in table[1:]
        )
        parts.append(
            f"<p>{html.escape(heading)}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )
    return "".join(parts)


def _tables(backtest: Backtest) -> list[tuple[str, list[Sequence[str]]]]:
    found: list[tuple[str, list[Sequence[str]]]] = []
    errors, changed = backtest.errors, backtest.changed
    if errors:
        lines = [(row.run_id, *_error(row)) for row in errors[:_ROWS]]
        heading = f"Failed now{_first(len(errors))}:"
        found.append((heading, [("run", "step", "error"), *lines]))
    if changed:
        lines_ = [line for row in changed[:_ROWS] for line in _differences(row)]
        heading = f"Changed, the largest first{_first(len(changed))}:"
        found.append((heading, [_COLUMNS, *lines_]))
    return found


def _first(count: int) -> str:
    return f" ({_ROWS} of {count})" if count > _ROWS else ""


def _error(row: Row) -> tuple[str, str]:
    assert row.error is not None
    return row.error.step or "", _short(f"{row.error.type}: {row.error.message}", 2 * _WIDTH)


def _differences(row: Row) -> list[Sequence[str]]:
    order = sorted(row.differences, key=_weight, reverse=True)[:_PLACES]
    lines: list[Sequence[str]] = [
        (
            row.run_id if not at else "",
            found.path or "the answer",
            _value(found.before),
            _value(found.after),
            "" if found.change is None else f"{found.change:+.4g}",
            _relative(found),
        )
        for at, found in enumerate(order)
    ]
    if row.count > _PLACES:
        lines.append(("", f"and {row.count - _PLACES} more", "", "", "", ""))
    return lines


def _weight(found: Difference) -> tuple[bool, float, float]:
    return (found.absolute is None, found.relative or 0.0, found.absolute or 0.0)


def _relative(found: Difference) -> str:
    if found.relative is None:
        return ""
    return f"{found.relative:.2%}" if math.isfinite(found.relative) else "from 0"


def _value(value: Any) -> str:
    return str(ABSENT) if value is ABSENT else _short(json.dumps(value, ensure_ascii=False))


def _short(words: str, most: int = _WIDTH) -> str:
    words = " ".join(words.split())
    return words if len(words) <= most else words[: most - 1] + "…"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
