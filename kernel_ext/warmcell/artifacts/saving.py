"""Saving and loading artifacts by hand, from a notebook or inside a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.artifacts import origins
from warmcell.artifacts.artifact_config import ArtifactConfig
from warmcell.artifacts.keeping import fields_of
from warmcell.artifacts.materialized import Materialized
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
    from warmcell.materializers.base_materializer import BaseMaterializer

__all__ = ["load_artifact", "log_artifact_metadata", "register_artifact", "save_artifact"]


def save_artifact(
    data: Any,
    name: str,
    version: str | int | None = None,
    artifact_type: str | None = None,
    tags: Any = None,
    extract_metadata: bool = True,
    include_visualizations: bool = True,
    user_metadata: Mapping[str, Any] | None = None,
    materializer: Serializer | type[Serializer] | type[BaseMaterializer] | None = None,
    is_model_artifact: bool = False,
    is_deployment_artifact: bool = False,
) -> ArtifactVersion:
    """Keep ``data`` as a new version of the artifact ``name`` and return it once it is stored.

    Inside a step the version belongs to that step of the run. ``name`` and ``version`` may have
    places, such as ``{date}``. Without ``version`` the next number is its label. ``materializer``
    is a :class:`~warmcell.artifacts.Serializer`, or a materializer, to use instead of the one for
    its class. Facts are left out without ``extract_metadata``, and what a materializer draws
    without ``include_visualizations``.

    Raises:
        ArtifactError: it cannot be written.
        Conflict: the artifact has a version of that label already.
        UsageError: it holds what is to be masked, or the name has a place that means nothing.
    """
    from warmcell.client import Client
    from warmcell.link import kernel
    from warmcell.model.templates import fill, has_places
    from warmcell.tags import as_tags

    if is_model_artifact or is_deployment_artifact:
        artifact_type = "model" if is_model_artifact else "service"
    config = ArtifactConfig(name, version, artifact_type=artifact_type)
    labels = as_tags(tags or ())
    scope, time = current.get(), now()
    run = None if scope is None else scope.run
    if run is not None and run.redaction.active and run.redaction.holds(name, data):
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
    chosen: Any = materializer
    if isinstance(chosen, type):
        chosen = chosen() if issubclass(chosen, Serializer) else Materialized.of(chosen)
    client = Client()
    folder = Path(kernel().link().status.blobs)
    stored = store(
        data, folder, serializer=chosen, facts=extract_metadata, visualize=include_visualizations
    )
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
    origins.remember(data, record.id)
    saved = client.get_artifact_version(record.id)
    if labels:
        _tag(labels, record.id)
    if user_metadata:
        from warmcell.metadata.log import log_metadata

        log_metadata(dict(user_metadata), artifact_version_id=record.id)
        saved = client.get_artifact_version(record.id)
    return saved


def register_artifact(
    folder_or_file_uri: str | Path,
    name: str,
    version: str | int | None = None,
    artifact_type: str | None = None,
    tags: Any = None,
    has_custom_name: bool = True,
    artifact_metadata: Mapping[str, Any] | None = None,
    is_model_artifact: bool = False,
) -> ArtifactVersion:
    """Keep a file or a folder that is there already as a new version of the artifact ``name``. It
    is kept as it is now: what is written there later is a version of its own, if you register it
    again. Loading gives the path of a copy. ``has_custom_name`` changes nothing.

    Raises:
        ArtifactError: it cannot be read, or has links or too many files.
        UsageError: there is no such file or folder; and what :func:`save_artifact` raises.
    """
    path = Path(str(folder_or_file_uri).removeprefix("file://")).expanduser()
    if not path.exists():
        raise UsageError(f"There is no file or folder {path} to register.")
    return save_artifact(
        path, name, version, "model" if is_model_artifact else artifact_type, tags,
        user_metadata=artifact_metadata,
    )  # fmt: skip


def log_artifact_metadata(
    metadata: Mapping[str, Any],
    artifact_name: str | None = None,
    version: str | int | None = None,
) -> None:
    """Log metadata about an artifact version: by name the newest or that of ``version``; without a
    name the only output of the step that runs. The older name of
    :func:`~warmcell.metadata.log.log_metadata` with ``infer_artifact``."""
    from warmcell.context import StepContext
    from warmcell.metadata.log import log_metadata

    scope = current.get()
    if isinstance(scope, StepContext) and version is None:
        outputs = [output.name for output in scope.step.outputs]
        if artifact_name is None or artifact_name in outputs:
            log_metadata(dict(metadata), infer_artifact=True, artifact_name=artifact_name)
            return
    if artifact_name is None:
        raise UsageError("Which artifact is meant?", hint="Pass artifact_name='...'.")
    log_metadata(dict(metadata), artifact_name=artifact_name, artifact_version=version)


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
