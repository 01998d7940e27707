"""Webhooks: signed as Standard Webhooks says, retried until they arrive, never lost, never inside.

The receivers are real servers on 127.0.0.1; ``standardwebhooks`` verifies what they get.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.receiver import Posted, Receiver, receiver
from warmcell.errors import ParameterError
from warmcell.ids import new_id, now, rfc3339
from warmcell.records import DeliveryEntry, RunEntry, RunRecord, Status
from warmcell.secretfile import SecretFile
from warmcell_server.store import Store
from warmcell_server.webhooks.deliveries import (
    AT_ONCE_PER_RECEIVER,
    MOST_PER_RECEIVER,
    SCHEDULE,
    Webhooks,
)
from warmcell_server.webhooks.signing import _Secrets

WAIT = 90.0  # seconds; a bound for what must happen, never a measure
URL = "http://127.0.0.1:8888/warmcell/"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
QUICK = (0, 0.01, 0.01)


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Open the store of the test once more, as another host; all end with the test."""
    opened: list[Store] = []

    def open_() -> Store:
        store = Store.open(tmp_path / ".warmcell", host_id=new_id(), label="a test", url=URL)
        opened.append(store)
        return store

    yield open_
    for store in reversed(opened):
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


def hooks(store: Store, **options: Any) -> Webhooks:
    options = {"allow": ["127.0.0.1"], "schedule": QUICK} | options
    return Webhooks(store, store.home, store.host_id, **options)


@asynccontextmanager
async def running(store: Store, **options: Any) -> AsyncIterator[Webhooks]:
    made = hooks(store, **options)
    made.start()
    try:
        yield made
    finally:
        await made.close()


def ended(store: Store, status: Status = "succeeded", **changes: Any) -> str:
    """Record a run in that state, and return its id."""
    moment = now()
    finished = None if status in ("queued", "running") else moment
    record = RunRecord(
        new_id(), "p", status, moment, deployment="churn", finished_at=finished, traceparent=TRACE
    )
    store.append(RunEntry(record))
    return record.run_id


def tell(webhooks: Webhooks, store: Store, url: str, status: Status = "succeeded") -> str:
    run_id = ended(store, status)
    webhooks.deliver(run_id=run_id, deployment="churn", status=status, url=url, traceparent=TRACE)
    return run_id


