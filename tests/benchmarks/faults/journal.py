"""The journal: one line for each exchange of a caller, and what it was told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

__all__ = [
    "BROKEN",
    "HANG_SECONDS",
    "HUNG",
    "PATIENCE_SECONDS",
    "Ask",
    "Exchange",
    "Journal",
    "read",
    "take",
]

BROKEN, HUNG = 0, -1  # instead of a status: the connection ended, or nothing came at all
HANG_SECONDS = 2.0  # beyond the deadline of a call
PATIENCE_SECONDS = 15.0  # beyond it, until a caller gives up: how late the answer was is to be seen
ENDED = ("succeeded", "failed", "cancelled", "timed_out", "lost")


class Ask(msgspec.Struct):
    """A request that a caller wants sent. ``kind`` is "call", "submit" or "run"."""

    kind: str
    name: str
    number: int = 0
    seconds: float = 0.0
    timeout: float = 5.0
    key: str | None = None
    run: str | None = None

    def request(self) -> tuple[str, str, Any, dict[str, str]]:
        """Method, path, body and headers."""
        if self.kind == "run":
            return "GET", f"warmcell/{self.name}/runs/{self.run}", None, {}
        headers = {} if self.key is None else {"Idempotency-Key": self.key}
        parameters = {"number": self.number, "seconds": self.seconds}
        body = {"parameters": parameters, "timeout": self.timeout}
        path = "submit" if self.kind == "submit" else "invoke"
        return "POST", f"warmcell/{self.name}/{path}", body, headers


class Exchange(msgspec.Struct, omit_defaults=True):
    """One request and what became of it; times of the monotonic clock, which all processes of a
    machine share. ``state`` is the end of its run that the caller was told."""

    who: str
    ask: Ask
    sent: float
    ended: float
    status: int
    run: str | None = None
    state: str | None = None
    snapshot: int | None = None
    number: int | None = None
    version: int | None = None
    mean: float | None = None
    replayed: bool = False
    text: str = ""  # of an answer that is no success

    @property
    def over(self) -> bool:
        """Whether the run has ended, as far as the caller was told."""
        return self.state in ENDED


def take(exchange: Exchange, headers: Mapping[str, str], body: bytes) -> Exchange:
    """Note what an answer says."""
    exchange.replayed = headers.get("idempotency-replayed") == "true"
    found: dict[str, Any] = {}
    with contextlib.suppress(msgspec.DecodeError):
        found = msgspec.json.decode(body)
    metadata = found.get("metadata") or found
    exchange.run = metadata.get("run_id")
    if exchange.status == 200:
        exchange.state = "succeeded" if exchange.ask.kind == "call" else found.get("status")
    if exchange.status == 200 and exchange.state == "succeeded":
        output = (found.get("outputs") or {}).get("output") or {}
        exchange.snapshot = metadata.get("snapshot")
        exchange.number, exchange.version = output.get("number"), output.get("version")
        exchange.mean = output.get("mean")
    if exchange.status not in (200, 202):
        exchange.text = body.decode(errors="replace")[:400]
    return exchange


class Journal:
    """A file of exchanges. One thread at a time may write."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, exchange: Exchange) -> None:
        self._file.write(msgspec.json.encode(exchange) + b"\n")

    def close(self) -> None:
        self._file.close()


def read(folder: Path) -> Iterator[Exchange]:
    """All exchanges of all journals in a folder."""
    decoder = msgspec.json.Decoder(Exchange)
    for path in sorted(folder.glob("*.journal")):
        for line in path.read_bytes().splitlines():
            yield decoder.decode(line)
