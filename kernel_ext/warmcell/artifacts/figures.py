"""Pictures: matplotlib figures, and images of PIL; as PNG, and the object where that is more."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any, ClassVar

from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.pickled import pickled, unpickled
from warmcell.artifacts.serializer import Serializer, Summary, family

__all__ = ["Figures", "Images", "drawing", "drawn", "png"]

_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_NEXT = {"I": "I;16", "F": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
_PICTURE = "picture.png"

drawing = threading.Lock()
"""matplotlib shares its fonts and caches between figures."""


class Figures(Serializer):
    """Figures: the object, and its picture as a PNG that anything can read."""

    kind: ClassVar[str] = "figure"
    runs_code = True

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

    def save(self, value: Any, out: Outgoing) -> None:
        with drawing:
            pickled(value, out)
        out.write(_PICTURE, drawn(value))

    def load(self, parts: Incoming) -> Any:
        with drawing:
            return unpickled(parts)

    def facts(self, value: Any) -> dict[str, Any]:
        return {
            "inches": [float(side) for side in value.get_size_inches()],
            "plots": len(value.axes),
        }


class Images(Serializer):
    """Images of PIL; of a mode that PNG does not have, the object is kept beside a PNG."""

    kind: ClassVar[str] = "image"
    runs_code = False

    def accepts(self, value: Any) -> bool:
        if family(value) != "PIL":
            return False
        images = sys.modules.get("PIL.Image")
        return images is not None and isinstance(value, images.Image)

    def summarise(self, value: Any) -> Summary:
        width, height = value.size
        return Summary(None, f"{width} x {height} {value.mode}")

    def freeze(self, value: Any) -> Any:
        return value.copy()

    def save(self, value: Any, out: Outgoing) -> None:
        data = png(value)
        out.write(_PICTURE, data)
        if not _same(_read(data), value):
            out.form["raw"] = [value.mode, *value.size]
            if value.getpalette() is not None or value.mode not in _RAW:
                raise TypeError("an image that neither PNG nor its bytes give back")
            out.write("pixels.bin", value.tobytes())

    def load(self, parts: Incoming) -> Any:
        raw = parts.form.get("raw")
        if raw is None:
            return _read(parts.read(_PICTURE))
        from PIL import Image

        mode, width, height = raw
        return Image.frombytes(mode, (width, height), parts.read("pixels.bin"))

    def facts(self, value: Any) -> dict[str, Any]:
        width, height = value.size
        return {"width": width, "height": height, "mode": value.mode}


_RAW = frozenset(
    {"I", "F", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa", "La", "RGB", "RGBA", "L"}
)


def png(value: Any) -> bytes:
    """An image of PIL as PNG; of a mode that PNG does not have, it is converted."""
    buffer = io.BytesIO()
    mode = None if value.mode in _MODES else _NEXT.get(value.mode, "RGB")
    (value if mode is None else value.convert(mode)).save(buffer, format="PNG")
    return buffer.getvalue()


def drawn(value: Any) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    with drawing:
        value.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def _read(data: bytes) -> Any:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return image.copy()  # no longer of the class that reads PNG


def _same(first: Any, second: Any) -> bool:
    return bool(
        first.mode == second.mode
        and first.size == second.size
        and first.getpalette() == second.getpalette()
        and first.info.get("transparency") == second.info.get("transparency")
        and first.tobytes() == second.tobytes()
    )