async def when(
    store: Store, run_id: str, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Wait until what the history says of a run's delivery is so."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    end = store.subscribe(lambda: loop.call_soon_threadsafe(changed.set))
    try:
        async with asyncio.timeout(WAIT):
            while True:
                changed.clear()
                run = await asyncio.wrap_future(store.get_run(run_id))
                if run["deliveries"] and holds(run["deliveries"][0]):
                    assert len(run["deliveries"]) == 1
                    found: dict[str, Any] = run["deliveries"][0]
                    return found
                await changed.wait()
    finally:
        end()


def over(delivery: dict[str, Any]) -> bool:
    return delivery["status"] != "pending"


def tried(times: int) -> Callable[[dict[str, Any]], bool]:
    return lambda delivery: delivery["attempts"] == times


def verify(posted: Posted, secret: str) -> Any:
    return Webhook(secret).verify(posted.body, posted.headers)


async def got(target: Receiver) -> Posted:
    return await asyncio.to_thread(target.next)


def hang(target: list[Receiver]) -> Callable[[BaseHTTPRequestHandler], None]:
    """A reply that comes when the receiver is released."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        target[0].release.wait(WAIT)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    return reply


# -- what arrives ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "timed_out", "lost"])
def test_the_end_of_a_run_arrives_signed(store: Store, status: Status) -> None:
    """With the headers of Standard Webhooks and a thin body that says where to ask for more."""

    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            before = now()
            run_id = tell(webhooks, store, target.url, status)
            posted = await got(target)
            delivery = await when(store, run_id, over)
            body = verify(posted, webhooks.secret("churn").current)
        moment = body.pop("timestamp")
        assert rfc3339(before) <= moment <= rfc3339(now())
        assert body == {
            "type": f"run.{status}",
            "data": {
                "run_id": run_id,
                "deployment": "churn",
                "status": status,
                "url": f"{URL}churn/runs/{run_id}",
            },
        }
        assert posted.path == "/hook"
        assert posted.headers["content-type"] == "application/json"
        assert posted.headers["webhook-id"] == f"msg_{run_id}"
        assert posted.headers["traceparent"] == TRACE
        assert posted.headers["user-agent"].startswith("Warmcell/")
        assert delivery["status"] == "delivered"
        assert (delivery["attempts"], delivery["response"]) == (1, 204)
        assert delivery["url"] == target.url
        assert delivery["next_at"] is delivery["reason"] is None

    with receiver() as target:
        asyncio.run(scenario(target))


def test_a_forged_delivery_does_not_verify(store: Store) -> None:
    """Neither another body nor another deployment's secret."""

    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            tell(webhooks, store, target.url)
            posted = await got(target)
            forged = Posted(posted.path, posted.headers, posted.body.replace(b"succ", b"fail"))
            with pytest.raises(WebhookVerificationError):
                verify(forged, webhooks.secret("churn").current)
            with pytest.raises(WebhookVerificationError):
                verify(posted, webhooks.secret("other").current)

    with receiver() as target:
        asyncio.run(scenario(target))


def test_after_a_rotation_both_secrets_sign_for_a_day(store: Store) -> None:
    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            old = webhooks.secret("churn").current
            new = webhooks.rotate("churn").current
            assert old != new
            tell(webhooks, store, target.url)
            posted = await got(target)
            for secret in (old, new):
                verify(posted, secret)

            def a_day_later(secrets: _Secrets) -> _Secrets:
                secrets.webhooks["churn"].previous_until = now() - 1
                return secrets

            SecretFile(store.home / "secrets.json", _Secrets).change(a_day_later)
            tell(webhooks, store, target.url)
            posted = await got(target)
            verify(posted, new)
            with pytest.raises(WebhookVerificationError):
                verify(posted, old)

    with receiver() as target:
        asyncio.run(scenario(target))


def test_a_secret_stays_the_same_and_has_the_form_of_one(store: Store) -> None:
    secret = hooks(store).secret("churn").current
    assert secret.startswith("whsec_")
    assert hooks(store).secret("churn").current == secret
    assert len(Webhook(secret)._whsecret) >= 24


# -- retries ---------------------------------------------------------------------------------


def test_it_is_tried_again_until_it_arrives(store: Store) -> None:
    """The same message each time, with a signature of its own; a redirect is not followed."""

    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            run_id = tell(webhooks, store, target.url)
            posted = [await got(target) for _ in range(3)]
            delivery = await when(store, run_id, over)
            for one in posted:
                verify(one, webhooks.secret("churn").current)
        assert {one.path for one in posted} == {"/hook"}
        assert len({one.headers["webhook-id"] for one in posted}) == 1
        assert len({one.body for one in posted}) == 1
        assert (delivery["status"], delivery["attempts"]) == ("delivered", 3)
        assert target.empty

    with receiver((500, {}), (302, {"Location": "/elsewhere"}), (200, {})) as target:
        asyncio.run(scenario(target))


def test_after_the_last_attempt_it_has_failed(store: Store) -> None:
    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            run_id = tell(webhooks, store, target.url)
            delivery = await when(store, run_id, over)
        assert (delivery["status"], delivery["attempts"]) == ("failed", 3)
        assert delivery["response"] == 404
        assert delivery["reason"] == (
            "The receiver answered 404: no success. That was attempt 3, the last."
        )
        assert target.count == 3

    with receiver((404, {})) as target:
        asyncio.run(scenario(target))


def test_a_receiver_that_is_gone_is_left_alone(store: Store) -> None:
    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            run_id = tell(webhooks, store, target.url)
            delivery = await when(store, run_id, over)
        assert (delivery["status"], delivery["attempts"]) == ("failed", 1)
        assert "410" in delivery["reason"]

    with receiver((410, {})) as target:
        asyncio.run(scenario(target))


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_receiver_can_put_it_off(store: Store, form: str) -> None:
    """With Retry-After; what is due much later waits in the store, and nothing is posted twice."""
    later = datetime.now(UTC) + timedelta(hours=2)
    value = "7200" if form == "seconds" else format_datetime(later, usegmt=True)

    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            run_id = tell(webhooks, store, target.url)
            delivery = await when(store, run_id, tried(1))
            assert webhooks._held == {}
        assert (delivery["status"], delivery["response"]) == ("pending", 503)
        due = datetime.fromisoformat(delivery["next_at"])
        assert abs((due - later).total_seconds()) < 300
        for until, count in ((later - timedelta(hours=1), 0), (later + timedelta(hours=1), 1)):
            rows = store.take_deliveries(
                until=int(until.timestamp() * 1_000_000), limit=10, each=10
            )
            assert len(rows.result(WAIT)) == count
        assert target.count == 1

    with receiver((503, {"Retry-After": value})) as target:
        asyncio.run(scenario(target))


def test_the_pauses_are_those_of_the_standard_with_jitter(store: Store) -> None:
    assert SCHEDULE == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)

    async def scenario(target: Receiver) -> None:
        pauses = set()
        async with running(store, schedule=(0, 100)) as webhooks:
            for _ in range(4):
                run_id = tell(webhooks, store, target.url)
                delivery = await when(store, run_id, tried(1))
                tried_at, next_at = map(
                    datetime.fromisoformat, (delivery["updated_at"], delivery["next_at"])
                )
                pauses.add((next_at - tried_at).total_seconds())
        assert all(100 <= pause <= 110 for pause in pauses)
        assert len(pauses) > 1

    with receiver((500, {})) as target:
        asyncio.run(scenario(target))


