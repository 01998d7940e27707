"""Pictures: matplotlib figures, and images of PIL; as PNG."""

from __future__ import annotations

import io
import sys
from typing import Any, ClassVar

from warmcell.artifacts.serializer import Summary, family

__all__ = ["Figures", "Images"]

_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_NEXT = {"I": "I;16", "F": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}


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
    """Images of PIL; of a mode that PNG does not have, they are converted."""

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
        buffer = io.BytesIO()
        mode = None if value.mode in _MODES else _NEXT.get(value.mode, "RGB")
        (value if mode is None else value.convert(mode)).save(buffer, format="PNG")
        return buffer.getvalue()

    def load(self, data: bytes, hint: type | None = None) -> Any:
        from PIL import Image

        image = Image.open(io.BytesIO(data))
        image.load()
        return image
