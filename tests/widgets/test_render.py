"""Static HTML and text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from tests.widgets.samples import DEPLOYMENT, EVIL, FAILED, SCHEMA, SUCCEEDED
from warmcell.graph import Graph, Node
from warmcell_widgets import Dag, render
from warmcell_widgets.deployments import curl_line, example_parameters
from warmcell_widgets.record import RECORDS, record_html, record_text

VOID = {"br", "img", "hr"}


class Outline(HTMLParser):
    """Checks that tags nest, and gathers tags and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def graph() -> Graph:
    nodes = [
        Node(0, "features", None, (), {}, {"customer": "$customer"}, ()),
        Node(1, "score", None, (), {}, {"table": "features.output"}, (0,)),
        Node(2, "respond", None, (), {}, {"p": "score.output", "c": "$customer.name"}, (1,)),
    ]
    return Graph(nodes)


RECORD: dict[str, Any] = {
    "versions": [
        {"artifact": EVIL, "version": "1", "type": f"a.{EVIL}", "facts": {"schema": {EVIL: "int"}},
         "size": 3, "tags": [EVIL], "created_at": "2026-11-21T02:56:08Z", "status": "stored"},
    ],
    "models": [
        {"name": EVIL, "versions": 2, "latest": EVIL, "aliases": {"production": EVIL}, "tags": [],
         "updated_at": "2026-11-21T02:56:08Z"},
    ],
    "tags": [{"name": EVIL, "uses": {"run": 2}, "created_at": "2026-11-21T02:56:08Z"}],
    "logs": [
        {"time": "2026-11-21T02:56:08Z", "pipeline": EVIL, "step": EVIL, "text": EVIL,
         "run_id": "x", "level": None, "stream": "stdout"},
    ],
}  # fmt: skip


def record(name: str) -> str:
    return record_html(RECORDS[name], RECORD, as_of=None)


PAGES = {
    "run": lambda: render.run_html(FAILED),
    "succeeded": lambda: render.run_html(SUCCEEDED, graph=graph()),
    "bare": lambda: render.run_html({"run_id": "x", "status": "running"}),
    "runs": lambda: render.runs_html(
        [FAILED, SUCCEEDED, {}], more=True, as_of=1_700_000_000_000_000
    ),
    "none": lambda: render.runs_html([]),
    "deployment": lambda: render.deployment_html(DEPLOYMENT),
    "deployments": lambda: render.deployments_html([DEPLOYMENT]),
    "artifacts": lambda: record("artifacts"),
    "models": lambda: record("models"),
    "tags": lambda: record("tags"),
    "logs": lambda: record("logs"),
    "graph": lambda: render.graph_html(graph(), title="churn", note="3 steps"),
    "table": lambda: render.table_html(["a", "b"], [[1, None], ["<b>", {"x": 1}]], note="cut"),
}


@pytest.mark.parametrize("name", PAGES)
def test_html_is_well_formed_and_escaped(name: str) -> None:
    """Tags nest, and nothing that came from a run becomes a tag or an event handler."""
    outline = Outline(PAGES[name]())
    assert not outline.tags & {"script", "img", "iframe", "link", "b>"}
    assert not {attribute for attribute in outline.attributes if attribute.startswith("on")}


def test_a_run_of_a_snapshot_says_how_to_replay_it() -> None:
    """With its id and what it repeats; a run that goes on, or of a cell, says nothing of it."""
    text = Outline(render.run_html({**FAILED, "origin": "0199"})).text
    assert f"%replay {FAILED['run_id']}; it repeats run 0199" in text
    for other in ({"status": "running"}, {"snapshot": None}):
        assert "%replay" not in Outline(render.run_html({**FAILED, **other})).text


def test_a_failed_run_says_where_and_why() -> None:
    """Status, duration, error with its step, attempts, output and parameters are in the text."""
    text = Outline(render.run_html(FAILED)).text
    for part in ("failed", "600 µs", "ValueError", "respond", "3 attempts", "too old", "hm", "900"):
        assert part in text
    assert "\x1b" not in text
    assert "call of churn, snapshot 3" in text


def test_a_run_tells_tags_metadata_and_what_was_reused() -> None:
    """Metadata by step and key; of a step from which run its results are, or why they are its
    own."""
    text = Outline(render.run_html(FAILED)).text
    for part in (
        EVIL,
        f"features.{EVIL}",
        "commit",
        "reused",
        f"not reused: the code is another one {EVIL}",
    ):
        assert part in text


def test_records_as_text() -> None:
    """What the tabs of the history show, as tables of text."""
    assert record_text(RECORDS["models"], {"models": []}) == "There are no models."
    table = record_text(RECORDS["models"], RECORD).splitlines()
    assert "stages and aliases" in table[0]
    assert "production: <img" in table[2]
    part = {"runs": 2, "bytes": 2_000}
    used = {"total": 5_000_000, "database": 0, "runs": 9, "blobs": 1, "artifacts": 3,
            "last_day": part, "last_week": part}  # fmt: skip
    assert "5 MB" in record_text(RECORDS["store"], used)


def test_the_graph_is_drawn_with_states_and_inputs() -> None:
    """The parts of a parameter are one node; steps carry their state and duration."""
    html = render.run_html(FAILED)
    assert 'class="wc-node wc-step wc-failed" data-step="respond"' in html
    assert html.count('data-step="$') == 2
    assert Dag(graph()).svg.count("<g ") == 4
    assert render.graph_text(graph()).splitlines() == [
        "features ← customer",
        "score ← features",
        "respond ← score, customer",
    ]


def test_a_huge_graph_is_not_drawn() -> None:
    """500 steps are a sentence, not a drawing."""
    nodes = [render.NodeView(f"n{i}") for i in range(500)]
    assert render.graph_svg(nodes) == '<p class="wc-dim">500 steps: too many to draw.</p>'
    assert render.graph_svg([]) == ""


def test_text_twins() -> None:
    """Terminals get the same facts as lines."""
    lines = render.run_text(FAILED).splitlines()
    assert lines[0].startswith("✗ churn · failed · 600 µs · run 01a1fc08-5cf8")
    assert lines[1].startswith("  ValueError in step respond: too old")
    assert render.run_text(SUCCEEDED).splitlines()[1] == '  output = {"churn": true, "p": 0.455}'
    table = render.runs_text([FAILED, SUCCEEDED]).splitlines()
    assert len(table) == 4
    assert FAILED["run_id"] in table[2]
    assert render.runs_text([]) == "No runs yet."
    assert DEPLOYMENT["invoke_url"] in render.deployment_text(DEPLOYMENT)
    assert render.deployments_text([]) == "No deployments."


def test_example_parameters() -> None:
    """Each parameter gets its example, its default, or a value of its type, to a bounded depth."""
    found: dict[str, Any] = example_parameters(SCHEMA)
    assert found["factor"] == 1.5
    assert found["tags"] == ["text"]
    assert found["kind"] == "new"
    assert found["limit"] == 0
    assert found["any"] is None
    assert found["customer"]["age"] == 0
    assert example_parameters(None) == example_parameters({"properties": 3}) == {}


def test_the_curl_line_survives_a_shell() -> None:
    """A quote in a value is quoted for the shell."""
    assert '"quote": "it\'\\\'\'s"' in curl_line(DEPLOYMENT)
