"""matplotlib figures, as the picture that they show."""

from __future__ import annotations

import io
import sys
from typing import Any, ClassVar

from warmcell.artifacts.serializer import Summary, family

__all__ = ["Figures"]


class Figures:
    """Figures; what is read back is the PNG, as bytes."""

    kind: ClassVar[str] = "figure"

    def accepts(self, value: Any) -> bool:
        if family(value) != "matplotlib":
            return False
        figures = sys.modules.get("matplotlib.figure")
        return figures is not None and isinstance(value, figures.Figure)

    def summarise(self, value: Any) -> Summary:
        width, height = value.get_size_inches()
        axes = len(value.axes)
        plots = f"{axes} plot{'' if axes == 1 else 's'}"
        return Summary(None, f"{width:g} x {height:g} in, {plots}")

    def dump(self, value: Any) -> bytes:
        buffer = io.BytesIO()
        value.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()

    def load(self, data: bytes, hint: type | None = None) -> bytes:
        return data
