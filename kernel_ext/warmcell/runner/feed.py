"""What happens in a run, sent to the host while it happens, for whoever follows the run.

A feed reads what the run notes anyway. It is sent by one thread for all runs, at once after a
pause and else a few dozen times a second, so that a step that prints a lot does not flood the link;
pieces of output that follow each other become one.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from warmcell import wire
from warmcell.errors import LinkError
from warmcell.ids import now, rfc3339
from warmcell.records import ErrorInfo, LogRecord, StepRecord
from warmcell.redaction import MASK, Redaction
from warmcell.schemas.jsonform import qualified, to_json
from warmcell.utf8 import storable

if TYPE_CHECKING:
    from warmcell.runner.execution import Execution, Yielded

__all__ = ["Feed"]

SEND_SECONDS = 0.03
PRESSURE = 256  # yielded values that may wait before their step does
MOST_VALUE = 1 << 20  # bytes of one yielded value as JSON
MOST_TEXT = 1 << 16  # characters of output in one event

Send = Callable[[wire.Event], object]
log = logging.getLogger("warmcell.runner.feed")


def _plain(value: Any) -> Any:
    """A number of numpy's, say, that somebody reported as progress."""
    return value.item() if hasattr(value, "item") else str(value)


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


class _Step(msgspec.Struct):
    step: str
    index: int
    status: str
    upstream: tuple[str, ...]
    started_at: str | None
    finished_at: str | None
    error: dict[str, str | None] | None


class _Progress(msgspec.Struct):
    step: str
    done: float
    total: float | None
    message: str | None


class _Log(msgspec.Struct):
    time: str
    stream: str
    text: str
    step: str | None
    level: str | None


class _Output(msgspec.Struct, omit_defaults=True):
    step: str
    index: int
    value: msgspec.Raw
    attempt: int = 1


class _Item(NamedTuple):
    """Sorted by time; at the same time a step begins first and ends last."""

    time: int
    rank: int
    kind: str
    body: _Step | _Progress | _Log | _Output


class Feed:
    """Sends the events of one run, from its beginning on. May be used from any thread.

    Steps, logs and yielded values are taken from the run's own lists, so a feed that is attached
    while the run goes on also tells what happened before.
    """

    __slots__ = (
        "_closed", "_due", "_last", "_lock", "_logs", "_progress", "_run", "_running", "_send",
        "_steps",
    )  # fmt: skip

    def __init__(self, run: Execution, send: Send) -> None:
        self._run = run
        self._send = send
        self._lock = threading.Lock()
        self._steps = 0  # how many of each were sent
        self._logs = 0
        self._running: set[int] = set()  # steps whose beginning was sent
        self._progress: dict[str, tuple[int, _Progress]] = {}
        self._last = 0
        self._due = False
        self._closed = False

    @classmethod
    def attach(cls, run: Execution, send: Send) -> Feed:
        """Begin to send what happens in ``run``, and what has happened."""
        feed = run.feed = cls(run, send)
        feed.news()
        return feed

    def news(self) -> None:
        """Something happened: send it soon."""
        if not self._due:
            self._due = True
            _sender().add(self)

    def progress(self, step: str, done: float, total: float | None, message: str | None) -> None:
        """A step says how far it is; only the newest of what waits to be sent is."""
        text = None if message is None else storable(str(message))
        self._progress[step] = (now(), _Progress(step, done, total, text))
        self.news()

    def encode(self, value: Any, output: str) -> bytes:
        """The JSON of a value that was just yielded: later it may have changed. One without a JSON
        form, or that is too large, appears as ``{"$type": ...}``. What is to be masked is: others
        than the caller may follow a run, and its host keeps events for who comes late."""
        return _value(value, output, self._run.redaction)

    def pressed(self) -> Callable[[], object] | None:
        """What a step has to call before it yields more, where too much waits to be sent."""
        self.news()
        return self.flush if len(self._run.yields) > PRESSURE else None

    def flush(self) -> None:
        """Send everything there is."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Send the rest, and nothing after it."""
        with self._lock:
            self._flush()
            self._closed = True

    def _flush(self) -> None:
        if self._closed:
            return
        self._due = False  # before looking: what comes after it asks again
        try:
            for item in _joined(sorted(self._new(), key=lambda item: item[:2])):
                self._last = max(self._last + 1, item.time)
                data = _encode(item.body)
                self._send(wire.Event(self._run.run_id, self._last, item.kind, data))
        except LinkError:
            self._closed = True  # the host that wanted to know is gone

    def _new(self) -> Iterable[_Item]:
        run = self._run
        running = list(run.running.values())
        steps = run.steps[self._steps :]
        self._steps += len(steps)
        for step in steps:
            begun = step.index in self._running
            self._running.discard(step.index)
            if step.started_at is not None and not begun:
                yield _Item(step.started_at, 0, "step", _begun(step))
            ended = step.finished_at or now()
            yield _Item(ended, 2, "step", _step(step, step.status, step.finished_at))
        ended_now = {step.index for step in steps}
        for node, started in running:
            if node.index not in self._running and node.index not in ended_now:
                self._running.add(node.index)
                step = StepRecord(node.name, node.index, "running", started, None, 1, node.names)
                yield _Item(started, 0, "step", _begun(step))
        logs = run.logs[self._logs :]
        self._logs += len(logs)
        for record in logs:
            yield _Item(record.time, 1, "log", _log(record))
        values = run.yields[:]
        del run.yields[: len(values)]  # nobody else reads them
        for value in values:
            yield _Item(value.time, 1, "output", _output(value, run.redaction))
        for name in list(self._progress):
            moment, progress = self._progress.pop(name)
            yield _Item(moment, 1, "progress", progress)


