"""The worker's end of the link: connect to the host, serve its calls, ask it things.

Reading and serving share threads ("leader and followers"): the thread that reads a call executes it
at once when such calls are known to be short, so that a call costs no hand-over between threads.
When a call is not known to be short, another thread takes over the reading first; when one that
should have been short is not, a watchdog has another thread take over (the idea of Go's sysmon).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from warmcell import unsent, wire
from warmcell.delays import cells
from warmcell.errors import LinkError, Unavailable
from warmcell.serving import Serving
from warmcell.vitals import Meter
from warmcell.wire import LENGTH, MAX_FRAME

__all__ = ["Connection", "LinkStatus", "connect"]

CONNECT_SECONDS = 10.0
WATCHDOG_SECONDS = 0.004
IDLE_SECONDS = 0.1
SHORT = 0.002  # a call predicted to take less than this stays on the reader, seconds

log = logging.getLogger("warmcell.link")


class LinkStatus(NamedTuple):
    """Where this kernel's host is. ``mode`` is "server", "embedded" or "none"."""

    mode: str
    url: str = ""
    base_path: str = ""
    home: str = ""
    blobs: str = ""
    host_id: str = ""


class Connection:
    """One connection to a host, with the threads that serve it."""

    def __init__(
        self,
        connection: socket.socket,
        welcome: wire.Welcome,
        rest: bytes,
        serving: Serving,
        ended: Callable[[], None],
    ) -> None:
        self.welcome = welcome
        self.serving = serving
        serving.blobs = Path(welcome.blobs)
        self.closed = threading.Event()
        self.pid = os.getpid()
        self._socket = connection
        self._buffer = bytearray(rest)
        self._write_lock = threading.Lock()
        self._lead_lock = threading.Lock()
        self._followers: list[threading.Semaphore] = []
        self._term = 0  # grows with each change of the leader
        self._busy_since = 0.0  # when the leader began a call itself, 0 while it reads
        self._served_at = 0.0
        self._active = threading.Event()
        self._requests = itertools.count(1)
        self._replies: dict[int, queue.SimpleQueue[wire.Reply | None] | _Awaited] = {}
        self._ended = ended
        self._vitals = Meter(self._report)
        self._spawn(self._lead_first, "warmcell-link")
        self._spawn(self._watch, "warmcell-watchdog")
        self.follow_holdings()

    @property
    def status(self) -> LinkStatus:
        w = self.welcome
        return LinkStatus(w.mode, w.url, w.base_path, w.home, w.blobs, w.host_id)

    @staticmethod
    def _spawn(target: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    # -- sending -----------------------------------------------------------------------------

    def send(self, message: wire.ToHost) -> None:
        """Send one message; from any thread. Raises LinkError when the connection is gone, and
        ``ValueError`` for a message that cannot be sent."""
        data = wire.frame(message)
        try:
            with self._write_lock:
                self._socket.sendall(data)
        except OSError as error:
            raise LinkError(f"The connection to the host is gone ({error}).") from error

    def ask(self, message: Callable[[int], wire.ToHost], seconds: float) -> wire.Reply:
        """Send a message that is answered by a Reply, and wait for that, at most so long."""
        number = next(self._requests)
        answer = self._replies[number] = queue.SimpleQueue()
        try:
            if self.closed.is_set():
                raise LinkError("The connection to the host is gone.")
            self.send(message(number))
            reply = answer.get(timeout=seconds)
        except queue.Empty:
            raise Unavailable(f"The host did not answer within {seconds:g} s.") from None
        finally:
            del self._replies[number]
        if reply is None:
            raise LinkError("The connection to the host was lost while it worked on an answer.")
        return reply

    async def ask_async(self, message: Callable[[int], wire.ToHost], seconds: float) -> wire.Reply:
        """:meth:`ask` for an event loop."""
        number = next(self._requests)
        answer = _Awaited()
        self._replies[number] = answer
        try:
            if self.closed.is_set():
                raise LinkError("The connection to the host is gone.")
            self.send(message(number))
            reply = await asyncio.wait_for(answer.future, seconds)
        except TimeoutError:
            raise Unavailable(f"The host did not answer within {seconds:g} s.") from None
        finally:
            del self._replies[number]
        if reply is None:
            raise LinkError("The connection to the host was lost while it worked on an answer.")
        return reply

    def _report(self, lag: float, rss: int) -> None:
        with contextlib.suppress(LinkError):
            self.send(wire.Vitals(lag, rss, self.serving.stuck(), cells.blamed()))

    # -- leading -----------------------------------------------------------------------------

    def _lead_first(self) -> None:
        self._lead(self._take_over())

    def _take_over(self) -> int:
        with self._lead_lock:
            self._term += 1
            self._busy_since = 0.0
            return self._term

    def _lead(self, term: int) -> None:
        """Read and serve until another thread leads, then follow; end with the connection."""
        wake = threading.Semaphore(0)
        while not self.closed.is_set():
            while term == self._term:
                message = self._read()
                if message is None:
                    self.close()
                    return
                self._handle(message, term)
            with self._lead_lock:
                self._followers.append(wake)
            wake.acquire()
            term = self._take_over()

    def _promote(self) -> None:
        """Have another thread read from here on."""
        with self._lead_lock:
            self._term += 1
            follower = self._followers.pop() if self._followers else None
        if follower is not None:
            follower.release()
        else:
            self._spawn(self._lead_first, "warmcell-link")

    def _watch(self) -> None:
        """Take the reading away from a leader whose call takes longer than predicted."""
        while not self.closed.is_set():
            self._active.wait()
            time.sleep(WATCHDOG_SECONDS)
            since = self._busy_since
            moment = time.monotonic()
            if since and moment - since > WATCHDOG_SECONDS:
                with self._lead_lock:
                    still = self._busy_since == since
                    self._busy_since = 0.0
                if still:
                    self._promote()
            elif not since and moment - self._served_at > IDLE_SECONDS:
                self._active.clear()

    # -- reading -----------------------------------------------------------------------------

    def _read(self) -> wire.ToWorker | None:
        """Read one message; None at the end of the connection. Only the leader calls this."""
        buffer = self._buffer
        try:
            while len(buffer) < LENGTH:
                data = self._socket.recv(1 << 16)
                if not data:
                    return None
                buffer += data
            length = int.from_bytes(buffer[:LENGTH])
            if length > MAX_FRAME:
                return None
            stop = LENGTH + length
            if len(buffer) < stop:
                have = len(buffer)
                buffer.extend(bytes(stop - have))
                with memoryview(buffer) as view:
                    while have < stop:
                        count = self._socket.recv_into(view[have:stop])
                        if not count:
                            return None
                        have += count
            with memoryview(buffer) as view:
                message = wire.to_worker(view[LENGTH:stop])
            del buffer[:stop]
        except OSError:
            return None
        return message

    def _handle(self, message: wire.ToWorker, term: int) -> None:
        if type(message) is wire.Invoke:
            self._serve(message, term)
        elif type(message) is wire.Reply:
            answer = self._replies.get(message.request)
            if answer is not None:
                answer.put(message)
        elif type(message) is wire.Cancel:
            self.serving.cancel(message.run_id, message.reason)
        elif type(message) is wire.Watch:
            self.serving.watch(message.run_id, self.send)
        elif type(message) is wire.EndpointCall:
            self._promote()  # nothing is known of how long it takes
            reply = self.serving.endpoint(message)
            self._answer(reply, partial(unsent.of_endpoint, reply))
        elif type(message) is wire.Ask:
            self._spawn(lambda: self._tell(message), "warmcell-asked")
        elif type(message) is wire.Renew:
            self._spawn(lambda: self._renew(message), "warmcell-renewing")
        elif type(message) is wire.Drop:
            self._spawn(lambda: self._drop(message.key), "warmcell-cleanup")

    def _tell(self, message: wire.Ask) -> None:
        from warmcell.drafting import answer

        with contextlib.suppress(LinkError):
            self.send(answer(message))

    def _renew(self, message: wire.Renew) -> None:
        from warmcell.model.renewing import renew

        with contextlib.suppress(LinkError):
            self.send(renew(message))

    def _drop(self, key: str) -> None:
        self.serving.drop(key)
        self.follow_holdings()

    def _serve(self, message: wire.Invoke, term: int) -> None:
        self._served_at = began = time.monotonic()
        inline = self.serving.predicted(message.key) < SHORT
        if inline:
            self._busy_since = began
            if not self._active.is_set():
                self._active.set()
        else:
            self._promote()
        answer = self.serving.invoke(message, self.send)
        self._answer(answer, partial(unsent.of_call, answer))
        if inline:
            with self._lead_lock:
                if term == self._term:
                    self._busy_since = 0.0

    def _answer(self, answer: wire.ToHost, instead: Callable[[str], wire.ToHost]) -> None:
        """Send an answer; one that cannot be sent is replaced, as its caller waits."""
        try:
            try:
                self.send(answer)
            except ValueError as error:
                log.exception("An answer cannot be sent")
                self.send(instead(str(error)))
        except LinkError:
            log.debug("The host went away before a call was answered.")

    def follow_holdings(self) -> None:
        """Measure while this kernel holds deployments; to be called whenever it got its first or
        dropped its last."""
        if self.serving.holds() and not self.closed.is_set():
            self._vitals.start()
        else:
            self._vitals.stop()

    def close(self) -> None:
        """End the connection and its threads; what was asked and is unanswered fails. Harmless
        when repeated."""
        if self.closed.is_set():
            return
        self.closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for answer in list(self._replies.values()):
            answer.put(None)
        self._active.set()
        with self._lead_lock:
            followers, self._followers = self._followers, []
        for follower in followers:
            follower.release()
        self.follow_holdings()
        self._ended()


class _Awaited:
    """The place of a reply that an event loop waits for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[wire.Reply | None] = self._loop.create_future()

    def put(self, reply: wire.Reply | None) -> None:
        """Deliver it; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
            self._loop.call_soon_threadsafe(self._set, reply)

    def _set(self, reply: wire.Reply | None) -> None:
        if not self.future.done():
            self.future.set_result(reply)


# -- connecting --------------------------------------------------------------------------------


def connect(
    file: Path,
    *,
    kernel_id: str,
    notebook: str | None,
    serving: Serving,
    ended: Callable[[], None],
) -> Connection:
    """Connect to the host that wrote the connection file.

    Raises:
        LinkError: nobody listens there, or the host refuses this kernel.
    """
    try:
        target = msgspec.json.decode(file.read_bytes(), type=wire.Connection)
        connection = _open(target)
    except (OSError, msgspec.DecodeError) as error:
        raise LinkError(f"No Warmcell host answers at {file.name} ({error}).") from error
    hello = wire.Hello(
        protocol=wire.PROTOCOL,
        kernel_id=kernel_id,
        pid=os.getpid(),
        python=sys.version.split()[0],
        notebook=notebook,
        secret=target.secret,
    )
    try:
        connection.sendall(wire.frame(hello))
        message, rest = _first(connection)
    except (OSError, msgspec.DecodeError) as error:
        connection.close()
        raise LinkError(f"The Warmcell host did not answer ({error}).") from error
    if not isinstance(message, wire.Welcome):
        connection.close()
        reason = message.reason if isinstance(message, wire.Refused) else "It spoke out of turn."
        raise LinkError(f"The Warmcell host refused this kernel. {reason}")
    connection.settimeout(None)
    return Connection(connection, message, rest, serving, ended)


def _open(target: wire.Connection) -> socket.socket:
    if target.path is None:
        connection = socket.create_connection(("127.0.0.1", target.port or 0), CONNECT_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(target.path)
    except OSError:
        connection.close()
        raise
    return connection


def _first(connection: socket.socket) -> tuple[wire.ToWorker, bytes]:
    data = b""
    while len(data) < LENGTH or len(data) < LENGTH + int.from_bytes(data[:LENGTH]):
        more = connection.recv(1 << 16)
        if not more:
            raise LinkError("it closed the connection")
        data += more
    stop = LENGTH + int.from_bytes(data[:LENGTH])
    return wire.to_worker(data[LENGTH:stop]), data[stop:]
