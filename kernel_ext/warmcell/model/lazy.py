"""Artifacts of a model that the body of a pipeline asks for: found when the step begins.

A body names an artifact before the steps of its run have made it, as ZenML's do:
``predict(get_pipeline_context().model.get_artifact("checkpoint"), after=["train"])``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmcell.artifacts.version import ArtifactVersion
from warmcell.context import StepContext, current
from warmcell.errors import NotFound
from warmcell.runner.taking import HANDLES, stored_by

if TYPE_CHECKING:
    from warmcell.model.version import ModelVersion
    from warmcell.runner.execution import Execution

__all__ = ["LazyArtifact", "ModelArtifact", "lazy"]


class _Wanted:
    """An artifact of a version of a model, by its role, name and version."""

    def __init__(
        self, run: Execution, model: ModelVersion, role: str | None, name: str, version: Any
    ) -> None:
        self.model, self.name = model, name
        self._run, self._role, self._version = run, role, version

    def now(self) -> ArtifactVersion:
        """What it is now: what this run made counts before what was there. Raises
        :class:`NotFound`."""
        found: ArtifactVersion | None = self._own()
        found = found or self.model._artifact(self._role, self.name, self._version)
        if found is not None:
            return found
        known = sorted({one["artifact"] for one in self.model.artifacts()})
        raise NotFound(
            f"Version '{self.model.name}' of model '{self.model.model_name}' has no artifact "
            f"'{self.name}' when the step begins.",
            hint=f"It has {', '.join(known) or 'none'}. A step that waits for what makes it "
            "begins later: after=[...].",
        )

    def _own(self) -> ArtifactVersion | None:
        """The newest output of a step of this run that is called so."""
        keeper = self._run.keeper
        for record in reversed(list(keeper.records) if keeper is not None else []):
            if record.artifact != self.name and not record.artifact.endswith(f"::{self.name}"):
                continue
            if self._version is not None and record.version != str(self._version):
                continue
            if self._role in (None, "model", record.role or "data"):
                return stored_by(self._run, record.id)
        if self._version is None:
            for output in reversed(self._run.artifacts):  # of a step that was reused
                if output.name == self.name and output.version is not None:
                    return self.model._client.get_artifact_version(output.version)
        return None


class ModelArtifact(ArtifactVersion):
    """What a body found. A step that it is given to gets what is there when that begins."""

    _wanted: _Wanted

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        found = self._wanted.now()
        return found.load(), found.id

    def identity(self) -> str | None:
        return self._wanted.now().identity()


class LazyArtifact:
    """What was not there yet when a body asked for it; false, and to be given to a step."""

    def __init__(self, wanted: _Wanted) -> None:
        self._wanted = wanted

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        """The value and the id of its version; see :class:`warmcell.runner.taking.Handle`."""
        found = self._wanted.now()
        return found.load(), found.id

    def identity(self) -> str | None:
        """What tells its value apart, for the key of a step that takes it."""
        return self._wanted.now().identity()

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._wanted.now(), name)

    def __repr__(self) -> str:
        return f"<artifact {self._wanted.name} of {self._wanted.model!r}, once it is there>"


HANDLES.update({ModelArtifact, LazyArtifact})


def lazy(model: ModelVersion, role: str | None, name: str, version: Any) -> Any:
    """The artifact of that name: in the body of a run that makes versions one that is looked up
    again when a step takes it, elsewhere as it is now, None where there is none."""
    found: ArtifactVersion | None = model._artifact(role, name, version)
    scope = current.get()
    run: Any = getattr(scope, "run", None)
    if run is None or isinstance(scope, StepContext) or run.deployment is not None:
        return found
    wanted = _Wanted(run, model, role, name, version)
    if found is None:
        return LazyArtifact(wanted)
    made = ModelArtifact(found.to_json(), found._client)
    made._wanted = wanted
    return made
