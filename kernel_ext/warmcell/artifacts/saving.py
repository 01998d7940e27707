"""Saving and loading artifacts by hand, from a notebook or inside a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.artifacts.artifact_config import ArtifactConfig
from warmcell.artifacts.keeping import fields_of
from warmcell.artifacts.naming import substitutions_of
from warmcell.artifacts.serializer import Serializer
from warmcell.artifacts.storing import store
from warmcell.context import current
from warmcell.errors import UsageError
from warmcell.ids import new_id, now
from warmcell.records import VersionRecord
from warmcell.schemas.jsonform import qualified

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion

__all__ = ["load_artifact", "save_artifact"]


def save_artifact(
    data: Any,
    name: str,
    version: str | int | None = None,
    artifact_type: str | None = None,
    tags: Any = None,
    extract_metadata: bool = True,
    include_visualizations: bool = True,
    user_metadata: Mapping[str, Any] | None = None,
    materializer: Serializer | type[Serializer] | None = None,
) -> ArtifactVersion:
    """Keep ``data`` as a new version of the artifact ``name`` and return it once it is stored.

    Inside a step the version belongs to that step of the run. ``name`` and ``version`` may have
    places, such as ``{date}``. Without ``version`` the next number is its label. ``materializer``
    is a :class:`~warmcell.artifacts.Serializer` to use instead of the one for its class. Facts are
    left out without ``extract_metadata``; ``include_visualizations`` changes nothing, as pictures
    are drawn when they are looked at.

    Raises:
        ArtifactError: it cannot be written.
        Conflict: the artifact has a version of that label already.
        UsageError: it holds what is to be masked, or the name has a place that means nothing.
    """
    from warmcell.client import Client
    from warmcell.link import kernel
    from warmcell.model.templates import fill, has_places
    from warmcell.tags import as_tags

    config = ArtifactConfig(name, version, artifact_type=artifact_type)
    labels = as_tags(tags or ())
    scope, time = current.get(), now()
    run = None if scope is None else scope.run
    if run is not None and run.redaction.active and run.redaction.covers(name, data):
        raise UsageError(
            f"Artifact '{name}' would hold what is to be masked.",
            hint="Save it without secrets, or under a name that `redact` does not cover.",
        )
    places: dict[str, Any] = {"run_id": "", "run_name": None, "pipeline": "", "time": time}
    if run is not None:
        places |= {"run_id": run.run_id, "run_name": run.run_name, "pipeline": run.pipeline.name}
        places["more"] = substitutions_of(run, getattr(scope, "step", None))
    named, label = (
        fill(text, **places) if text is not None and has_places(text) else text
        for text in (name, None if version is None else str(version))
    )
    chosen = materializer() if isinstance(materializer, type) else materializer
    client = Client()
    folder = Path(kernel().link().status.blobs)
    stored = store(data, folder, serializer=chosen)
    if not extract_metadata:
        stored.facts = {}
    role = config.artifact_type
    record = VersionRecord(
        id=new_id(), artifact=str(named), type=qualified(type(data)), created_at=time,
        status="stored", version=label, run_id=run.run_id if run is not None else None,
        step=scope.step_name if scope is not None else None,
        pipeline=run.pipeline.name if run is not None else None,
        role=str(role) if role is not None else stored.role, tags=[tag.name for tag in labels],
        **{k: v for k, v in fields_of(stored).items() if k != "type"},
    )  # fmt: skip
    client._call("POST", "api/v1/artifact-versions", json.loads(msgspec.json.encode(record)))
    saved = client.get_artifact_version(record.id)
    if labels:
        _tag(labels, record.id)
    if user_metadata:
        from warmcell.metadata.log import log_metadata

        log_metadata(dict(user_metadata), artifact_version_id=record.id)
        saved = client.get_artifact_version(record.id)
    return saved


def load_artifact(
    name_or_id: str | ArtifactVersion, version: str | int | None = None, *, tag: str | None = None
) -> Any:
    """Load the value of an artifact: of its newest version, or of the one that a label, a number
    or ``tag`` names. Inside a step the record says that it took it.

    Raises as :meth:`~warmcell.artifacts.version.ArtifactVersion.load`, and
    :class:`~warmcell.errors.NotFound`.
    """
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.client import Client
    from warmcell.records import UseRecord

    found = name_or_id
    if not isinstance(found, ArtifactVersion):
        found = Client().get_artifact_version(str(name_or_id), version, tag=tag)
    value = found.load()
    scope = current.get()
    if scope is not None and scope.run.keep:
        use = UseRecord(scope.run.run_id, found.artifact, found.id, now(), scope.step_name)
        scope.run.uses.append(use)
    return value


def _tag(labels: Any, version: str) -> None:
    """Put tags on it that say more than their name: the record has only names."""
    from warmcell.tagging import add_tags

    if any(tag.color or tag.exclusive is not None for tag in labels):
        add_tags(list(labels), artifact_version_id=version)
