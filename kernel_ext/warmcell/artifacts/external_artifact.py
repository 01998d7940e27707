"""ExternalArtifact: a value that no step made, handed to a step."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from warmcell.artifacts.materialized import Materialized
from warmcell.artifacts.serializer import Serializer
from warmcell.errors import NotFound, UsageError
from warmcell.runner.taking import HANDLES

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.model.model import Model
    from warmcell.model.version import ModelVersion
    from warmcell.runner.execution import Execution

__all__ = ["ExternalArtifact"]

_UNSET = object()


class ExternalArtifact:
    """Hand a step a value that no step of the run made: ``train(data=ExternalArtifact(frame))``.

    Args:
        value: any value; it is kept as a version of ``pipeline::external::parameter``.
        id: of an artifact version that is stored already; or
        name: of an artifact, with ``version`` a label or number, else its newest version; with
            ``model`` the one that belongs to this version of a model.
        materializer: how the value is written, as of ``@step(output_materializers=...)``.
        store_artifact_metadata: whether facts about the value are found out.
        store_artifact_visualizations: whether its materializer draws it.
    """

    def __init__(
        self,
        value: Any = _UNSET,
        *,
        id: str | None = None,
        name: str | None = None,
        version: str | int | None = None,
        model: Model | ModelVersion | None = None,
        materializer: Any = None,
        store_artifact_metadata: bool = True,
        store_artifact_visualizations: bool = True,
    ) -> None:
        if (value is not _UNSET) + (id is not None) + (name is not None) != 1:
            raise UsageError(
                "An ExternalArtifact is a value, or else the `id` or `name` of an artifact.",
                hint="Write ExternalArtifact(frame), or ExternalArtifact(name='rows', version=3).",
            )
        if version is not None and name is None:
            raise UsageError("`version` of an ExternalArtifact goes with a `name`.")
        if model is not None and name is None:
            raise UsageError("`model` of an ExternalArtifact goes with the `name` of an artifact.")
        self._value = value
        self._model = model
        self._how: dict[str, Any] = {}
        if materializer is not None:
            given = materializer
            self._how["serializer"] = (
                given if isinstance(given, Serializer) else Materialized.of(given)
            )
        if not store_artifact_metadata:
            self._how["facts"] = False
        if not store_artifact_visualizations:
            self._how["visualize"] = False
        self._wanted = id or name
        self._version = version
        self._kept: dict[str, str] = {}
        self._lock = threading.Lock()

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        """The value and the id of its version; see :class:`warmcell.runner.taking.Handle`."""
        if self._wanted is not None:
            found = self._found(self._wanted)
            return found.load(), found.id
        if run.keeper is None:
            return self._value, None
        with self._lock:  # kept once per run, however many steps take it
            version = self._kept.get(run.run_id)
            if version is None:
                artifact = f"{run.pipeline.name}::external::{name}"
                version = run.keeper.take_in(artifact, self._value, **self._how)
                self._kept = {run.run_id: version}
        return self._value, version

    def identity(self) -> str | None:
        """What tells its value apart, for the key of a step that takes it; None where nothing
        does."""
        from warmcell.caching.key import digest_of

        if self._wanted is None:
            return digest_of(self._value)
        return self._found(self._wanted).identity()

    def _found(self, wanted: str) -> ArtifactVersion:
        """The version that is stored already. Raises :class:`NotFound`."""
        from warmcell.client import Client

        if self._model is None:
            found = Client().get_artifact_version(wanted, self._version)
        else:
            found = self._model.get_artifact(wanted, self._version)
        if found is None:
            raise NotFound(
                f"Model '{self._model.name if self._model else ''}' has no artifact "
                f"'{wanted}' in this version."
            )
        return found


HANDLES.add(ExternalArtifact)
