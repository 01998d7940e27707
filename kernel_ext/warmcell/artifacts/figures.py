"""Pictures: matplotlib figures, and images of PIL; as PNG."""

from __future__ import annotations

import io
import sys
from typing import Any, ClassVar

from warmcell.artifacts.serializer import Summary, family

__all__ = ["Figures", "Images"]


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


class Images:
    """Images of PIL; one without a counterpart in PNG is converted to RGB."""

    kind: ClassVar[str] = "image"

    def accepts(self, value: Any) -> bool:
        if family(value) != "PIL":
            return False
        images = sys.modules.get("PIL.Image")
        return images is not None and isinstance(value, images.Image)

    def summarise(self, value: Any) -> Summary:
        width, height = value.size
        return Summary(None, f"{width} x {height} {value.mode}")

    def dump(self, value: Any) -> bytes:
        plain = value.mode in ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
        buffer = io.BytesIO()
        (value if plain else value.convert("RGB")).save(buffer, format="PNG")
        return buffer.getvalue()

    def load(self, data: bytes, hint: type | None = None) -> Any:
        from PIL import Image

        image = Image.open(io.BytesIO(data))
        image.load()
        return image
