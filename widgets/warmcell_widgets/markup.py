"""Pieces of HTML that every static view is made of. Every text that comes in is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

from warmcell_widgets import formatting as fmt
from warmcell_widgets.assets import style

Json: TypeAlias = Mapping[str, Any]


def wrap(body: str) -> str:
    """``body`` as a whole output: with the style sheet, below the one class that it applies to."""
    return f'<style>{style()}</style><div class="warmcell">{body}</div>'


def status_html(status: object) -> str:
    """A status as a coloured word with its mark."""
    name = text(status or "unknown")
    words = text(fmt.status_words(status))
    return f'<span class="wc-status wc-{name}">{fmt.mark(status)} {words}</span>'


def status_mark(status: object) -> str:
    """The mark of a status alone; the word is its tooltip."""
    words = text(fmt.status_words(status))
    return f'<span class="wc-status wc-{text(status)}" title="{words}">{fmt.mark(status)}</span>'


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numbers: Iterable[int] = (),
    clip: Iterable[int] = (),
) -> str:
    right, cut = set(numbers), set(clip)

    def cell(index: int, value: object) -> str:
        names = [name for name, on in (("wc-num", index in right), ("wc-clip", index in cut)) if on]
        marked = f' class="{" ".join(names)}"' if names else ""
        return f"<td{marked}>{text(fmt.clip(cell_text(value), 200))}</td>"

    head = "".join(
        f"<th{' class=wc-num' if index in right else ''}>{text(name)}</th>"
        for index, name in enumerate(columns)
    )
    body = "".join(
        f"<tr>{''.join(cell(index, value) for index, value in enumerate(row))}</tr>" for row in rows
    )
    return (
        f'<div class="wc-scroll"><table class="wc-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def cell_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else fmt.short(value, 200)


def values(values: object, label: str = "") -> str:
    """Names and values; a lone ``output`` without its name."""
    title = f'<p class="wc-label">{text(label)}</p>' if label else ""
    if not isinstance(values, Mapping):
        return f'{title}<pre class="wc-text">{text(fmt.long(values))}</pre>'
    rows = "".join(
        f"<dt>{text(name)}</dt><dd><pre>{text(fmt.long(value))}</pre></dd>"
        for name, value in values.items()
    )
    return f'{title}<dl class="wc-values">{rows}</dl>'


def fold(title: str, body: str, *, opened: bool = False) -> str:
    state = " open" if opened else ""
    return f'<details class="wc-part"{state}><summary>{text(title)}</summary>{body}</details>'


def count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def text(value: object) -> str:
    return escape("" if value is None else str(value))


def table_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as text, columns padded, cells cut at 60 characters."""
    cells = [[fmt.clip(cell_text(value), 60) for value in row] for row in rows]
    widths = [
        max(len(name), *(len(row[index]) for row in cells)) if cells else len(name)
        for index, name in enumerate(columns)
    ]
    lines = [list(columns), ["─" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in lines
    )
