"""The events of runs: kept for a while, so that who follows one may begin late and come back."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakSet

import msgspec

from warmcell import wire
from warmcell.errors import NotFound, Unavailable
from warmcell.ids import now

__all__ = ["Events", "Happening", "Subscription"]

MOST_EVENTS = 4_000  # that are kept of one run
MOST_BYTES = 4 << 20
MOST_FOLLOWERS = 1_000  # streams at once
MOST_ENDED = 2_000  # runs that are kept after their end
MOST_ENDED_BYTES = 32 << 20
KEEP_SECONDS = 600.0  # after the end of a run
OVERHEAD = 200  # bytes that an event takes beside its data

_encode = msgspec.json.Encoder().encode


class Happening(NamedTuple):
    """One event. ``id`` grows within a run and is about its time in microseconds; ``kind`` is
    "run", "step", "progress", "log", "output" or "dropped", and at the end "done" or "error";
    ``data`` is JSON."""

    id: int
    kind: str
    data: bytes


class _Ring:
    """The newest events of one run."""

    __slots__ = (
        "changed", "deployment", "dropped", "dropped_id", "ended", "events", "last", "size", "user",
    )  # fmt: skip

    def __init__(self, deployment: str | None, user: str | None) -> None:
        self.deployment = deployment
        self.user = user
        self.events: deque[Happening] = deque()
        self.size = 0
        self.last = 0  # the newest id
        self.dropped = 0  # how many events are not kept any more
        self.dropped_id = 0  # the newest id of these
        self.ended = 0  # when, 0 before
        self.changed: set[asyncio.Event] = set()

    def add(self, identifier: int, kind: str, data: bytes) -> None:
        self.last = max(self.last + 1, identifier)
        self.events.append(Happening(self.last, kind, data))
        self.size += len(data) + OVERHEAD
        while len(self.events) > MOST_EVENTS or (self.size > MOST_BYTES and len(self.events) > 1):
            gone = self.events.popleft()
            self.size -= len(gone.data) + OVERHEAD
            self.dropped += 1
            self.dropped_id = gone.id
        self.tell()

    def tell(self) -> None:
        for changed in self.changed:
            changed.set()


class Subscription:
    """Somebody who follows a run, from the first event after id ``after`` on."""

    def __init__(self, ring: _Ring, after: int) -> None:
        self._ring = ring
        self._after = after
        self._next = ring.dropped + sum(event.id <= after for event in ring.events)
        self._closed = False
        self._changed = asyncio.Event()
        ring.changed.add(self._changed)

    async def take(self, seconds: float | None = None) -> list[Happening] | None:
        """The events that are new, once there are any; none after ``seconds``; None after the
        terminal one, or when this was closed. What the follower was too slow or too late for is
        one event "dropped", with the ids ``after`` and ``until`` which it lacks events."""
        ring = self._ring
        while not self._closed:
            self._changed.clear()
            if found := self._found():
                return found
            if ring.ended:
                break
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                return []
        self.close()
        return None

    def _found(self) -> list[Happening]:
        ring = self._ring
        found = []
        if ring.dropped_id > self._after:
            data = _encode({"after": self._after, "until": ring.dropped_id})
            found.append(Happening(ring.dropped_id, "dropped", data))
        self._next = max(self._next, ring.dropped)
        found.extend(islice(ring.events, self._next - ring.dropped, None))
        self._next = ring.dropped + len(ring.events)
        self._after = ring.last
        return found

    @property
    def begun(self) -> bool:
        """Whether anything is known beside the run's own state."""
        return bool(self._ring.ended) or any(event.kind != "run" for event in self._ring.events)

    @property
    def exhausted(self) -> bool:
        """Whether the run has ended and its follower has everything."""
        return bool(self._ring.ended) and self._after >= self._ring.last

    async def news(self, seconds: float) -> None:
        """Wait for the next event, at most so long; it is still there to be taken."""
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def close(self) -> None:
        """Follow no more. Harmless when repeated."""
        self._closed = True
        self._ring.changed.discard(self._changed)
        self._changed.set()


class Events:
    """The events of all runs that somebody follows or may come to follow. Belongs to the host's
    event loop."""

    def __init__(self) -> None:
        self._rings: dict[str, _Ring] = {}
        self._ended: OrderedDict[str, _Ring] = OrderedDict()  # the oldest end first
        self._ended_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._followers: WeakSet[Subscription] = WeakSet()

    def knows(self, run_id: str) -> bool:
        """Whether the events of that run are here."""
        return run_id in self._rings

    def open(self, run_id: str, deployment: str | None, user: str | None = None) -> None:
        """Begin to keep the events of a run that ``user`` made; harmless when repeated."""
        if run_id not in self._rings:
            self._rings[run_id] = _Ring(deployment, user)

    def made_by(self, run_id: str) -> tuple[str | None, str | None]:
        """The deployment and the user of a run that is known."""
        ring = self._rings[run_id]
        return ring.deployment, ring.user

    def state(self, run_id: str, status: str, **fields: Any) -> None:
        """A run is queued or running now."""
        ring = self._rings.get(run_id)
        if ring is not None and not ring.ended:
            head = {"run_id": run_id, "status": status, "deployment": ring.deployment}
            ring.add(now(), "run", _encode({**head, **fields}))

    def received(self, message: wire.Event) -> None:
        """A worker tells what happened."""
        ring = self._rings.get(message.run_id)
        if ring is not None and not ring.ended:
            ring.add(message.id, message.kind, message.data)

    def end(self, run_id: str, kind: str, data: bytes) -> None:
        """A run has ended: ``kind`` is "done" or "error"."""
        ring = self._rings.get(run_id)
        if ring is None or ring.ended:
            return
        ring.ended = now()
        ring.add(ring.ended, kind, data)
        self._ended[run_id] = ring
        self._ended_bytes += ring.size
        self._forget()

    def subscribe(self, run_id: str, after: int = 0) -> Subscription:
        """Follow a run. Raises :class:`NotFound` where it is not known, and :class:`Unavailable`
        where too many are followed."""
        ring = self._rings.get(run_id)
        if ring is None:
            raise NotFound(f"The events of run '{run_id}' are not here.")
        if len(self._followers) >= MOST_FOLLOWERS:
            raise Unavailable(
                f"{MOST_FOLLOWERS} streams of events are open, which is the limit of a server.",
                retry_after=10,
                hint="Ask for the run now and then instead: GET runs/{id} with Prefer: wait=30.",
            )
        found = Subscription(ring, after)
        self._followers.add(found)
        return found

    def close(self) -> None:
        """End for all who follow."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for ring in self._rings.values():
            ring.ended = ring.ended or now()
            ring.tell()
        self._rings.clear()
        self._ended.clear()

    def _forget(self) -> None:
        """Let go of the runs that ended long ago, and of more where there are too many."""
        oldest = now() - int(KEEP_SECONDS * 1_000_000)
        while self._ended:
            run_id, ring = next(iter(self._ended.items()))
            full = len(self._ended) > MOST_ENDED or self._ended_bytes > MOST_ENDED_BYTES
            if ring.ended > oldest and not full:
                if self._timer is None:
                    seconds = (ring.ended - oldest) / 1_000_000
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(max(1.0, seconds), self._forget_more)
                return
            del self._ended[run_id], self._rings[run_id]
            self._ended_bytes -= ring.size

    def _forget_more(self) -> None:
        self._timer = None
        self._forget()
