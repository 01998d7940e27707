"""The graph of a pipeline as inline SVG, with the state of each step where there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

from warmcell_widgets import formatting as fmt
from warmcell_widgets.layout import BOX_HEIGHT, Box, Layout, place

MAX_NODES = 400
INPUT_PREFIX = "$"


@dataclass(frozen=True, slots=True)
class NodeView:
    """What is drawn of a node: ``upstream`` names other nodes, inputs as ``"$parameter"``;
    ``classes`` are more of the style sheet's, and a ``round`` node has no corners."""

    name: str
    upstream: tuple[str, ...] = ()
    label: str | None = None
    classes: str = ""
    round: bool = False


GraphLike: TypeAlias = Any
"""A :class:`warmcell.graph.Graph`, the ``steps`` of a run, or :class:`NodeView` objects."""


def views(graph: GraphLike) -> list[NodeView]:
    """The nodes of ``graph`` in order, whatever form it has."""
    nodes = list(getattr(graph, "nodes", graph) or ())
    names = [node["step"] if isinstance(node, Mapping) else node.name for node in nodes]
    return [_view(node, names) for node in nodes]


def _view(node: Any, names: Sequence[str]) -> NodeView:
    if isinstance(node, NodeView):
        return node
    record = (
        node
        if isinstance(node, Mapping)
        else {
            "step": node.name,
            "upstream": [names[index] for index in node.upstream],
            "inputs": node.inputs,
        }
    )
    sources = (record.get("inputs") or {}).values()
    given = tuple(INPUT_PREFIX + _parameter(s) for s in sources if s.startswith(INPUT_PREFIX))
    return NodeView(str(record["step"]), tuple(record.get("upstream") or ()) + given)


def _parameter(source: str) -> str:
    """``customer`` of ``$customer.age`` or ``$customer[0]``: the whole parameter is the node."""
    return re.split(r"[.\[]", source.removeprefix(INPUT_PREFIX), maxsplit=1)[0]


def graph_svg(
    graph: GraphLike,
    *,
    states: Mapping[str, str] | None = None,
    subtitles: Mapping[str, str] | None = None,
) -> str:
    """Draw ``graph``. ``states`` colours steps by status, ``subtitles`` go below their names."""
    nodes = views(graph)
    if not nodes:
        return ""
    if len(nodes) > MAX_NODES:
        return f'<p class="wc-dim">{len(nodes)} steps: too many to draw.</p>'
    known = {node.name for node in nodes}
    inputs = dict.fromkeys(
        name for node in nodes for name in node.upstream if name.startswith(INPUT_PREFIX)
    )
    labels = {node.name: node.label or node.name for node in nodes}
    labels |= {name: name.removeprefix(INPUT_PREFIX) for name in inputs if name not in known}
    upstream: dict[str, Sequence[str]] = dict.fromkeys(inputs, ())
    upstream |= {node.name: node.upstream for node in nodes}
    texts = subtitles or {}
    widths = {
        name: max(64.0, 7.0 * len(_fit(label)) + 34, 6.2 * len(texts.get(name, "")) + 34)
        for name, label in labels.items()
    }
    laid = place(upstream, widths)
    parts = [_edge(points) for _, _, points in laid.edges]
    drawn = {node.name: node for node in nodes}
    for name, box in laid.boxes.items():
        node = drawn.get(name) or NodeView(name)
        parts.append(_node(box, labels[name], texts.get(name, ""), (states or {}).get(name), node))
    return _frame(laid, parts, labels)


def _frame(laid: Layout, parts: list[str], labels: Mapping[str, str]) -> str:
    width, height = laid.width + 4, laid.height + 4
    title = escape("Graph: " + ", ".join(labels.values()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" '
        # for a page without the style sheet; rules of a sheet win over attributes
        'fill="currentColor" font-family="sans-serif" font-size="12" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="-2 -2 {width:.0f} {height:.0f}">\n'
        + "\n".join(parts)
        + "\n</svg>"
    )


def _edge(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = points
    end_x, end_y = rest[-1]
    path = [f"M{x:.1f} {y:.1f}"]
    for index, (to_x, to_y) in enumerate(rest):
        stop = to_x - 5 if index == len(rest) - 1 else to_x
        middle = (x + stop) / 2
        path.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {stop:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    tip = f"M{end_x:.1f} {end_y:.1f}l-7 -3.5v7z"
    line = f'<path class="wc-edge" fill="none" stroke="currentColor" d="{"".join(path)}"/>'
    return f'{line}<path class="wc-tip" fill="currentColor" d="{tip}"/>'


def _node(box: Box, label: str, subtitle: str, state: str | None, node: NodeView) -> str:
    name = node.name
    kind = "wc-input" if name.startswith(INPUT_PREFIX) else "wc-step"
    status = f" wc-{escape(state)}" if state else ""
    status += f" {escape(node.classes)}" if node.classes else ""
    hint = f"{label}: {fmt.status_words(state)}" if state else label
    middle = box.y + BOX_HEIGHT / 2
    radius = BOX_HEIGHT / 2 if node.round or kind == "wc-input" else 6
    left = box.x + (16 if kind == "wc-input" else 24)
    first = middle - 2 if subtitle else middle + 4
    parts = [
        f'<g class="wc-node {kind}{status}" data-step="{escape(name)}">',
        f"<title>{escape(hint + (' · ' + subtitle if subtitle else ''))}</title>",
        f'<rect class="wc-box" fill="none" stroke="currentColor" x="{box.x:.1f}" y="{box.y:.1f}" '
        f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius:.0f}"/>',
    ]
    if kind == "wc-step":
        parts.append(f'<circle class="wc-mark" cx="{box.x + 12:.1f}" cy="{middle:.1f}" r="4"/>')
    parts.append(f'<text x="{left:.1f}" y="{first:.1f}">{escape(_fit(label))}</text>')
    if subtitle:
        parts.append(
            f'<text class="wc-sub" x="{left:.1f}" y="{middle + 12:.1f}">{escape(subtitle)}</text>'
        )
    return "\n".join([*parts, "</g>"])


def _fit(label: str) -> str:
    return fmt.clip(label, 34)


def graph_text(graph: GraphLike) -> str:
    """The graph as lines ``features ← customer``."""
    lines = []
    for node in views(graph):
        sources = ", ".join(
            name.removeprefix(INPUT_PREFIX) for name in dict.fromkeys(node.upstream)
        )
        lines.append(f"{node.name} ← {sources}" if sources else node.name)
    return "\n".join(lines)
