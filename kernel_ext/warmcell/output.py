"""Output of steps: what they print, log, warn and display goes into the log of their run.

One proxy each for stdout and stderr is installed, once. It looks at the scope of the code that
writes: inside a run the text is kept with the run and, if the run was started in a cell, also shown
there; outside a run it goes where it always went. Text of a served run never reaches a cell.

Not seen: what is written to file descriptors 1 and 2 directly, and what threads write that were
there before the step. While ``contextlib.redirect_stdout`` or ``%%capture`` is active anywhere in
the process, prints go there, as always in Python.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

from warmcell import figures
from warmcell.context import Scope, current
from warmcell.displayed import masked
from warmcell.redaction import NONE, hide

__all__ = ["flush", "install", "installed", "uninstall"]

PIECE = 8192  # characters after which an unfinished line is kept as it is


class Proxy:
    """Stands in for ``sys.stdout`` or ``sys.stderr``; everything but writing is the original's."""

    def __init__(self, original: TextIO, stream: str) -> None:
        self._original = original
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` to the run that this code belongs to, and to where it is shown."""
        scope = current.get()
        if scope is None:
            self._original.write(hide(text))
            return len(text)
        keep(scope, self._stream, text)
        if scope.run.echo:
            self._echo(scope, text)
        return len(text)

    def _echo(self, scope: Scope, text: str, *, now: bool = False) -> None:
        """Show whole lines, so that those of branches do not mix; with ``now`` all there is."""
        key = f"{self._stream} to show"
        pending = scope.pending if scope.pending is not None else {}
        held = pending.pop(key, "") + text
        if now or held.endswith("\n") or len(held) > PIECE:
            if held:
                self._original.write(scope.run.redaction.text(held))
        else:
            pending[key] = held
            scope.pending = pending

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of ``lines``."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the original, unless nothing of this code ever reaches it."""
        scope = current.get()
        if scope is not None:
            if not scope.run.echo:
                return
            self._echo(scope, "", now=True)
        self._original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __iter__(self) -> Any:
        return iter(self._original)

    def __repr__(self) -> str:
        return f"<warmcell {self._stream} of {self._original!r}>"


def keep(scope: Scope, stream: str, text: str) -> None:
    """Keep ``text`` with the run of ``scope``, in pieces that end with a line."""
    pending = scope.pending
    if pending is None:
        pending = scope.pending = {}
    held = pending.get(stream, "") + text
    if held.endswith("\n") or len(held) > PIECE:
        pending[stream] = ""
        scope.run.log(stream, held, scope.step_name)
    else:
        pending[stream] = held


def flush(scope: Scope) -> None:
    """Keep what is left of unfinished lines, and show it."""
    pending, scope.pending = scope.pending, None
    for stream, text in (pending or {}).items():
        if stream in ("stdout", "stderr"):
            if text:
                scope.run.log(stream, text, scope.step_name)
        elif text and (state := _installed) is not None:
            proxy = state.stdout if stream.startswith("stdout") else state.stderr
            proxy._original.write(scope.run.redaction.text(text))


class _Installed:
    """What was replaced, and by what, so that it can be put back exactly."""

    def __init__(self) -> None:
        self.stdout = Proxy(sys.stdout, "stdout")
        self.stderr = Proxy(sys.stderr, "stderr")
        self.emit = logging.StreamHandler.emit
        self.start = threading.Thread.start
        self.submit = ThreadPoolExecutor.submit
        self.publisher: Any = None
        self.publish: Any = None

    def put(self) -> None:
        sys.stdout = self.stdout
        sys.stderr = self.stderr
        self.new_emit = _emit(self)
        self.new_start = _start(self.start)
        self.new_submit = _submit(self.submit)
        logging.StreamHandler.emit = self.new_emit  # type: ignore[method-assign,assignment]
        threading.Thread.start = self.new_start  # type: ignore[method-assign,assignment]
        ThreadPoolExecutor.submit = self.new_submit  # type: ignore[method-assign]
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        if shell is not None:
            self.publisher = shell.display_pub
            self.publish = _publish(self.publisher.publish)
            self.publisher.publish = self.publish

    def take_back(self) -> None:
        if sys.stdout is self.stdout:
            sys.stdout = self.stdout._original
        if sys.stderr is self.stderr:
            sys.stderr = self.stderr._original
        if logging.StreamHandler.emit is self.new_emit:
            logging.StreamHandler.emit = self.emit  # type: ignore[method-assign]
        if threading.Thread.start is self.new_start:
            threading.Thread.start = self.start  # type: ignore[method-assign]
        if ThreadPoolExecutor.submit is self.new_submit:
            ThreadPoolExecutor.submit = self.submit  # type: ignore[method-assign]
        if self.publisher is not None and self.publisher.publish is self.publish:
            del self.publisher.publish


_installed: _Installed | None = None
_lock = threading.Lock()


def install() -> None:
    """Begin to capture; harmless when repeated."""
    global _installed
    with _lock:
        if _installed is None:
            _installed = _Installed()
            _installed.put()


def uninstall() -> None:
    """Put everything back that :func:`install` replaced; harmless when repeated."""
    global _installed
    with _lock:
        if _installed is not None:
            _installed.take_back()
            figures.restore()
            _installed = None


def installed() -> bool:
    """Whether output is captured."""
    return _installed is not None


def _emit(state: _Installed) -> Callable[[Any, logging.LogRecord], None]:
    original = state.emit
    shown = (state.stdout, state.stderr, state.stdout._original, state.stderr._original)

    @functools.wraps(original)
    def emit(self: Any, record: logging.LogRecord) -> None:
        scope = current.get()
        if scope is None or not any(self.stream is stream for stream in shown):
            return original(self, record)
        flush(scope)
        text = self.format(record) + self.terminator
        scope.run.log("log", text, scope.step_name, record.levelname)
        if scope.run.echo:
            token = current.set(None)  # shown, but not kept a second time
            try:
                original(self, record)
            finally:
                current.reset(token)
        return None

    return emit


def _start(original: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        if current.get() is not None:
            context = contextvars.copy_context()
            self.run = functools.partial(context.run, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _submit(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def submit(self: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if current.get() is not None:
            context = contextvars.copy_context()
            return original(self, context.run, function, *args, **kwargs)
        return original(self, function, *args, **kwargs)

    return submit


def _publish(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def publish(data: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        scope = current.get()
        if scope is None:
            return original(masked(data, NONE), *args, **kwargs)
        data = masked(data, scope.run.redaction)
        flush(scope)
        if not kwargs.get("update"):
            text = data.get("text/plain") or f"<{', '.join(data)}>"
            scope.run.log("display", f"{text}\n", scope.step_name)
        return original(data, *args, **kwargs) if scope.run.echo else None

    return publish
