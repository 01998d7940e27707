"""ArtifactConfig: what a step says of an output in its return annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warmcell.enums import ArtifactType
from warmcell.errors import DefinitionError

__all__ = ["ArtifactConfig"]


@dataclass(frozen=True)
class ArtifactConfig:
    """Configures the artifact that an output becomes: ``-> Annotated[T, ArtifactConfig(...)]``.

    Args:
        name: of the artifact, the same in all pipelines; may have places, such as ``{date}``,
            ``{time}``, ``{run.id}`` and those of ``substitutions``. Else it is called
            ``pipeline::step::output``.
        version: a label; else versions count 1, 2, 3…
        tags: names, or :class:`warmcell.Tag`, for every version.
        run_metadata: metadata for every version.
        artifact_type: one of :class:`warmcell.enums.ArtifactType`; else what the value is.
        is_model_artifact: the older word for ``artifact_type="model"``.
        is_deployment_artifact: the older word for ``artifact_type="service"``.
    """

    name: str | None = None
    version: str | int | None = None
    tags: Sequence[Any] | None = None
    run_metadata: Mapping[str, Any] | None = None
    artifact_type: ArtifactType | str | None = None
    is_model_artifact: bool = False
    is_deployment_artifact: bool = False

    def __post_init__(self) -> None:
        name: Any = self.name
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise DefinitionError(f"`name` of an ArtifactConfig is a text, not {name!r}.")
        version: Any = self.version
        if version is not None and (
            isinstance(version, bool)
            or not isinstance(version, str | int)
            or str(version) in ("", "latest")
        ):
            raise DefinitionError(
                f"`version` of an ArtifactConfig is a label or a number, not {version!r}.",
                hint='"latest" is the newest one by itself.' if version == "latest" else None,
            )
        if isinstance(self.tags, str):
            object.__setattr__(self, "tags", (self.tags,))
        metadata: Any = self.run_metadata
        if metadata is not None and not isinstance(metadata, Mapping):
            raise DefinitionError(f"`run_metadata` is a dict of names, not {metadata!r}.")
        if self.artifact_type is None and (self.is_model_artifact or self.is_deployment_artifact):
            role = ArtifactType.MODEL if self.is_model_artifact else ArtifactType.SERVICE
            object.__setattr__(self, "artifact_type", role)
        if self.artifact_type is not None:
            known = [str(kind) for kind in ArtifactType]
            given = str(getattr(self.artifact_type, "value", self.artifact_type)).lower()
            if given not in known:
                raise DefinitionError(
                    f"There is no artifact type {given!r}.", hint=f"There are {', '.join(known)}."
                )
            object.__setattr__(self, "artifact_type", ArtifactType(given))
