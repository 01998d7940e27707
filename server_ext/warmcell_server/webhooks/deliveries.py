"""Webhooks: the end of a run is posted to its ``callback_url``, again and again if need be.

What is on its way is in the store before the first attempt, and is taken over by another host when
this one dies: a receiver hears of every end at least once, under the same ``webhook-id``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import msgspec

from warmcell.errors import StoreError
from warmcell.ids import now
from warmcell.records import DeliveryEntry, DeliveryRecord
from warmcell.tracing import derive
from warmcell_server.webhooks.egress import Egress
from warmcell_server.webhooks.posting import Delivery, Outcome, Poster
from warmcell_server.webhooks.signing import Secret, Signing

if TYPE_CHECKING:
    from warmcell_server.store import Store

__all__ = ["SCHEDULE", "Webhooks"]

# Seconds before each attempt, as Standard Webhooks proposes: 3.3 days in all.
SCHEDULE = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1  # of a pause, at most, comes on top: receivers that fail together recover apart
TIMEOUT = 20.0
AT_ONCE = 32  # attempts
AT_ONCE_PER_RECEIVER = 4  # so that one that hangs does not hold up the others
HORIZON = 600.0  # seconds: what is due later waits in the store, not in memory
SWEEP = 300.0  # seconds between two looks into the store
MOST = 4000  # deliveries in memory
MOST_PER_RECEIVER = 500
CLOSING = 3.0  # seconds that attempts under way get at the end

log = logging.getLogger("warmcell.webhooks")
_random = random.SystemRandom()


class Webhooks:
    """The deliveries of one host. Belongs to the host's event loop, but for :meth:`check`,
    :meth:`secret` and :meth:`rotate`, which any thread may call.

    ``allow`` lists hosts and networks that may be called though they are not public; ``schedule``
    has the pause before each attempt and ``timeout`` is that of an attempt, in seconds. Raises
    :class:`UsageError` for an entry of ``allow`` that cannot be one.
    """

    def __init__(
        self,
        store: Store,
        home: Path,
        host_id: str,
        *,
        allow: Sequence[str] = (),
        schedule: Sequence[float] = SCHEDULE,
        timeout: float = TIMEOUT,
    ) -> None:
        self._store = store
        self._host_id = host_id
        self._schedule = schedule
        self._timeout = timeout
        self._egress = Egress(allow)
        self._signing = Signing(home)
        self._poster: Poster
        self._held: dict[str, Delivery] = {}
        self._counts: Counter[str] = Counter()  # of those held, by receiver
        self._left: set[str] = set()  # receivers for which more is due than may be held
        self._look = asyncio.Event()  # there is room again for what was left
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._lanes: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._let_go: set[str] | None = None  # by id, while the store is looked at
        self._sweeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver, first what was left behind by hosts that died."""
        self._poster = Poster(self._egress, self._signing, self._timeout)
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep_always())

    async def close(self) -> None:
        """End; what is not delivered stays in the store. Harmless when repeated."""
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is None:
            return
        sweeper.cancel()
        await asyncio.wait([sweeper])
        for delivery_id in list(self._timers):
            self._timers[delivery_id].cancel()
            if (self._held[delivery_id].record.next_at or 0) <= now():
                self._begin(self._held[delivery_id])
        self._timers.clear()
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=CLOSING)
        for attempt in self._attempts:
            attempt.cancel()
        if self._attempts:
            await asyncio.wait(self._attempts)
        self._held.clear()
        self._poster.close()

    # -- what the dispatcher says ------------------------------------------------------------

    def check(self, url: str) -> None:
        """Refuse a ``callback_url`` that can never be called; asks no name server.

        Raises :class:`ParameterError` with the pointer ``/callback_url``.
        """
        self._egress.check(url)

    def expect(self, *, run_id: str, deployment: str, url: str) -> None:
        """A run with a callback was admitted: should this host die first, another one will tell
        how it ended. Raises :class:`StoreError`."""
        self._store.append(DeliveryEntry(self._record(run_id, deployment, url, now(), None)))

    def deliver(
        self,
        *,
        run_id: str,
        deployment: str,
        status: str,
        url: str,
        traceparent: str | None = None,
        finished_at: int | None = None,
    ) -> None:
        """A run with a callback ended. Returns at once; what cannot be recorded for lack of room
        is still tried."""
        moment = now()
        record = self._record(run_id, deployment, url, finished_at or moment, moment)
        self._keep(record)
        self._hold(Delivery(record, status, self._run_url(deployment, run_id), traceparent))

    def _record(
        self, run_id: str, deployment: str, url: str, created_at: int, next_at: int | None
    ) -> DeliveryRecord:
        return DeliveryRecord(
            delivery_id=f"msg_{run_id}",
            run_id=run_id,
            deployment=deployment,
            url=url,
            status="pending",
            created_at=created_at,
            updated_at=now(),
            next_at=next_at,
            host_id=self._host_id,
        )

    def _run_url(self, deployment: str, run_id: str) -> str:
        return f"{self._store.url}{deployment}/runs/{run_id}"

    def _keep(self, record: DeliveryRecord) -> None:
        try:
            self._store.append(DeliveryEntry(record))
        except StoreError as failure:
            log.error("The callback of run %s could not be recorded: %s", record.run_id, failure)

    # -- secrets -----------------------------------------------------------------------------

    def secret(self, deployment: str) -> Secret:
        """The secret that signs a deployment's deliveries; waits for the disk.

        Raises :class:`StoreError` if it cannot be read or made.
        """
        return self._signing.secret(deployment)

    def rotate(self, deployment: str) -> Secret:
        """A new secret; for a day the one before signs as well. Waits for the disk.

        Raises :class:`StoreError` if it cannot be written.
        """
        return self._signing.rotate(deployment)

    # -- attempts ----------------------------------------------------------------------------

    def _hold(self, delivery: Delivery) -> None:
        """Try a delivery when it is due, or leave it to a later look into the store."""
        record = delivery.record
        pause = max(0.0, ((record.next_at or 0) - now()) / 1_000_000)
        if self._sweeper is None or pause > HORIZON:
            return
        receiver = _receiver(record.url)
        if len(self._held) >= MOST or self._counts[receiver] >= MOST_PER_RECEIVER:
            self._left.add(receiver)
            return
        self._held[record.delivery_id] = delivery
        self._counts[receiver] += 1
        loop = asyncio.get_running_loop()
        self._timers[record.delivery_id] = loop.call_later(pause, self._begin, delivery)

    def _begin(self, delivery: Delivery) -> None:
        self._timers.pop(delivery.record.delivery_id, None)
        attempt = asyncio.get_running_loop().create_task(self._attempt(delivery))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)

    async def _attempt(self, delivery: Delivery) -> None:
        receiver = _receiver(delivery.record.url)
        lane = self._lanes.get(receiver)
        if lane is None:
            lane = self._lanes[receiver] = asyncio.Semaphore(AT_ONCE_PER_RECEIVER)
        async with lane, self._places:
            try:
                outcome = await self._poster.post(delivery)
            except Exception:
                # An outermost edge: whatever a receiver does must not end its retries.
                log.exception("The callback of run %s failed", delivery.record.run_id)
                outcome = Outcome("retry", error="It failed; the server's log has the cause.")
        self._tried(delivery, outcome)

    def _tried(self, delivery: Delivery, outcome: Outcome) -> None:
        """Record an attempt, and plan the next one where there is to be one."""
        record = delivery.record
        attempts, moment = record.attempts + 1, now()
        status, next_at, error = outcome.kind, None, outcome.error
        if outcome.kind == "retry":
            if attempts < len(self._schedule):
                pause = self._schedule[attempts] * (1 + _random.uniform(0, JITTER))
                next_at = moment + int(max(pause, outcome.retry_after) * 1_000_000)
            else:
                error = f"{error} That was attempt {attempts}, the last."
        delivery.record = msgspec.structs.replace(
            record,
            status=("pending" if next_at else "failed") if status == "retry" else status,
            updated_at=moment,
            attempts=attempts,
            next_at=next_at,
            response=outcome.response,
            error=error,
        )
        self._release(record)
        if self._let_go is not None:
            self._let_go.add(record.delivery_id)
        self._keep(delivery.record)
        if next_at is not None:
            self._hold(delivery)
        elif outcome.kind != "delivered":
            log.warning("The callback of run %s was not delivered: %s", record.run_id, error)

    def _release(self, record: DeliveryRecord) -> None:
        receiver = _receiver(record.url)
        del self._held[record.delivery_id]
        self._counts[receiver] -= 1
        count = self._counts[receiver]
        if count == 0:
            del self._counts[receiver]
        if receiver in self._left and count <= MOST_PER_RECEIVER // 2:
            self._look.set()

    # -- what is in the store ----------------------------------------------------------------

    async def _sweep_always(self) -> None:
        while True:
            try:
                await self._sweep()
            except StoreError as error:
                log.warning("Callbacks in the store could not be looked at: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), SWEEP)

    async def _sweep(self) -> None:
        """Hold what is due soon, of this host and of hosts that died."""
        self._look.clear()
        self._left.clear()
        self._let_go = let_go = set[str]()
        until = now() + int(HORIZON * 1_000_000)
        try:
            rows = await asyncio.wrap_future(
                self._store.take_deliveries(until=until, limit=MOST, each=MOST_PER_RECEIVER)
            )
        finally:
            self._let_go = None
        for row in rows:
            delivery_id = row["delivery_id"]
            # Since it was read it may have been tried: then what was read is out of date.
            if delivery_id not in self._held and delivery_id not in let_go:
                self._hold(self._taken(row))
        found = Counter(_receiver(row["url"]) for row in rows)
        self._left |= {name for name, count in found.items() if count >= MOST_PER_RECEIVER}

    def _taken(self, row: dict[str, Any]) -> Delivery:
        status, traceparent = row.pop("run_status"), row.pop("traceparent")
        record = msgspec.convert(row, DeliveryRecord)
        url = self._run_url(record.deployment, record.run_id)
        return Delivery(record, status, url, traceparent or derive(record.run_id))


def _receiver(url: str) -> str:
    return urlsplit(url).netloc.lower()