def _joined(items: Iterable[_Item]) -> Iterable[_Item]:
    """Make pieces of output one that follow each other."""
    held: _Item | None = None
    for item in items:
        body, before = item.body, held.body if held is not None else None
        if isinstance(body, _Log) and isinstance(before, _Log):
            same = (body.stream, body.step, body.level) == (
                before.stream, before.step, before.level,
            )  # fmt: skip
            if same and len(before.text) + len(body.text) <= MOST_TEXT:
                before.text += body.text
                continue
        if held is not None:
            yield held
        held = item
    if held is not None:
        yield held


# -- forms -----------------------------------------------------------------------------------


def _begun(step: StepRecord) -> _Step:
    return _step(step, "running", None)


def _step(step: StepRecord, status: str, finished: int | None) -> _Step:
    return _Step(
        step.step,
        step.index,
        status,
        tuple(step.upstream),
        None if step.started_at is None else rfc3339(step.started_at),
        None if finished is None else rfc3339(finished),
        None if status == "running" or step.error is None else _error(step.error),
    )


def _error(error: ErrorInfo) -> dict[str, str | None]:
    """An error without its traceback, which is in the record of the run."""
    return {"type": error.type, "message": error.message, "hint": error.hint}


def _log(record: LogRecord) -> _Log:
    moment = rfc3339(record.time)
    return _Log(moment, record.stream, record.text, record.step, record.level)


def _output(value: Yielded, redaction: Redaction) -> _Output:
    data = value.data
    if data is None:
        data = _value(value.value, value.output, redaction)
    return _Output(value.step, value.number, msgspec.Raw(data), value.attempt)


def _value(value: Any, output: str, redaction: Redaction) -> bytes:
    data: bytes | None = None
    with contextlib.suppress(Exception):  # a value whose own code fails must not fail its run
        if redaction.active and redaction.covers(output, value):
            return _encode(MASK)
        data = to_json(value)
    if data is None:
        return _encode({"$type": qualified(type(value))})
    if len(data) > MOST_VALUE:
        return _encode({"$type": qualified(type(value)), "$size": len(data)})
    return redaction.json(data, output) if redaction.active else data


# -- sending ---------------------------------------------------------------------------------


class _Sender:
    """The thread that sends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._due: queue.SimpleQueue[Feed] = queue.SimpleQueue()
        thread = threading.Thread(target=self._run, name="warmcell-feed", daemon=True)
        contextvars.Context().run(thread.start)

    def add(self, feed: Feed) -> None:
        self._due.put(feed)

    def _run(self) -> None:
        sent = 0.0
        while True:
            feeds = {self._due.get()}
            pause = sent + SEND_SECONDS - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            with contextlib.suppress(queue.Empty):
                while True:
                    feeds.add(self._due.get_nowait())
            for feed in feeds:
                try:
                    feed.flush()
                except Exception:
                    log.exception("Events of a run could not be sent")
            sent = time.monotonic()


_one: _Sender | None = None
_one_lock = threading.Lock()


def _sender() -> _Sender:
    """The sender of this process; a forked child gets its own."""
    global _one
    found = _one
    if found is None or found.pid != os.getpid():
        with _one_lock:
            if _one is None or _one.pid != os.getpid():
                _one = _Sender()
            found = _one
    return found
