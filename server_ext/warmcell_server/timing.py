"""``Server-Timing``: how long a call waited and how long its steps took, for browsers' tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

__all__ = ["server_timing"]

MOST = 40  # steps that are listed; a mapped step may run a thousand times
NAME = 64  # characters of a name

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def server_timing(queued: int, steps: Sequence[tuple[str, int]]) -> str:
    """Return the header's value: ``queue`` and each step in order, their durations in milliseconds.

    ``queued`` and the durations of ``steps`` are in microseconds. What is not listed for its number
    is summed up as ``rest``.
    """
    parts = [f"queue;dur={queued / 1000}"]
    parts += [_entry(number, name, took) for number, (name, took) in enumerate(steps[:MOST])]
    if len(steps) > MOST:
        rest = sum(took for _, took in steps[MOST:])
        parts.append(f'rest;dur={rest / 1000};desc="{len(steps) - MOST} more steps"')
    return ", ".join(parts)


def _entry(number: int, name: str, took: int) -> str:
    if len(name) <= NAME and _TOKEN.fullmatch(name):
        return f"{name};dur={took / 1000}"
    # A header cannot carry every name that Python allows.
    return f'step-{number};dur={took / 1000};desc="{quote(name[:NAME], safe=" []()")}"'
