"""Values as short text: times, durations, sizes, JSON. Pure functions, nothing escaped yet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MARKS = {
    "queued": "○",
    "running": "◐",
    "succeeded": "✓",
    "failed": "✗",
    "cancelled": "⊘",
    "timed_out": "⏱",
    "lost": "?",
    "skipped": "·",
    "serving": "●",
    "restoring": "◐",
    "resting": "○",
    "detached": "◌",
    "removed": "·",
}

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def status_words(status: object) -> str:
    """``timed_out`` as ``timed out``; an unknown or missing status as itself."""
    return str(status or "unknown").replace("_", " ")


def mark(status: object) -> str:
    """One character for a status."""
    return MARKS.get(str(status), "·")


def duration(seconds: object) -> str:
    """Seconds as three significant figures with a unit; ``""`` where there is no number."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds != seconds:
        return ""
    if seconds < 0.001:
        return f"{max(seconds, 0.0) * 1e6:.0f} µs"
    if seconds < 0.995:
        return f"{_figures(seconds * 1e3)} ms"
    if seconds < 60:
        return f"{_figures(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _figures(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def moment(value: object) -> datetime | None:
    """An RFC 3339 text or microseconds since the epoch as a UTC time; ``None`` for neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1e6, UTC)
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return None
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return None


def clock(value: object) -> str:
    """A time as ``2026-11-21 02:19:05 UTC``; ``""`` where there is none."""
    when = moment(value)
    return when.strftime("%Y-%m-%d %H:%M:%S UTC") if when else ""


def between(start: object, end: object) -> float | None:
    """Seconds from ``start`` to ``end``, or ``None`` where one is missing."""
    first, last = moment(start), moment(end)
    return (last - first).total_seconds() if first and last else None


def run_seconds(run: Mapping[str, Any]) -> float | None:
    """How long a run or a step took, in seconds."""
    given = run.get("duration")
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    return between(run.get("started_at"), run.get("finished_at"))


def short_id(identifier: object) -> str:
    """The end of an id: a UUIDv7 begins with the time, its end tells runs apart."""
    text = str(identifier or "")
    return text if len(text) <= 8 else text[-8:]


def size(count: object) -> str:
    """Bytes with a unit; ``""`` where there is no number."""
    if not isinstance(count, int | float) or isinstance(count, bool):
        return ""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def clip(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters, the last one an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def plain(text: object) -> str:
    """``text`` without terminal colours."""
    return _ANSI.sub("", str(text))


def short(value: object, limit: int = 80) -> str:
    """A JSON value on one line."""
    return clip(_dump(value, limit), limit)


def long(value: object, limit: int = 4000) -> str:
    """A JSON value over several lines where one would be too long, a text as it is. Says when it
    leaves some out."""
    text = value[: limit + 1] if isinstance(value, str) else _dump(value, limit)
    if len(text) > 72 and isinstance(value, dict | list):
        text = _dump(value, limit, indent=2)
    return f"{text[:limit]}…\n(cut here)" if len(text) > limit else text


def pairs(values: object, limit: int = 80) -> str:
    """A JSON object as ``name: value, name: value`` on one line."""
    if values is None:
        return ""
    if not isinstance(values, Mapping):
        return short(values, limit)
    return clip(
        ", ".join(f"{name}: {short(value, limit)}" for name, value in values.items()), limit
    )


def _dump(value: object, limit: int, indent: int | None = None) -> str:
    """``value`` as JSON, at least the first ``limit`` characters: a value may be huge."""
    if isinstance(value, str):
        text = value[: limit + 1]
        bare = indent is None and text and "\n" not in text
        return text if bare else json.dumps(text, ensure_ascii=False)
    pieces: list[str] = []
    length = 0
    for piece in json.JSONEncoder(ensure_ascii=False, indent=indent, default=str).iterencode(value):
        pieces.append(piece)
        length += len(piece)
        if length > limit:
            break
    return "".join(pieces)
