"""Names of what metadata is logged about, for :func:`bulk_log_metadata`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from warmcell.enums import MetadataResourceTypes
from warmcell.errors import UsageError

__all__ = [
    "ArtifactVersionIdentifier",
    "ModelVersionIdentifier",
    "PipelineRunIdentifier",
    "RunMetadataResource",
    "StepRunIdentifier",
]


@dataclass(frozen=True)
class PipelineRunIdentifier:
    """A run by its id, its name or the beginning of its id."""

    id: Any = None
    name: str | None = None
    prefix: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What ``api/v1/metadata`` takes as ``on``."""
        return {"kind": "run", "run": _one(self, self.id, self.name, self.prefix)}


@dataclass(frozen=True)
class StepRunIdentifier:
    """A step run by its id (run id, slash, name), or by its name and run."""

    id: Any = None
    name: str | None = None
    run: PipelineRunIdentifier | None = None

    def to_json(self) -> dict[str, Any]:
        """What ``api/v1/metadata`` takes as ``on``."""
        if self.id is not None:
            return {"kind": "step", "id": _one(self, self.id)}
        if self.run is None:
            raise UsageError(f"{self} names no step run.", hint="Give its id, or name and run.")
        return {"kind": "step", "step": _one(self, self.name), "run": self.run.to_json()["run"]}


@dataclass(frozen=True)
class ArtifactVersionIdentifier:
    """A version of an artifact by its id, or by name and version."""

    id: Any = None
    name: str | None = None
    version: Any = None

    def to_json(self) -> dict[str, Any]:
        """What ``api/v1/metadata`` takes as ``on``."""
        return _version(self, "artifact")


@dataclass(frozen=True)
class ModelVersionIdentifier:
    """A version of a model by its id, or by name and version."""

    id: Any = None
    name: str | None = None
    version: Any = None

    def to_json(self) -> dict[str, Any]:
        """What ``api/v1/metadata`` takes as ``on``."""
        return _version(self, "model")


@dataclass(frozen=True)
class RunMetadataResource:
    """What metadata is about, by its id and its kind."""

    id: Any
    type: MetadataResourceTypes | str

    def to_json(self) -> dict[str, Any]:
        """What ``api/v1/metadata`` takes as ``on``."""
        try:
            kind = MetadataResourceTypes(self.type)
        except ValueError:
            known = ", ".join(MetadataResourceTypes)
            raise UsageError(
                f"There is no metadata about the kind {self.type!r}.", hint=f"Kinds: {known}."
            ) from None
        names = {
            MetadataResourceTypes.PIPELINE_RUN: ("run", "run"),
            MetadataResourceTypes.STEP_RUN: ("step", "id"),
            MetadataResourceTypes.ARTIFACT_VERSION: ("artifact_version", "id"),
            MetadataResourceTypes.MODEL_VERSION: ("model_version", "id"),
        }
        named, member = names[kind]
        return {"kind": named, member: _one(self, self.id)}


def _version(given: Any, owner: str) -> dict[str, Any]:
    kind = f"{owner}_version"
    if given.id is not None:
        return {"kind": kind, "id": _one(given, given.id)}
    version = _one(given, given.version)
    return {"kind": kind, owner: _one(given, given.name), "version": version}


def _one(owner: object, *values: Any) -> str:
    for value in values:
        if value is not None and str(value):
            return str(value)
    raise UsageError(f"{owner} names nothing.", hint="Give an id, or a name and what it needs.")
