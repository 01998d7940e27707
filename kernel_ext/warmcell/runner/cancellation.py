"""Stopping a run from outside: a flag that everyone reads, and an exception for user code.

Only code of the user is ever interrupted. The runner marks it with :meth:`CancelToken.enter` and
:meth:`CancelToken.leave`; outside these marks a thread only sees the flag.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from threading import get_ident

from warmcell.errors import StepCancelled

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc


class _Withdrawn(BaseException):
    """Comes in the place of what was sent too late."""


class Entry:
    """One stretch of user code on one thread."""

    __slots__ = ("ident", "sent")

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.sent = False


def _withdraw() -> None:
    """Take back what was sent to the calling thread, if it has not arrived.

    Something else is sent in its place, and arrives here. With None in its place CPython would go
    on looking for it at every call, in all threads; and one that a debugger traces would do nothing
    else for ever (3.11: the first line of a traced function is never reached).
    """
    other: BaseException | None = None
    try:
        while True:
            try:
                _set_async_exc(ctypes.c_ulong(get_ident()), ctypes.py_object(_Withdrawn))
                while True:
                    pass
            except _Withdrawn:
                raise
            except BaseException as error:  # an interrupt of the cell, say, that came first
                other = error
    except _Withdrawn:
        pass
    if other is not None:
        raise other


class CancelToken:
    """The state of being cancelled. ``reason`` is None, ``"cancelled"`` or ``"timed_out"``."""

    __slots__ = ("_callbacks", "_event", "_inside", "_lock", "reason")

    def __init__(self) -> None:
        self.reason: str | None = None
        self._lock = threading.Lock()
        self._inside: list[Entry] = []
        self._callbacks: list[Callable[[], object]] = []
        self._event: threading.Event | None = None

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self.reason is not None

    def cancel(self, reason: str = "cancelled") -> bool:
        """Cancel, once: raise :class:`StepCancelled` in user code that runs now, and call what was
        registered. Returns False if it was cancelled before. Thread-safe."""
        with self._lock:
            if self.reason is not None:
                return False
            self.reason = reason
            for entry in self._inside:
                self._send(entry)
            callbacks, self._callbacks = self._callbacks, []
            event = self._event
        if event is not None:
            event.set()
        for callback in callbacks:
            callback()
        return True

    def enter(self) -> Entry:
        """Mark that this thread now runs user code. Raises :class:`StepCancelled` if it must
        not."""
        entry = Entry(get_ident())
        with self._lock:
            if self.reason is not None:
                raise StepCancelled(self.reason)
            self._inside.append(entry)
        return entry

    def leave(self, entry: Entry) -> None:
        """Mark that this thread, which entered, runs our code again; calling it twice is harmless.

        An exception that was sent but has not arrived is withdrawn. It may still arrive on the
        way into this call: the caller catches :class:`StepCancelled` around it and calls again.
        """
        with self._lock:
            if entry in self._inside:
                self._inside.remove(entry)
                if entry.sent:
                    _withdraw()

    def _send(self, entry: Entry) -> None:
        if not entry.sent:
            entry.sent = True
            _set_async_exc(ctypes.c_ulong(entry.ident), ctypes.py_object(StepCancelled))

    def on_cancel(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when cancelled, on the cancelling thread; now, if it happened."""
        with self._lock:
            if self.reason is None:
                self._callbacks.append(callback)
                return
        callback()

    def forget(self, callback: Callable[[], object]) -> None:
        """Undo :meth:`on_cancel`."""
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

    def wait(self, seconds: float) -> bool:
        """Sleep, unless cancelled: returns whether it is."""
        with self._lock:
            if self.reason is not None:
                return True
            if self._event is None:
                self._event = threading.Event()
            event = self._event
        return event.wait(seconds)
