"""Callers in a process of their own.

``python -m tests.benchmarks.faults.callers FOLDER KIND SEED`` with "async" or "sync" as KIND.

They call the server whose address is in ``FOLDER/address``, each exchange is a line of a journal
in ``FOLDER``, and they end when the address is empty. SIGUSR1 cuts the connections of the
asynchronous ones.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path

from tests.benchmarks.asking import Asker
from tests.benchmarks.faults.journal import (
    BROKEN,
    HUNG,
    PATIENCE_SECONDS,
    Ask,
    Exchange,
    Journal,
    take,
)
from tests.benchmarks.faults.work import NAMES
from tests.support.http import request

PAUSE, PAUSE_BROKEN = 0.03, 0.1  # seconds between two requests of a caller
PATIENCE = 40.0  # seconds for which a caller asks for the same thing
TOKEN = "test-token"

Caller = Generator[Ask, Exchange, None]


def calling(dice: random.Random, numbers: Iterator[int]) -> Caller:
    """Wait for answers."""
    while True:
        yield _ask("call", dice, numbers)


def submitting(dice: random.Random, numbers: Iterator[int]) -> Caller:
    """Start runs that nobody waits for, and ask for them until they have ended."""
    while True:
        ask = _ask("submit", dice, numbers)
        exchange = yield ask
        until = time.monotonic() + PATIENCE
        if exchange.status == 202 and exchange.run is not None:
            follow = Ask("run", ask.name, ask.number, run=exchange.run)
            while not exchange.over and time.monotonic() < until:
                exchange = yield follow


def insisting(dice: random.Random, numbers: Iterator[int]) -> Caller:
    """Repeat a request under its key until it is answered; later on, repeat answered ones."""
    answered: deque[Ask] = deque(maxlen=200)
    while True:
        ask = _ask("call", dice, numbers)
        ask.key = f"{ask.number}-{dice.random()}"
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            exchange = yield ask
            if exchange.status == 200 or exchange.replayed:
                answered.append(ask)
                break
        if answered and dice.random() < 0.5:
            yield dice.choice(answered)


def _ask(kind: str, dice: random.Random, numbers: Iterator[int]) -> Ask:
    seconds = 0.5 if dice.random() < 0.05 else dice.random() * 0.03
    timeout = dice.choice((2.0, 5.0, 10.0))
    return Ask(kind, dice.choice(NAMES), next(numbers), round(seconds, 4), timeout)


class Address:
    """Where the server is now; empty when the callers are to end."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "address"

    def __call__(self) -> str:
        return self._path.read_text()


def sync(folder: Path, name: str, caller: Caller, lock: threading.Lock, journal: Journal) -> None:
    """A thread with a connection for each request."""
    address = Address(folder)
    ask = next(caller)
    while url := address():
        method, path, body, headers = ask.request()
        headers["Authorization"] = f"token {TOKEN}"
        exchange = Exchange(name, ask, time.monotonic(), 0.0, BROKEN)
        try:
            limit = ask.timeout + PATIENCE_SECONDS
            answer = request(
                method, url + path, json_body=body, headers=headers, timeout=limit
            )  # fmt: skip
        except TimeoutError:
            exchange.status = HUNG
        except (OSError, http.client.HTTPException):
            pass
        else:
            exchange.status = answer.status
            take(exchange, answer.headers, answer.body)
        exchange.ended = time.monotonic()
        with lock:
            journal.write(exchange)
        time.sleep(PAUSE if exchange.status > 0 else PAUSE_BROKEN)
        ask = caller.send(exchange)


async def async_(
    folder: Path, name: str, caller: Caller, journal: Journal, askers: set[Asker]
) -> None:
    """A task with one connection, as long as that lasts."""
    address = Address(folder)
    ask, at = next(caller), ""
    asker = Asker("", TOKEN)
    while url := address():
        if url != at:
            askers.discard(asker)
            asker.close()
            asker, at = Asker(url, TOKEN), url
            askers.add(asker)
        method, path, body, headers = ask.request()
        exchange = Exchange(name, ask, time.monotonic(), 0.0, BROKEN)
        try:
            asking = asker.ask(method, path.removeprefix("/"), body, headers)
            answer = await asyncio.wait_for(asking, ask.timeout + PATIENCE_SECONDS)
        except TimeoutError:
            exchange.status = HUNG
            asker.close()
        except (OSError, EOFError):
            asker.close()
        else:
            exchange.status = answer.status
            take(exchange, answer.headers, answer.body)
        exchange.ended = time.monotonic()
        journal.write(exchange)
        await asyncio.sleep(PAUSE if exchange.status > 0 else PAUSE_BROKEN)
        ask = caller.send(exchange)
    asker.close()


async def many(folder: Path, callers: list[tuple[str, Caller]], journal: Journal) -> None:
    askers: set[Asker] = set()

    def cut() -> None:
        for asker in askers:
            asker.close()

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, cut)
    await asyncio.gather(*(async_(folder, n, c, journal, askers) for n, c in callers))


def main() -> None:
    folder, kind, seed = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    kinds = [calling, calling, insisting, insisting]
    if kind == "async":
        kinds += [submitting, submitting]
    first = 0 if kind == "async" else 500_000_000
    callers = []
    for index, make in enumerate(kinds):
        name = f"{kind}-{make.__name__}-{index}"
        numbers = itertools.count(first + index * 10_000_000)
        callers.append((name, make(random.Random(f"{seed} {name}"), numbers)))
    journal = Journal(folder / f"{kind}.journal")
    if kind == "async":
        asyncio.run(many(folder, callers, journal))
    else:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        lock = threading.Lock()
        threads = [
            threading.Thread(target=sync, args=(folder, name, caller, lock, journal))
            for name, caller in callers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    journal.close()


if __name__ == "__main__":
    main()
