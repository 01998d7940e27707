"""Lineage as inline SVG, and as text: what ``api/v1/lineage`` answers, drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from warmcell_widgets.drawing import NodeView, graph_svg
from warmcell_widgets.markup import text, wrap

__all__ = ["lineage_html", "lineage_svg", "lineage_text"]

MAX_LINES = 200


def lineage_svg(graph: Mapping[str, Any]) -> str:
    """Draw a graph of lineage: artifacts are round, everything else has corners; the line below a
    name says what it is, and what was asked for is marked."""
    upstream = _upstream(graph)
    roots = set(graph["roots"])
    nodes = [
        NodeView(
            node["id"],
            tuple(upstream[node["id"]]),
            str(node["label"]),
            f"wc-of-{node['kind']}" + (" wc-root" if node["id"] in roots else ""),
            node["kind"] == "artifact_version",
        )
        for node in graph["nodes"]
    ]
    states = {
        node["id"]: str(node["status"])
        for node in graph["nodes"]
        if node["kind"] in ("step", "run") and node["status"]
    }
    return graph_svg(nodes, states=states, subtitles={n["id"]: _below(n) for n in graph["nodes"]})


def lineage_html(graph: Mapping[str, Any]) -> str:
    """A graph of lineage as a whole output."""
    note = "There is more: ask with a greater depth or limit." if graph["truncated"] else ""
    foot = f'<div class="wc-part wc-dim">{text(note)}</div>' if note else ""
    head = f'<div class="wc-head"><span class="wc-name">{text(_title(graph))}</span></div>'
    drawn = f'<div class="wc-graph wc-part">{lineage_svg(graph)}</div>'
    return wrap(f'<div class="wc-card">{head}{drawn}{foot}</div>')


def lineage_text(graph: Mapping[str, Any]) -> str:
    """The graph as lines ``train [step] ← table@1``, what was asked for first."""
    upstream = _upstream(graph)
    labels = {node["id"]: str(node["label"]) for node in graph["nodes"]}
    lines = [_title(graph)]
    for node in graph["nodes"][:MAX_LINES]:
        sources = ", ".join(labels[source] for source in upstream[node["id"]])
        line = f"  {labels[node['id']]} [{_kind(node)}]"
        lines.append(f"{line} ← {sources}" if sources else line)
    left = len(graph["nodes"]) - MAX_LINES
    if left > 0 or graph["truncated"]:
        lines.append(f"  … {left} more" if left > 0 else "  … and more")
    return "\n".join(lines)


def _upstream(graph: Mapping[str, Any]) -> defaultdict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for edge in graph["edges"]:
        if edge["source"] not in found[edge["target"]]:
            found[edge["target"]].append(edge["source"])
    return found


def _title(graph: Mapping[str, Any]) -> str:
    labels = {node["id"]: str(node["label"]) for node in graph["nodes"]}
    return "Lineage of " + ", ".join(labels[root] for root in graph["roots"])


def _below(node: Mapping[str, Any]) -> str:
    detail = str(node["detail"] or _kind(node))
    return f"{detail} · gone" if node["gone"] else detail + (" …" if node.get("more") else "")


def _kind(node: Mapping[str, Any]) -> str:
    return {"artifact_version": "artifact", "model_version": "model"}.get(
        node["kind"], str(node["kind"])
    )
