"""Running generators to their end: each value is told as it is yielded.

The value of such a step is what its generator returns, or, where that is None, the list of what it
yielded.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Protocol

__all__ = ["drain", "drain_async"]


class Yielded(Protocol):
    """Is told each value and how many came before it; says whether to wait for who follows."""

    def __call__(self, number: int, value: Any, /) -> Callable[[], object] | None: ...


def drain(
    generator: Generator[Any, None, Any],
    step: Callable[[Callable[..., Any], Any], Any],
    told: Yielded,
) -> Any:
    """Run a generator to its end. ``step`` calls a function of the user's code; what it raises
    ends the generator, which is closed in any case."""
    values: list[Any] = []
    try:
        while True:
            try:
                value = step(next, generator)
            except StopIteration as end:
                return values if end.value is None else end.value
            wait = told(len(values), value)
            values.append(value)
            if wait is not None:
                wait()
    finally:
        generator.close()


async def drain_async(generator: AsyncGenerator[Any, None], told: Yielded) -> list[Any]:
    """Run an async generator to its end, on the event loop."""
    values: list[Any] = []
    async with contextlib.aclosing(generator):
        async for value in generator:
            wait = told(len(values), value)
            values.append(value)
            if wait is not None:
                await asyncio.to_thread(wait)
            else:
                await asyncio.sleep(0)  # one that awaits nothing must not hold the loop
    return values
