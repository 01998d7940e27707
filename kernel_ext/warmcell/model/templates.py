"""Names with places to fill in: ``run-{run.id[:8]}``, ``{date}``, ``{time}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from warmcell.errors import UsageError
from warmcell.options import close_match

__all__ = ["fill", "has_places"]

_PLACE = re.compile(r"\{([^{}\[\]]*)(?:\[(-?\d*):(-?\d*)\])?\}")


def has_places(text: str) -> bool:
    """Whether there is something to fill in."""
    return _PLACE.search(text) is not None


def fill(
    text: str,
    *,
    run_id: str,
    run_name: str | None,
    pipeline: str,
    time: int,
    more: Mapping[str, str] | None = None,
) -> str:
    """Fill in ``{run.id}``, ``{run.name}``, ``{pipeline.name}``, ``{date}`` and ``{time}``, each
    also as a part such as ``{run.id[:8]}``. ``time`` is in microseconds; what is written is UTC.
    ``more`` are places of the user's own.

    Raises :class:`UsageError` for a place that means nothing.
    """
    moment = datetime.fromtimestamp(time / 1_000_000, UTC)
    known: Mapping[str, str] = {
        "run.id": run_id,
        "run.name": run_name or run_id,
        "pipeline.name": pipeline,
        "date": f"{moment:%Y_%m_%d}",
        "time": f"{moment:%H_%M_%S_%f}",
        **(more or {}),
    }

    def filled(place: re.Match[str]) -> str:
        name, first, last = place.groups()
        value = known.get(name.strip())
        if value is None:
            raise UsageError(
                f"'{text}' has a place {{{name}}} that cannot be filled in.",
                hint=close_match(name, known) or f"There are {', '.join(known)}.",
            )
        if first is None:
            return value
        return value[int(first) if first else None : int(last) if last else None]

    return _PLACE.sub(filled, text)
