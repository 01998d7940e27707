"""A run shown as it goes on."""

from __future__ import annotations

import threading

from warmcell_widgets.drawing import NodeView
from warmcell_widgets.live import LiveRun

WAIT = 10.0


class Screen:
    """What a front end received: the bundles in order, and whether each replaced the one before."""

    def __init__(self) -> None:
        self.frames: list[tuple[dict[str, str], bool]] = []
        self.news = threading.Condition()

    def __call__(self, bundle: dict[str, str], is_update: bool) -> None:
        with self.news:
            self.frames.append((bundle, is_update))
            self.news.notify_all()

    def until(self, text: str) -> str:
        """The HTML of the first frame that contains ``text``."""

        def found() -> str | None:
            return next((b["text/html"] for b, _ in self.frames if text in b["text/html"]), None)

        with self.news:
            assert self.news.wait_for(lambda: found() is not None, WAIT), self.frames
            html = found()
        assert html is not None
        return html


GRAPH = [NodeView("features", ("$customer",)), NodeView("score", ("features",))]


def test_a_run_moves_and_stays_as_it_ended() -> None:
    """Steps turn from running to succeeded in one output, and the last frame is the end."""
    screen = Screen()
    live = LiveRun("churn", GRAPH, screen)
    live.update({"kind": "step", "step": "features", "status": "running", "started_at": 1})
    live.update({"kind": "progress", "step": "features", "done": 3, "total": 10, "message": "rows"})
    assert 'wc-running" data-step="features"' in screen.until("3 of 10 rows")
    live.update({"kind": "step", "step": "features", "status": "succeeded", "started_at": 1,
                 "finished_at": 2_000_001})  # fmt: skip
    assert 'wc-succeeded" data-step="features"' in screen.until("1 of 2 steps")
    live.done({"run_id": "x" * 40, "status": "failed", "duration": 2.5})
    live.done()
    bundle, _ = screen.frames[-1]
    assert "✗ churn · failed · 1 of 2 steps · 2.5 s" in bundle["text/plain"]
    assert "3 of 10" not in bundle["text/html"]
    assert [is_update for _, is_update in screen.frames] == [False] + [True] * (
        len(screen.frames) - 1
    )


def test_what_a_step_yields_is_shown_while_it_does() -> None:
    """Text flows on, other values have a line each; a new attempt begins anew."""
    screen = Screen()
    live = LiveRun("churn", GRAPH, screen)
    live.update({"kind": "step", "step": "score", "status": "running", "started_at": 1})
    for number, piece in enumerate(["Hel", "lo <b>"]):
        event = {"kind": "output", "step": "score", "index": number, "text": piece, "flows": True}
        live.update(event)
    assert "score yields" in screen.until("Hello &lt;b&gt;")
    for number in range(2):
        live.update({"kind": "output", "step": "score", "index": number, "text": str(number)})
    assert "Hello" not in screen.until("0\n1")
    live.done({"status": "succeeded", "duration": 1.0, "outputs": {"output": "x"}})
    assert "yields" not in screen.frames[-1][0]["text/html"]


def test_a_short_run_is_drawn_once() -> None:
    """A run that ends at once sends one frame, with its outputs."""
    screen = Screen()
    live = LiveRun("churn", GRAPH, screen)
    for step in ("features", "score"):
        live.update({"kind": "step", "step": step, "status": "succeeded", "started_at": 1,
                     "finished_at": 5})  # fmt: skip
    live.done({"status": "succeeded", "duration": 0.001, "outputs": {"output": [1, 2]}})
    ((bundle, is_update),) = screen.frames
    assert is_update is False
    assert "[1, 2]" in bundle["text/html"]


def test_an_eager_run_grows_its_graph() -> None:
    """Steps that were not planned appear as they start; other events are ignored."""
    screen = Screen()
    live = LiveRun("churn", None, screen)
    live.update({"kind": "step", "step": "a", "status": "succeeded"})
    live.update({"kind": "step", "step": "b", "status": "running", "upstream": ["a"]})
    live.update({"kind": "state", "status": "running"})
    live.done({"status": "succeeded"})
    html = screen.frames[-1][0]["text/html"]
    assert 'data-step="a"' in html
    assert 'data-step="b"' in html


def test_many_steps_are_a_bar() -> None:
    """Above 80 steps the graph gives way to a bar of the share that is done."""
    screen = Screen()
    live = LiveRun("churn", [NodeView(f"n{i}") for i in range(100)], screen)
    for i in range(25):
        live.update({"kind": "step", "step": f"n{i}", "status": "succeeded"})
    live.done({"status": "cancelled"})
    assert "width: 25.0%" in screen.frames[-1][0]["text/html"]
