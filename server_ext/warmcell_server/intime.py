"""Waiting for the store no longer than a caller has time.

A store whose owner ended, or does not answer, comes back when another host has opened it; who
calls meanwhile hears so before the deadline of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import TypeVar

from warmcell.errors import Unavailable

__all__ = ["STORE_SECONDS", "in_time", "read"]

STORE_SECONDS = 5.0  # that anybody who calls waits for the store
LEAST_SECONDS = 1.0  # for a look into a store that has work to do

T = TypeVar("T")


async def in_time(work: Awaitable[T], seconds: float = STORE_SECONDS) -> T:
    """Await ``work`` for so many seconds, at least 1 and at most 5.

    Raises :class:`Unavailable` where it takes longer; it is cancelled then.
    """
    limit = min(max(seconds, LEAST_SECONDS), STORE_SECONDS)
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        raise Unavailable(
            f"The store did not answer within {limit:.2g} s. The process that had it open may have "
            "ended just now, or be stopped.",
            retry_after=1,
            hint="Send the request again.",
        ) from None


async def read(future: Future[T], seconds: float = STORE_SECONDS) -> T:
    """What the store answers, see :func:`in_time`."""
    return await in_time(asyncio.wrap_future(future), seconds)
