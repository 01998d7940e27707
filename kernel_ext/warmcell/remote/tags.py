"""The part of the client that is about tags and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from warmcell.errors import UsageError
from warmcell.metadata.values import restored
from warmcell.remote.asking import Asking
from warmcell.subjects import named
from warmcell.tags import as_tags, check_color, check_name

__all__ = ["MetadataComparison", "TagClient", "TagInfo"]


class TagInfo(Mapping[str, Any]):
    """A tag as the store has it: ``name``, ``color``, ``exclusive``, ``created_at``, ``user``, and
    ``uses``, how many of each kind have it. A mapping, and by attributes."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._described = dict(described)

    def __getitem__(self, key: str) -> Any:
        return self._described[key]

    def __iter__(self) -> Any:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_described"][name]
        except KeyError:
            raise AttributeError(f"A tag has no {name!r}.") from None

    def __repr__(self) -> str:
        kind = "exclusive tag" if self["exclusive"] else "tag"
        uses = ", ".join(f"{count} {of.replace('_', ' ')}" for of, count in self["uses"].items())
        return f"<{kind} {self['name']}: {uses or 'unused'}>"


class MetadataComparison:
    """Metadata side by side: ``subjects`` are the ids, ``rows`` have ``key``, ``values`` in their
    order and ``same``."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.kind = str(answer["kind"])
        self.subjects: list[str] = list(answer["subjects"])
        self.rows: list[dict[str, Any]] = list(answer["rows"])

    @property
    def different(self) -> list[dict[str, Any]]:
        """The rows in which not all are the same."""
        return [row for row in self.rows if not row["same"]]

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row per key and a column per subject. Raises ``ImportError``
        where pandas is not installed."""
        import pandas

        values = {row["key"]: row["values"] for row in self.rows}
        return pandas.DataFrame.from_dict(values, orient="index", columns=self.subjects)

    def to_json(self) -> dict[str, Any]:
        """As ``GET api/v1/metadata/compare`` gives it."""
        return {"kind": self.kind, "subjects": self.subjects, "rows": self.rows}

    def __repr__(self) -> str:
        lines = [f"<metadata of {len(self.subjects)} {self.kind.replace('_', ' ')}s>"]
        for row in self.rows:
            mark = " " if row["same"] else "*"
            lines.append(f"{mark} {row['key']}: {' | '.join(map(repr, row['values']))}")
        return "\n".join(lines)


def _about(given: dict[str, Any]) -> dict[str, Any]:
    on = named("attach_tags", **given)
    if on is None:
        raise UsageError("What are the tags of?", hint="Say for example run=….")
    return on


class TagClient(Asking):
    """Tags and metadata. What is not there raises :class:`~warmcell.errors.NotFound`."""

    def create_tag(self, name: str, exclusive: bool = False, color: str | None = None) -> TagInfo:
        """Define a tag; see :class:`warmcell.Tag`. Raises :class:`~warmcell.errors.Conflict` where
        it is defined otherwise."""
        check_name(name)
        check_color(color)
        body = {
            "name": name,
            "exclusive": exclusive,
            "color": None if color is None else str(color),
        }
        return TagInfo(self._call("POST", "api/v1/tags", body))

    def get_tag(self, tag_name_or_id: str) -> TagInfo:
        """Return one tag."""
        return TagInfo(self._call("GET", f"api/v1/tags/{quote(tag_name_or_id, safe='')}"))

    def list_tags(self) -> list[TagInfo]:
        """Return the tags by name."""
        return [TagInfo(tag) for tag in self._call("GET", "api/v1/tags")["tags"]]

    def update_tag(
        self,
        tag_name_or_id: str,
        name: str | None = None,
        exclusive: bool | None = None,
        color: str | None = None,
    ) -> TagInfo:
        """Change a tag, or give it another ``name``; who has it keeps it. Raises
        :class:`~warmcell.errors.Conflict` if it is to be exclusive and several have it."""
        body = {"new_name": name, "exclusive": exclusive, "color": color and str(color)}
        path = f"api/v1/tags/{quote(tag_name_or_id, safe='')}"
        return TagInfo(self._call("PATCH", path, body))

    def delete_tag(self, tag_name_or_id: str) -> None:
        """Delete a tag, from everything that has it too."""
        self._call("DELETE", f"api/v1/tags/{quote(tag_name_or_id, safe='')}")

    def attach_tags(self, tags: Any, **about: Any) -> dict[str, Any]:
        """Put tags on what the keywords of :func:`warmcell.add_tags` name; return its ``kind``,
        ``subject`` and all its ``tags``."""
        body = {"tags": [tag.to_json() for tag in as_tags(tags)], "on": _about(about)}
        found: dict[str, Any] = self._call("POST", "api/v1/tagged", body)
        return found

    def detach_tags(self, tags: Any, **about: Any) -> dict[str, Any]:
        """Take tags away; as :meth:`attach_tags`."""
        body = {"tags": [tag.name for tag in as_tags(tags)], "on": _about(about)}
        found: dict[str, Any] = self._call("POST", "api/v1/tagged/remove", body)
        return found

    def list_tagged(
        self, tag: str, kind: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return what has a tag, newest first: ``kind``, ``subject`` (an id or a name), ``scope``,
        ``created_at``."""
        given = {"tag": tag, "limit": limit} | ({"kind": kind} if kind else {})
        found: list[dict[str, Any]]
        found = self._call("GET", f"api/v1/tagged?{urlencode(given)}")["tagged"]
        return found

    def create_run_metadata(self, metadata: dict[str, Any], resources: Sequence[Any]) -> None:
        """Keep ``metadata`` with each of ``resources``; see
        :class:`warmcell.models.RunMetadataResource`."""
        from warmcell.metadata.log import create_run_metadata

        create_run_metadata(metadata, resources)

    def get_metadata(self, **about: Any) -> dict[str, Any]:
        """Return what was logged about ``run``, about a step (``run`` and ``step_name``), about an
        artifact version (``artifact_version_id``, or ``artifact_name`` and ``artifact_version``) or
        a model version, in the same way."""
        on = named("get_metadata", **about)
        if on is None:
            raise UsageError("What is the metadata about?", hint="Say for example run=….")
        found = self._call("GET", f"api/v1/metadata?{urlencode(on)}")["metadata"]
        return {key: restored(one["value"], one["type"]) for key, one in found.items()}

    def compare_models(self, name: str, *versions: Any) -> MetadataComparison:
        """Return the metadata of 2 to 20 versions of a model side by side; each by its label,
        number, stage or alias."""
        client: Any = self
        found = [client.get_model_version(name, version) for version in versions]
        return self.compare_metadata(*found, kind="model_version")

    def compare_artifacts(self, name: str, *versions: Any) -> MetadataComparison:
        """Return the metadata of 2 to 20 versions of an artifact side by side; each by its label
        or number."""
        client: Any = self
        found = [client.get_artifact_version(name, version) for version in versions]
        return self.compare_metadata(*found, kind="artifact_version")

    def compare_metadata(self, *subjects: Any, kind: str = "run") -> MetadataComparison:
        """Return the metadata of 2 to 20 runs side by side, or with ``kind`` of artifact or model
        versions (by their ids)."""
        wanted = ",".join(str(getattr(subject, "id", subject)) for subject in subjects)
        given = urlencode({"kind": kind, "subjects": wanted})
        return MetadataComparison(self._call("GET", f"api/v1/metadata/compare?{given}"))