def test_nobody_there_is_a_reason_to_try_again(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def scenario() -> None:
        async with running(store) as webhooks:
            run_id = tell(webhooks, store, f"http://127.0.0.1:{port}/")
            delivery = await when(store, run_id, over)
        assert (delivery["status"], delivery["attempts"]) == ("failed", 3)
        assert delivery["response"] is None
        assert "not reached" in delivery["reason"]

    asyncio.run(scenario())


def test_a_receiver_that_never_answers_is_given_up(store: Store) -> None:
    async def scenario(target: Receiver) -> None:
        async with running(store, schedule=(0,), timeout=0.2) as webhooks:
            run_id = tell(webhooks, store, target.url)
            delivery = await when(store, run_id, over)
        assert delivery["status"] == "failed"
        assert "Timeout" in delivery["reason"]

    held: list[Receiver] = []
    with receiver(hang(held)) as target:
        held.append(target)
        asyncio.run(scenario(target))


def flood(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    for _ in range(64):
        handler.wfile.write(b"x" * (1 << 16))


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


def early_hints(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "status", "response"),
    [(flood, "delivered", 200), (nonsense, "failed", None), (early_hints, "delivered", 200)],
)
def test_odd_answers_are_taken_for_what_they_are(
    store: Store, answer: Any, status: str, response: int | None
) -> None:
    """An endless body does not undo a 200; what is no HTTP is no success."""

    async def scenario(target: Receiver) -> None:
        async with running(store) as webhooks:
            delivery = await when(store, tell(webhooks, store, target.url), over)
        assert (delivery["status"], delivery["response"]) == (status, response)

    with receiver(answer) as target:
        asyncio.run(scenario(target))


# -- where it may go -------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
def test_an_address_inside_gets_nothing(store: Store, host: str) -> None:
    """Also where the name shows its address only when it is connected to."""

    async def scenario(target: Receiver) -> None:
        async with running(store, allow=[]) as webhooks:
            with pytest.raises(ParameterError):
                webhooks.check(f"http://{host}:{target.port}/")
            run_id = tell(webhooks, store, f"http://{host}:{target.port}/")
            delivery = await when(store, run_id, over)
        assert (delivery["status"], delivery["attempts"]) == ("refused", 1)
        assert "callback_allow" in delivery["reason"]
        assert target.count == 0

    with receiver() as target:
        asyncio.run(scenario(target))


def test_a_receiver_that_hangs_does_not_hold_up_another(store: Store) -> None:
    """Each gets a few at once; everything arrives exactly once where it can."""

    async def scenario(target: Receiver, slow: Receiver) -> None:
        async with running(store) as webhooks:
            for _ in range(60):
                tell(webhooks, store, slow.url)
            runs = {tell(webhooks, store, target.url) for _ in range(200)}
            posted = [(await got(target)).json()["data"]["run_id"] for _ in runs]
            assert sorted(posted) == sorted(runs)
            assert slow.count <= AT_ONCE_PER_RECEIVER
            slow.release.set()
            for _ in range(60):
                await got(slow)
            assert target.empty
        assert len(webhooks._lanes) == 0

    held: list[Receiver] = []
    with receiver() as target, receiver(hang(held)) as slow:
        held.append(slow)
        asyncio.run(scenario(target, slow))


def test_more_than_may_be_held_arrives_too(store: Store) -> None:
    """What is too much for the memory waits in the store, and holds up nobody else."""

    async def scenario(target: Receiver, slow: Receiver) -> None:
        many = MOST_PER_RECEIVER * 2 + 50
        async with running(store) as webhooks:
            for _ in range(many):
                tell(webhooks, store, slow.url)
            assert len(webhooks._held) == MOST_PER_RECEIVER
            run_id = tell(webhooks, store, target.url)
            assert (await got(target)).json()["data"]["run_id"] == run_id
            slow.release.set()
            ids = {(await got(slow)).headers["webhook-id"] for _ in range(many)}
            assert len(ids) == many
            assert slow.empty

    held: list[Receiver] = []
    with receiver() as target, receiver(hang(held)) as slow:
        held.append(slow)
        asyncio.run(scenario(target, slow))


# -- hosts that go away ----------------------------------------------------------------------


def test_another_host_goes_on_where_one_died(open_store: Callable[[], Store]) -> None:
    """With the attempts counted on and the same message: what was due, what a run's end was to
    start, and what never began."""
    first, second = open_store(), open_store()

    async def scenario(target: Receiver) -> None:
        async with running(first, schedule=(0, 400)) as webhooks:
            failed = tell(webhooks, first, target.url)
            await when(first, failed, tried(1))
            record = webhooks._held[f"msg_{failed}"].record
        refused = await got(target)
        first.append(DeliveryEntry(msgspec.structs.replace(record, next_at=now())))
        unheard = tell(webhooks, first, target.url)  # closed already: only recorded
        unfinished = ended(first, "running")
        webhooks.expect(run_id=unfinished, deployment="churn", url=target.url)

        until = now() + 3_600_000_000
        alive = await asyncio.wrap_future(second.take_deliveries(until=until, limit=10, each=10))
        assert alive == [], "a host that lives keeps its own"
        await asyncio.to_thread(first.close)

        async with running(second) as webhooks:
            later = [await got(target) for _ in range(3)]
            attempts = [
                (await when(second, run_id, over))["attempts"]
                for run_id in (failed, unheard, unfinished)
            ]
            for one in later:
                verify(one, webhooks.secret("churn").current)
                assert one.headers["traceparent"] == TRACE
        types = {one.json()["data"]["run_id"]: one.json()["type"] for one in later}
        assert types == {failed: "run.succeeded", unheard: "run.succeeded", unfinished: "run.lost"}
        assert refused.body in [one.body for one in later]
        assert attempts == [2, 1, 1]
        assert target.empty

    with receiver((500, {}), (200, {})) as target:
        asyncio.run(scenario(target))


def test_a_run_that_goes_on_is_not_told(store: Store, open_store: Callable[[], Store]) -> None:
    """What only waits for the end of its run is nobody's to deliver while its host lives."""
    run_id = ended(store, "running")
    hooks(store).expect(run_id=run_id, deployment="churn", url="http://127.0.0.1:1/")
    for one in (store, open_store()):
        until = now() + 3_600_000_000
        assert one.take_deliveries(until=until, limit=10, each=10).result(WAIT) == []


def test_closing_lets_go_of_what_does_not_end(store: Store) -> None:
    """It stays in the store as it was, for the next host."""

    async def scenario(target: Receiver) -> str:
        async with running(store) as webhooks:
            run_id = tell(webhooks, store, target.url)
            await got(target)
        delivery = await when(store, run_id, tried(0))
        assert delivery["status"] == "pending"
        return run_id

    held: list[Receiver] = []
    with receiver(hang(held)) as target:
        held.append(target)
        asyncio.run(scenario(target))


def test_deliveries_go_with_their_runs(store: Store) -> None:
    """By age, as everything else of a run."""
    run_id = ended(store)
    hooks(store).deliver(run_id=run_id, deployment="churn", status="succeeded", url="http://a/")
    count = "SELECT count(*) FROM deliveries"
    assert store.sql(count).result(WAIT).rows == [[1]]
    store.prune(max_age_days=0).result(WAIT)
    assert store.sql(count).result(WAIT).rows == [[0]]
