"""One attempt to tell a caller's URL that a run ended, as Standard Webhooks says."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from weakref import WeakSet

import msgspec
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import IOStream
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from tornado.tcpclient import TCPClient

import warmcell
from warmcell.errors import StoreError
from warmcell.ids import rfc3339
from warmcell.records import DeliveryRecord
from warmcell_server.webhooks.egress import CheckedResolver, Egress, EgressRefused
from warmcell_server.webhooks.signing import Signing

__all__ = ["Delivery", "Outcome", "Poster"]

CONNECT_SECONDS = 10.0
LONGEST_RETRY = 24 * 3600.0  # seconds that a receiver may put an attempt off
ANSWER_BYTES = 1 << 20  # of the answer only the status and a header count
MOST = 64  # attempts at once that the client lets through; who calls keeps below

log = logging.getLogger("warmcell.webhooks")

_STATUS_LINE = re.compile(r"HTTP/\S+ (\d{3})")


@dataclass(eq=False)
class Delivery:
    """The news of a run's end on its way. ``status`` is the run's; ``run_url`` where it can be
    asked for; ``traceparent`` that of its call."""

    record: DeliveryRecord
    status: str
    run_url: str
    traceparent: str | None = None

    def body(self) -> bytes:
        """The JSON to post: the same in all attempts. ``timestamp`` is when the run ended."""
        record = self.record
        return msgspec.json.encode(
            {
                "type": f"run.{self.status}",
                "timestamp": rfc3339(record.created_at),
                "data": {
                    "run_id": record.run_id,
                    "deployment": record.deployment,
                    "status": self.status,
                    "url": self.run_url,
                },
            }
        )


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. ``failed`` and ``refused`` are final, ``retry`` is not; ``response``
    is the HTTP status, None without one; ``retry_after`` in seconds is the receiver's wish."""

    kind: Literal["delivered", "retry", "failed", "refused"]
    response: int | None = None
    error: str | None = None
    retry_after: float = 0.0


class _Head:
    """The status and the headers of an answer, known before its body has arrived."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after: str | None = None

    def line(self, text: str) -> None:
        if match := _STATUS_LINE.match(text):
            self.status, self.retry_after = int(match[1]), None
        name, _, value = text.partition(":")
        if name.lower() == "retry-after":
            self.retry_after = value.strip()


class _Connections(TCPClient):
    """Knows the connections that are open: the client itself leaves them to their timeout."""

    def __init__(self, resolver: Resolver) -> None:
        super().__init__(resolver)
        self._open: WeakSet[IOStream] = WeakSet()

    async def connect(self, *args: Any, **options: Any) -> IOStream:
        stream = await super().connect(*args, **options)
        self._open.add(stream)
        return stream

    def end(self) -> None:
        for stream in list(self._open):
            stream.close()


class Poster:
    """Posts deliveries. ``timeout`` is that of an attempt, in seconds. Belongs to an event loop."""

    def __init__(self, egress: Egress, signing: Signing, timeout: float) -> None:
        self._signing = signing
        self._timeout = timeout
        self._resolver = CheckedResolver(egress=egress)
        self._client = SimpleAsyncHTTPClient(
            force_instance=True,
            max_clients=MOST,
            resolver=self._resolver,
            max_body_size=ANSWER_BYTES,
        )
        self._client.tcp_client = self._connections = _Connections(resolver=self._resolver)

    async def post(self, delivery: Delivery) -> Outcome:
        """Try once. Whatever goes wrong is an outcome."""
        try:
            request = await self._request(delivery)
        except StoreError as error:
            log.error("Callback of run %s: %s", delivery.record.run_id, error)
            return Outcome("retry", error="It could not be signed; the server's log has the cause.")
        head = _Head()
        request.header_callback = head.line
        error_text = None
        try:
            await self._client.fetch(request, raise_error=False)
        except EgressRefused as error:
            return Outcome("refused", error=str(error))
        except (HTTPClientError, OSError, ValueError) as error:
            error_text = _text(error)
        return _judge(head, error_text or "The receiver closed the connection.")

    async def _request(self, delivery: Delivery) -> HTTPRequest:
        record, body = delivery.record, delivery.body()
        moment = datetime.now(UTC)
        signature = await asyncio.to_thread(
            self._signing.sign, record.deployment, record.delivery_id, moment, body.decode()
        )
        headers = {
            "Content-Type": "application/json",
            "webhook-id": record.delivery_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
        }
        if delivery.traceparent:
            headers["traceparent"] = delivery.traceparent
        return HTTPRequest(
            record.url,
            method="POST",
            headers=headers,
            body=body,
            connect_timeout=min(CONNECT_SECONDS, self._timeout),
            request_timeout=self._timeout,
            follow_redirects=False,
            decompress_response=False,
            user_agent=f"Warmcell/{warmcell.__version__}",
            streaming_callback=lambda chunk: None,
        )

    def close(self) -> None:
        """Let go of the client, its connections and its threads."""
        self._client.close()
        self._connections.end()
        self._resolver.close()


def _judge(head: _Head, trouble: str) -> Outcome:
    """What an answer means; its status counts even if its body is too long or does not end."""
    status = head.status
    if status is None or status < 200:
        return Outcome("retry", error=trouble)
    if status < 300:
        return Outcome("delivered", status)
    if status == 410:
        return Outcome("failed", status, "The receiver answered 410: it wants no more.")
    what = "a redirect, which is not followed" if status < 400 else "no success"
    error = f"The receiver answered {status}: {what}."
    return Outcome("retry", status, error, _seconds(head.retry_after))


def _seconds(retry_after: str | None) -> float:
    """Read a ``Retry-After``: seconds or a date; 0 for none and for nonsense, a day at most."""
    if not retry_after:
        return 0.0
    if retry_after.isdecimal():
        return min(float(retry_after), LONGEST_RETRY)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), LONGEST_RETRY)


def _text(error: Exception) -> str:
    """Say in one sentence why an attempt got no answer."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"The receiver was not reached: {reason}."
