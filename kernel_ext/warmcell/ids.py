"""Ids and times: UUIDv7 strings, microseconds since the epoch."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

__all__ = ["created", "new_id", "now", "rfc3339"]


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562, section 5.7), its 12 ``rand_a`` bits holding the fraction of
    the millisecond (section 6.2, method 3), so that ids of one process sort by time."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    tail = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    value = milliseconds << 80 | 0x7 << 76 | (rest * 4096 // 1_000_000) << 64 | tail
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def created(identifier: str) -> int:
    """When an id was made, in milliseconds since the epoch; 0 for one that is no UUIDv7."""
    try:
        return int(identifier[:8] + identifier[9:13], 16)
    except ValueError:
        return 0


def now() -> int:
    """Return the time in microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


def rfc3339(microseconds: int) -> str:
    """Return a time of :func:`now` as RFC 3339 text, UTC with ``Z``."""
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
