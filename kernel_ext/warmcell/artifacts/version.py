"""ArtifactVersion: one stored value as the store has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from warmcell.artifacts import origins
from warmcell.changes import Table
from warmcell.errors import ArtifactError
from warmcell.metadata.values import restored
from warmcell.model.logged import logged
from warmcell.runner.taking import HANDLES

if TYPE_CHECKING:
    from warmcell.artifacts.files import Blobs, Incoming
    from warmcell.artifacts.showing import Visualizations
    from warmcell.artifacts.storing import Stored
    from warmcell.client import Client
    from warmcell.lineage import Lineage, Origin
    from warmcell.runner.execution import Execution

__all__ = ["ArtifactVersion", "ArtifactVersions"]


class ArtifactVersion:
    """One version of an artifact. What the store says of it are attributes: ``id``, ``artifact``
    (also ``name``), ``version`` (its label), ``number``, ``kind``, ``type``, ``role``, ``size`` in
    bytes, ``digest``, ``facts``, ``status``, ``run_id``, ``step``, ``output``, ``pipeline``,
    ``tags`` and ``user``."""

    def __init__(self, row: Mapping[str, Any], client: Client) -> None:
        self._row, self._client = dict(row), client
        self._where: Blobs | None = None  # its files, where they are known to be
        self.id: str = row["id"]
        self.artifact: str = row["artifact"]
        self.number: int = row["number"]
        self.version: str = row["version"]
        self.kind: str = row["kind"]
        self.type: str = row["type"]
        self.role: str | None = row.get("role")
        self.size: int | None = row.get("size")
        self.digest: str | None = row.get("digest")
        self.facts: dict[str, Any] = row.get("facts") or {}
        self.status: str = row["status"]
        self.run_id: str | None = row.get("run_id")
        self.step: str | None = row.get("step")
        self.output: str | None = row.get("name")
        self.pipeline: str | None = row.get("pipeline")
        self.tags: list[str] = row.get("tags") or []
        self.user: str | None = row.get("user")

    @property
    def name(self) -> str:
        """The artifact's name."""
        return self.artifact

    @property
    def content_hash(self) -> str | None:
        """:attr:`digest`, by ZenML's name."""
        return self.digest

    @property
    def created_at(self) -> datetime:
        """When it was made, UTC."""
        return datetime.fromisoformat(self._row["created_at"])

    @property
    def run_metadata(self) -> dict[str, Any]:
        """What was logged about it, by key, and what is known by itself: ``storage_size`` in bytes,
        ``shape``, …"""
        found: dict[str, Any] = self._detail("metadata") or {}
        types = self._row.get("metadata_types") or {}
        said = {name: restored(value, types.get(name, "")) for name, value in found.items()}
        return {name: logged(value) for name, value in (self._facts() | said).items()}

    metadata = run_metadata

    @property
    def kept_by(self) -> list[dict[str, Any]]:
        """What keeps it from being deleted: ``kind``, ``name`` and ``how`` of each run, model,
        snapshot, deployment and tag. Asked for anew each time."""
        self._row = self._fresh()
        found: list[dict[str, Any]] = self._row["kept_by"]
        return found

    def load(self, hint: Any = None) -> Any:
        """The value. ``hint`` is the class to make, where the value was kept as plain JSON.

        Raises:
            ArtifactError: it is not stored (yet), damaged, or what reads it is not here.
            NotTrusted: reading it would run code that this user has not signed.
        """
        from warmcell.artifacts.storing import restore

        stored, row = self._stored(), self._row
        value = restore(stored, self._blobs(), value=row.get("value"), hint=hint)
        origins.loaded(value, self.id)
        return value

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        """The value, for a step that this version was given to; see :mod:`.runner.taking`."""
        return self.load(), self.id

    def identity(self) -> str | None:
        """What tells its value apart, for the key of a step that takes it."""
        return self.digest or self.id

    def fetch(self) -> dict[str, Path]:
        """Where its files are on this machine, by name; none where the value is kept as JSON. They
        are shared: copy what is to be changed. Raises :class:`ArtifactError`."""
        from warmcell.artifacts.files import inside

        parts = self._incoming()
        return {str(inside(name)): parts.path(name) for name in parts.names}

    def download_files(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write its files into the ZIP file ``path``; a small value is in ``value.json``.

        Raises:
            ArtifactError: it is not stored, or damaged.
            UsageError: ``path`` does not end in ``.zip``, or is there and not to be overwritten.
        """
        from warmcell.artifacts.downloading import download

        return download(self, Path(path), overwrite)

    @property
    def visualizations(self) -> Visualizations:
        """How to look at it: files that its materializer made for that, else its picture, its first
        rows, its text, or what is known about it. Callable, too. Raises :class:`ArtifactError` once
        it is looked at."""
        from warmcell.artifacts.showing import Visualizations

        return Visualizations(self)

    def visualize(self, title: str | None = None) -> None:
        """Show it below the cell, or print it outside of a notebook. Loads no pickle. Raises
        :class:`ArtifactError`."""
        from warmcell.artifacts.showing import display

        display(title or f"{self.artifact} {self.version}", self.visualizations())

    @property
    def about(self) -> dict[str, Any]:
        """What a load needs to know: ``form``, ``sha256`` of the files, ``libraries``, and what
        kind of ``visualizations`` it has."""
        return dict(self._row.get("about") or {})

    @property
    def value(self) -> Any:
        """The JSON of a value that is small; None where it is in files."""
        return self._row.get("value")

    @property
    def data(self) -> Any:
        """The value, loaded anew each time."""
        return self.load()

    def lineage(self, *, direction: Any = "both", depth: int = 20) -> Lineage:
        """What it came from and what was made of it, up to the deployments that serve it; see
        :meth:`~warmcell.client.Client.get_lineage`."""
        return self._client.get_lineage(self, direction=direction, depth=depth)

    def origin(self) -> Origin:
        """The run that made it, with parameters, snapshot, code and inputs."""
        return self._client.get_artifact_origin(self)

    def trust(self) -> None:
        """Sign it as this user: from now on loading it runs its code here."""
        from warmcell.artifacts.storing import endorse

        about = endorse(self._stored())
        path = f"{self._path}/signatures"
        self._client._call("POST", path, {"signature": about["signature"][-1]})
        self._row["about"] = about

    def delete(self) -> None:
        """Delete it. Raises :class:`~warmcell.errors.Conflict` while something keeps it."""
        self._client._call("DELETE", self._path)

    def to_json(self) -> dict[str, Any]:
        """All of it, as the control plane answers it."""
        return dict(self._row)

    @property
    def _path(self) -> str:
        return f"api/v1/artifact-versions/{quote(self.id, safe='')}"

    def _fresh(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client._call("GET", self._path)
        return found

    def _facts(self) -> dict[str, Any]:
        facts = {"storage_size": self.size, **self.facts}
        if "shape" not in facts and "rows" in facts:
            columns = facts.get("columns")
            facts["shape"] = [facts["rows"]] if columns is None else [facts["rows"], columns]
        if "shape" in facts:
            facts["shape"] = tuple(facts["shape"])
        return facts

    def _detail(self, name: str) -> Any:
        """Something that lists leave out."""
        if name not in self._row:
            self._row = self._fresh()
        return self._row[name]

    def _blobs(self) -> Blobs:
        from warmcell.artifacts.fetching import fetching

        return self._where or fetching(self._client._transport, self.id)

    def _incoming(self) -> Incoming:
        """Its files, to be read without loading the value."""
        from warmcell.artifacts.files import Incoming

        stored = self._stored()
        return Incoming(self._blobs(), stored.files, stored.about.get("sha256") or {})

    def _stored(self) -> Stored:
        from warmcell.artifacts.storing import Stored

        if self.status == "pending":  # it may be there by now
            self._row = self._fresh()
            self.status = self._row["status"]
        if self.status != "stored":
            raise ArtifactError(
                f"Version {self.version} of artifact '{self.artifact}' is {self.status}.",
                hint="It is still being written: load it again in a moment."
                if self.status == "pending"
                else "Its value was not kept. Run what makes it again, once that is put right."
                if self.status.startswith("refused")
                else "Run the pipeline that made it again.",
            )
        row = {name: self._row.get(name) for name in Stored.__struct_fields__ if name != "value"}
        return msgspec.convert({k: v for k, v in row.items() if v is not None}, Stored)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArtifactVersion) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        status = "" if self.status == "stored" else f", {self.status}"
        return f"<artifact {self.artifact} version {self.version}: {self.type}{status}>"


HANDLES.add(ArtifactVersion)


class ArtifactVersions(Table, Sequence[ArtifactVersion]):
    """Artifact versions, newest first."""

    columns = ("artifact", "version", "type", "bytes", "created", "run", "step", "tags", "status")

    def __init__(self, found: Sequence[ArtifactVersion]) -> None:
        self._found = list(found)

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._found[index]

    def rows(self) -> list[list[Any]]:
        return [
            [
                one.artifact, one.version, one.type.removeprefix("builtins."), one.size,
                one.created_at.isoformat(timespec="seconds"), one.run_id, one.step,
                ", ".join(one.tags), one.status,
            ]
            for one in self._found
        ]  # fmt: skip

    def title(self) -> str:
        return "" if self._found else "There are no such artifacts."
