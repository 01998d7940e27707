"""``warmcell logs``: what runs wrote, searched."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator

from warmcell.cli import show
from warmcell.cli.given import client
from warmcell.errors import UsageError
from warmcell.remote.logs import FILTERS, LogLine

__all__ = ["search"]


def search(given: Namespace) -> int:
    """Print the newest lines that fit, the oldest of them first; like ``grep``, 1 if none does."""
    if given.regex and not given.grep:
        raise UsageError("--regex says how --grep is meant.", hint="Add --grep.")
    filters = {name: getattr(given, name) for name in FILTERS}
    found = client(given).search_logs(given.grep, regex=given.regex, limit=given.limit, **filters)
    if given.json:
        show.as_json([piece._asdict() for piece in found])
    else:
        for piece in reversed(found):
            for line in _lines(piece, given.grep, regex=given.regex):
                where = " ".join(filter(None, (piece.run_id, piece.step)))
                print(f"{piece.time[:19]}  {where}  {line}")
        if not found:
            show.note("No lines.")
    return 0 if found or not given.grep else 1


def _lines(piece: LogLine, text: str | None, *, regex: bool) -> Iterator[str]:
    """The lines of a piece that have the text: a piece may have several lines."""
    lines = piece.text.splitlines()
    if not text:
        yield from lines
        return
    try:
        pattern = re.compile(text if regex else re.escape(text), re.IGNORECASE)
    except re.error:  # DuckDB knows forms that Python does not
        yield from lines
        return
    fitting = [line for line in lines if pattern.search(line)]
    yield from fitting or lines
