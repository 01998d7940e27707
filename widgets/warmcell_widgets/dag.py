"""The graph of a pipeline as a display of its own."""

from __future__ import annotations

from typing import Any

from warmcell_widgets.drawing import GraphLike, graph_svg, graph_text
from warmcell_widgets.render import graph_html


class Dag:
    """A graph, drawn. Static: it needs neither script nor kernel. ``svg`` is the drawing alone."""

    def __init__(self, graph: GraphLike, *, title: str = "") -> None:
        self.graph = graph
        self.title = title

    @property
    def svg(self) -> str:
        return graph_svg(self.graph)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {
            "text/plain": graph_text(self.graph),
            "text/html": graph_html(self.graph, title=self.title),
        }
