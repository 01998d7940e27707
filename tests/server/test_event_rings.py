"""What is kept of the events of runs, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from warmcell import wire
from warmcell.errors import NotFound
from warmcell_server import events as module
from warmcell_server.events import Events, Happening, Subscription


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 20))


async def everything(subscription: Subscription) -> list[Happening]:
    found: list[Happening] = []
    while (events := await subscription.take()) is not None:
        found.extend(events)
    return found


def tell(hub: Events, run_id: str, count: int, data: bytes = b"{}") -> None:
    for number in range(1, count + 1):
        hub.received(wire.Event(run_id, number, "log", data))


def test_ids_grow_whatever_they_are_told() -> None:
    """Clocks of two processes need not agree to a microsecond."""

    async def check() -> None:
        hub = Events()
        hub.open("a", "name")
        hub.state("a", "running")
        tell(hub, "a", 3)
        hub.end("a", "done", b"{}")
        tell(hub, "a", 3)  # too late
        hub.state("a", "running")
        found = await everything(hub.subscribe("a"))
        assert [event.kind for event in found] == ["run", "log", "log", "log", "done"]
        assert [event.id for event in found] == sorted({event.id for event in found})
        hub.close()

    run(check())


def test_who_waits_is_woken_and_who_came_late_gets_the_rest() -> None:
    """Several at once, each at its own place."""

    async def check() -> None:
        hub = Events()
        hub.open("a", None)
        tell(hub, "a", 2)
        first, second = hub.subscribe("a"), hub.subscribe("a", after=1)
        assert [event.id for event in await first.take() or []] == [1, 2]
        assert [event.id for event in await second.take() or []] == [2]
        assert await first.take(0.01) == []
        waiting = asyncio.gather(everything(first), everything(second))
        await asyncio.sleep(0)
        hub.end("a", "error", b"{}")
        for found in await waiting:
            assert [event.kind for event in found] == ["error"]
        assert first.exhausted
        late = hub.subscribe("a")
        late.close()
        assert await late.take() is None
        hub.close()

    run(check())


def test_too_much_of_one_run_is_dropped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by size; who has it already hears nothing of that."""
    monkeypatch.setattr(module, "MOST_EVENTS", 5)

    async def check() -> None:
        hub = Events()
        hub.open("a", None)
        tell(hub, "a", 3)
        slow, quick = hub.subscribe("a"), hub.subscribe("a")
        await quick.take()
        for number in range(4, 9):
            hub.received(wire.Event("a", number, "log", b"{}"))
        hub.received(wire.Event("a", 9, "log", b"{}"))
        found = await slow.take() or []
        assert [(event.kind, event.id) for event in found] == [
            ("dropped", 4), ("log", 5), ("log", 6), ("log", 7), ("log", 8), ("log", 9),
        ]  # fmt: skip
        assert msgspec.json.decode(found[0].data) == {"after": 0, "until": 4}
        assert [event.kind for event in await quick.take() or []] == ["dropped"] + ["log"] * 5
        assert [event.id for event in await hub.subscribe("a", after=4).take() or []] == [
            5, 6, 7, 8, 9,
        ]  # fmt: skip
        hub.received(wire.Event("a", 10, "output", b" " * (module.MOST_BYTES + 1)))
        kinds = [event.kind for event in await hub.subscribe("a").take() or []]
        assert kinds == ["dropped", "output"]
        hub.close()

    run(check())


def test_runs_that_ended_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first: after a while, and where there are too many, by number and by size."""
    monkeypatch.setattr(module, "MOST_ENDED", 3)
    monkeypatch.setattr(module, "MOST_ENDED_BYTES", 10_000)

    async def check() -> None:
        hub = Events()
        for name in "abcde":
            hub.open(name, None)
        for name in "abcd":
            hub.end(name, "done", b"{}")
        assert [name for name in "abcde" if hub.knows(name)] == ["b", "c", "d", "e"]
        with pytest.raises(NotFound):
            hub.subscribe("a")
        hub.end("e", "done", b" " * 9_500)
        assert [name for name in "abcde" if hub.knows(name)] == ["d", "e"]
        monkeypatch.setattr(module, "KEEP_SECONDS", 0.0)
        hub.open("f", None)
        hub.end("f", "done", b"{}")
        assert not any(map(hub.knows, "abcdef"))
        hub.close()

    run(check())


def test_a_host_that_closes_ends_all_streams() -> None:
    """Nobody waits for a run that nobody can tell of."""

    async def check() -> None:
        hub = Events()
        hub.open("a", None)
        waiting = asyncio.ensure_future(everything(hub.subscribe("a")))
        await asyncio.sleep(0)
        hub.close()
        assert await waiting == []

    run(check())
