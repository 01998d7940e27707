"""A run in a cell as it goes on: the graph with the state of each step.

No widget: one output that is updated in place, so that it also moves while the cell runs, in every
front end, and stays as it ended in a saved notebook. Drawing and sending belong to a thread of
their own at a few frames a second; :meth:`LiveRun.update` only notes what happened.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from warmcell.context import current
from warmcell.ids import new_id
from warmcell_widgets import formatting as fmt
from warmcell_widgets.drawing import GraphLike, NodeView, views
from warmcell_widgets.markup import status_html, text, values, wrap
from warmcell_widgets.runs import run_graph

FIRST_SECONDS = 0.15  # a shorter run is drawn once, at its end
FRAME_SECONDS = 0.2
IDLE_SECONDS = 1.0
MOST_DRAWN = 80
MOST_TEXT = 2000  # characters that are shown of what a step yields

Publish = Callable[[dict[str, str], bool], None]


class LiveRun:
    """What is shown of one run. ``update`` and ``done`` may be called from any thread."""

    def __init__(self, pipeline: str, graph: GraphLike | None, publish: Publish) -> None:
        self._pipeline = pipeline
        self._nodes = {node.name: node for node in views(graph)} if graph is not None else {}
        self._publish = publish
        self._events: deque[Mapping[str, Any]] = deque()
        self._steps: dict[str, dict[str, Any]] = {}
        self._notes: dict[str, str] = {}
        self._yielded: dict[str, str] = {}
        self._began = time.time()
        self._final: Any = None
        self._news = threading.Event()
        self._done = threading.Event()
        self._shown = False
        self._turn = threading.Lock()  # of publishing, and of what has been shown
        self._context = contextvars.copy_context()  # the cell that the output belongs to
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._loop,), name="warmcell-live", daemon=True
        )
        self._thread.start()

    def update(self, event: Mapping[str, Any]) -> None:
        """Note an event of the run: ``kind`` is "step" (with ``step``, ``status``, ``started_at``,
        ``finished_at`` in µs and maybe ``upstream``), "progress" (``step``, ``done``, ``total``,
        ``message``) or "output" (``step``, ``index``, ``text``, ``flows`` for a piece of
        text)."""
        self._events.append(event)  # on the path of every step: all else is the thread's work
        if not self._news.is_set():
            self._news.set()

    def done(self, run: Any = None) -> None:
        """Show the end: ``run`` is the :class:`warmcell.runs.Run`, or its JSON, where there is
        one. Harmless when repeated."""
        if self._done.is_set():
            return
        self._final = run
        self._done.set()
        self._news.set()
        # Here and not by the thread: waking and joining it costs more than a short run.
        self._context.run(self._end)

    # -- the thread ----------------------------------------------------------------------------

    def _loop(self) -> None:
        current.set(None)  # what is shown here is no step's output
        self._done.wait(FIRST_SECONDS)
        while not self._done.is_set():
            self._news.clear()
            with self._turn:
                if not self._done.is_set():
                    self._show()
            self._done.wait(FRAME_SECONDS)
            if not self._done.is_set():
                self._news.wait(IDLE_SECONDS - FRAME_SECONDS)

    def _end(self) -> None:
        current.set(None)
        with self._turn:
            self._show()

    def _show(self) -> None:
        self._publish(self._bundle(), self._shown)
        self._shown = True

    def _take(self) -> None:
        """Take in the events that came since."""
        while self._events:
            event = self._events.popleft()
            kind, name = event.get("kind"), event.get("step")
            if not isinstance(name, str):
                continue
            if kind == "step":
                self._steps.setdefault(name, {"step": name}).update(event)
                if name not in self._nodes:
                    self._nodes[name] = NodeView(name, tuple(event.get("upstream") or ()))
            elif kind == "progress":
                self._notes[name] = _progress(event)
            elif kind == "output":
                self._yield(name, event)

    def _yield(self, name: str, event: Mapping[str, Any]) -> None:
        """A generator step yielded: pieces of text flow on, other values have a line each."""
        text = str(event.get("text") or "")
        before = self._yielded.get(name, "") if event.get("index") else ""
        gap = "" if event.get("flows") or not before else "\n"
        self._yielded[name] = (before + gap + text)[-MOST_TEXT:]

    def _bundle(self) -> dict[str, str]:
        self._take()
        nodes = list(self._nodes.values())
        steps = [dict(step) for step in self._steps.values()]
        notes = self._notes
        for step in steps:
            if step.get("status") == "running":
                started = fmt.moment(step.get("started_at"))
                step["duration"] = time.time() - started.timestamp() if started else None
        ended = self._ended()
        status = ended.get("status") or "running"
        seconds = fmt.run_seconds(ended) if ended else time.time() - self._began
        finished = sum(step.get("status") == "succeeded" for step in steps)
        plain = (
            f"{fmt.mark(status)} {self._pipeline} · {fmt.status_words(status)} · "
            f"{finished} of {len(nodes)} steps · {fmt.duration(seconds)}"
        )
        return {"text/plain": plain, "text/html": self._html(nodes, steps, notes, ended, seconds)}

    def _ended(self) -> dict[str, Any]:
        """How the run ended, empty while it goes on."""
        run = self._final
        if not self._done.is_set():
            return {}
        if run is None:
            return {"status": "succeeded", "duration": time.time() - self._began}
        return dict(run) if isinstance(run, Mapping) else dict(run.to_json())

    def _html(
        self,
        nodes: list[NodeView],
        steps: list[dict[str, Any]],
        notes: dict[str, str],
        ended: dict[str, Any],
        seconds: float | None,
    ) -> str:
        finished = sum(step.get("status") == "succeeded" for step in steps)
        run_id = str(ended.get("run_id") or "")
        tail = f"run {fmt.short_id(run_id)}" if run_id else ""
        head = (
            f'<div class="wc-head">{status_html(ended.get("status") or "running")} '
            f'<span class="wc-name">{text(self._pipeline)}</span> '
            f"<span>{text(fmt.duration(seconds))}</span> "
            f'<span class="wc-dim">{finished} of {len(nodes)} steps</span> '
            f'<span class="wc-dim wc-push" title="{text(run_id)}">{text(tail)}</span></div>'
        )
        if len(nodes) <= MOST_DRAWN:
            body = f'<div class="wc-part wc-graph">{run_graph(nodes, steps)}</div>' if nodes else ""
        else:
            share = 100 * finished / len(nodes)
            body = (
                f'<div class="wc-part"><div class="wc-track"><div class="wc-bar wc-running" '
                f'style="width: {share:.1f}%"></div></div></div>'
            )
        running = {s["step"] for s in steps if s.get("status") == "running"}
        told = [f"{name}: {note}" for name, note in notes.items() if name in running]
        if told and not ended:
            body += f'<div class="wc-part wc-dim">{text(" · ".join(told))}</div>'
        for name, shown in self._yielded.items():
            if name in running and not ended:
                body += (
                    f'<div class="wc-part"><p class="wc-label">{text(name)} yields</p>'
                    f'<pre class="wc-text">{text(shown)}</pre></div>'
                )
        if ended.get("outputs"):  # an error is shown by the cell itself
            body += f'<div class="wc-part">{values(ended["outputs"])}</div>'
        return wrap(f'<div class="wc-card">{head}{body}</div>')


def live_run(pipeline_name: str, graph: GraphLike | None = None) -> LiveRun:
    """Show a run of this cell, live. Call it on the thread that executes the cell."""
    from IPython.display import display

    identifier = new_id()

    def publish(bundle: dict[str, str], is_update: bool) -> None:
        display(bundle, raw=True, display_id=identifier, update=is_update)

    return LiveRun(pipeline_name, graph, publish)


def _progress(event: Mapping[str, Any]) -> str:
    done, total = event.get("done"), event.get("total")
    parts = [f"{done:g}" if isinstance(done, int | float) else ""]
    if isinstance(total, int | float) and total:
        parts = [f"{parts[0] or 0} of {total:g}"]
    if event.get("message"):
        parts.append(str(event["message"]))
    return " ".join(part for part in parts if part)
