"""Showing artifact versions: in a notebook, or wherever their files are looked at.

Nothing that is shown runs code of the artifact's: a picture is shown as it was stored, HTML in a
frame of its own without access to the page, and a pickle is not loaded for it.
"""

from __future__ import annotations

import base64
import csv
import functools
import html
import io
import itertools
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from warmcell.enums import VisualizationType
from warmcell.errors import ArtifactError

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion

__all__ = ["Shown", "Visualization", "Visualizations", "visualizations_of"]

ROWS = 10  # of a table
LARGEST = 20 << 20  # bytes of a file that is shown
_TABLES = ("pandas", "polars", "arrow")
_DOCUMENTS = {
    "html": VisualizationType.HTML, "md": VisualizationType.MARKDOWN,
    "csv": VisualizationType.CSV, "json": VisualizationType.JSON,
}  # fmt: skip
_IMAGES = {
    b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}  # fmt: skip


class Visualization(NamedTuple):
    """One way to look at a value: ``data`` is a file of ``type``. ``id`` says of which version it
    is, and its place among those of that."""

    type: VisualizationType
    name: str
    data: bytes
    id: str = ""

    @property
    def text(self) -> str:
        """The data as text."""
        return self.data.decode("utf-8", "replace")

    def html(self) -> str:
        """As HTML that can be put into a page of others: what it holds cannot run there."""
        if self.type is VisualizationType.IMAGE:
            mime = next((m for head, m in _IMAGES.items() if self.data.startswith(head)), None)
            if mime is None:
                return f"<p>{html.escape(self.name)} is no picture that can be shown.</p>"
            coded = base64.b64encode(self.data).decode()
            alt = html.escape(self.name, quote=True)
            return f'<img alt="{alt}" src="data:{mime};base64,{coded}">'
        if self.type is VisualizationType.HTML:
            # Without allow-same-origin it is of no origin: it cannot reach the page or its cookies.
            page = html.escape(self.text, quote=True)
            style = "width:100%;height:420px;border:0"
            return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{page}"></iframe>'
        if self.type is VisualizationType.CSV:
            rows = itertools.islice(csv.reader(io.StringIO(self.text)), ROWS + 1)
            return _table(list(rows))
        return f"<pre>{html.escape(self.text)}</pre>"


class Shown:
    """What :meth:`~warmcell.artifacts.version.ArtifactVersion.visualize` shows."""

    def __init__(self, title: str, parts: Sequence[Visualization]) -> None:
        self.title = title
        self.parts = list(parts)

    def _repr_html_(self) -> str:
        body = "".join(f"<div>{part.html()}</div>" for part in self.parts)
        return f"<div><strong>{html.escape(self.title)}</strong>{body}</div>"

    def __repr__(self) -> str:
        texts = [
            f"[{part.name}]" if part.type in _BINARY else part.text.rstrip() for part in self.parts
        ]
        return "\n".join([self.title, *texts])


_BINARY = (VisualizationType.IMAGE, VisualizationType.HTML)


class Visualizations(Sequence[Visualization]):
    """How a version can be looked at; read once it is looked at. Callable for who reads it so.
    Raises what :func:`visualizations_of` does."""

    def __init__(self, version: ArtifactVersion) -> None:
        self._version = version

    @functools.cached_property
    def _found(self) -> list[Visualization]:
        return visualizations_of(self._version)

    def __call__(self) -> list[Visualization]:
        return list(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def __repr__(self) -> str:
        return f"<visualizations of {self._version.artifact} {self._version.version}>"


def visualizations_of(version: ArtifactVersion) -> list[Visualization]:
    """How to look at ``version``: the files that its materializer made for it, else its picture,
    its first rows, its text; else what is known about it. Raises
    :class:`~warmcell.errors.ArtifactError` for a damaged file or record."""
    try:
        found = _visualizations(version)
        return [one._replace(id=f"{version.id}/{at}") for at, one in enumerate(found)]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"Version {version.version} of artifact '{version.artifact}' cannot be shown: {error}."
        ) from error


def _visualizations(version: ArtifactVersion) -> list[Visualization]:
    given = version.about.get("visualizations") or {}
    if given:
        return [
            Visualization(VisualizationType(kind), name.partition("/")[2], _data(version, name))
            for name, kind in given.items()
        ]
    if version.kind in ("figure", "image"):
        return [_picture(version)]
    if version.kind in _TABLES:
        return [_rows(version)]
    if version.kind == "numpy":
        return [_array(version)]
    if version.kind == "document":
        kind = _DOCUMENTS[version.about["form"]["as"]]
        return [Visualization(kind, version.artifact, str(version.load()).encode())]
    if version.kind in ("text", "json", "pydantic", "dataclass") and version.value is not None:
        text = json.dumps(version.value, indent=2, ensure_ascii=False)
        return [Visualization(VisualizationType.JSON, version.artifact, text.encode())]
    return [_facts(version)]


def display(title: str, parts: Sequence[Visualization]) -> None:
    """Show it in the cell that runs, else print it."""
    shown = Shown(title, parts)
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(shown)
        return
    ipython.display.display(shown)


def _data(version: ArtifactVersion, name: str) -> bytes:
    parts = version._incoming()
    size = next((file.size for file in version._stored().files if file.name == name), 0)
    if size > LARGEST:
        raise ArtifactError(
            f"{name} of artifact '{version.artifact}' has {size} bytes, and {LARGEST} are shown.",
            hint="Look at the file itself: version.fetch() says where it is.",
        )
    return parts.read(name)


def _picture(version: ArtifactVersion) -> Visualization:
    return Visualization(VisualizationType.IMAGE, version.artifact, _data(version, "picture.png"))


def _rows(version: ArtifactVersion) -> Visualization:
    """The first rows: of a Parquet file only its beginning is read."""
    path = version.fetch().get("value.parquet")
    if path is None:
        return _facts(version)
    from importlib import import_module

    batches = import_module("pyarrow.parquet").ParquetFile(path).iter_batches(batch_size=ROWS)
    first = next(batches, None)
    rows: list[list[Any]] = [] if first is None else [list(r.values()) for r in first.to_pylist()]
    names = [] if first is None else first.schema.names
    return Visualization(VisualizationType.CSV, version.artifact, _csv([names, *rows]))


def _array(version: ArtifactVersion) -> Visualization:
    """A picture where the array is one, else what is known about it."""
    shape = version.facts.get("shape") or []
    picture = len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))
    small = min(shape[:2], default=0) >= 8 and max(shape, default=0) <= 4096
    if version.facts.get("dtype") == "uint8" and picture and small:
        try:
            from PIL import Image
        except ImportError:
            return _facts(version)
        from warmcell.artifacts.figures import png

        data = png(Image.fromarray(version.load()))
        return Visualization(VisualizationType.IMAGE, version.artifact, data)
    return _facts(version)


def _facts(version: ArtifactVersion) -> Visualization:
    facts = {"type": version.type, "size": version.size, **version.facts}
    rows = [["", version.artifact], *([name, fact] for name, fact in facts.items())]
    return Visualization(VisualizationType.CSV, version.artifact, _csv(rows))


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _table(rows: list[list[str]]) -> str:
    if not rows:
        return "<p>It is empty.</p>"
    head, *body = rows
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in body
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
