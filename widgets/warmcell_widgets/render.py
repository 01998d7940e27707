"""Static HTML and text of everything a notebook shows.

Pure functions over the JSON forms of ``api/v1``; every text is escaped. The text twins are for
terminals and for front ends that show no HTML. All HTML stays true in a saved notebook: it needs
no kernel, no script and no network, and where a front end strips styles it is still plain tables.
"""

from __future__ import annotations

from collections.abc import Sequence

from warmcell_widgets.deployments import (
    deployment_html,
    deployment_text,
    deployments_html,
    deployments_text,
)
from warmcell_widgets.drawing import GraphLike, NodeView, graph_svg, graph_text
from warmcell_widgets.markup import table, table_text, text, wrap
from warmcell_widgets.runs import run_html, run_text, runs_html, runs_text

__all__ = [
    "NodeView",
    "deployment_html",
    "deployment_text",
    "deployments_html",
    "deployments_text",
    "graph_html",
    "graph_svg",
    "graph_text",
    "run_html",
    "run_text",
    "runs_html",
    "runs_text",
    "table_html",
    "table_text",
    "wrap",
]


def graph_html(graph: GraphLike, *, title: str = "", note: str = "") -> str:
    """A graph as a whole output, with a title line where one is given."""
    head = (
        f'<div class="wc-head"><span class="wc-name">{text(title)}</span> '
        f'<span class="wc-dim">{text(note)}</span></div>'
        if title
        else ""
    )
    drawn = graph_svg(graph)
    part = f'<div class="wc-graph{" wc-part" if head else ""}">{drawn}</div>' if drawn else ""
    return wrap(f'<div class="wc-card">{head}{part}</div>')


def table_html(columns: Sequence[str], rows: Sequence[Sequence[object]], *, note: str = "") -> str:
    """A plain table, for results of a query where there is no pandas."""
    foot = f'<div class="wc-part wc-dim">{text(note)}</div>' if note else ""
    return wrap(f'<div class="wc-card">{table(columns, rows)}{foot}</div>')
