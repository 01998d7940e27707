"""Model: what a pipeline or a step works on, by name and version; ``@pipeline(model=Model(…))``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from warmcell.enums import ModelStages
from warmcell.errors import NotFound, UsageError
from warmcell.model.templates import has_places
from warmcell.model.version import ModelVersion

__all__ = ["Model"]


@dataclasses.dataclass
class Model:
    """A model by name, and which version of it.

    Args:
        name: of the model; made with the first version. It may have places, too.
        version: a label ("1.0.5", made where there is none), a number or a stage (which must be
            there), or a text with places: "run-{run.id[:8]}", "{date}". Without one each run of a
            pipeline makes a new version. A served call makes none: it sees what the deployment
            follows, else the newest.
        tags: of the model and of the versions that are made.
    """

    name: str
    version: str | int | ModelStages | None = None
    license: str | None = None
    description: str | None = None
    audience: str | None = None
    use_cases: str | None = None
    limitations: str | None = None
    trade_offs: str | None = None
    ethics: str | None = None
    tags: Sequence[str] | None = None
    save_models_to_registry: bool = True

    def __post_init__(self) -> None:
        name: Any = self.name
        if not isinstance(name, str) or not name.strip() or len(name) > 255:
            raise UsageError(f"The name of a model is a text of 1 to 255, not {self.name!r}.")
        if isinstance(self.tags, str):
            self.tags = [self.tags]
        version: Any = self.version
        if isinstance(version, bool) or not isinstance(version, str | int | None):
            raise UsageError(
                f"`version` of model '{self.name}' is a text, a number or a stage, not "
                f"{version!r}.",
            )
        self._found: ModelVersion | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What the model is, without which version was found: a snapshot looks anew."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._found = None

    @property
    def makes(self) -> bool:
        """Whether a run with this model makes a version, unless there is one of that label."""
        version = self.version
        return version is None or (
            isinstance(version, str) and version not in set(ModelStages) and not version.isdecimal()
        )

    @property
    def templated(self) -> bool:
        """Whether the version's label has places to fill in."""
        return isinstance(self.version, str) and has_places(self.version)

    def about(self) -> dict[str, Any]:
        """What was said of the model."""
        names = ("description", "license", "audience", "use_cases", "limitations", "trade_offs",
                 "ethics")  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def found(self, version: ModelVersion) -> Model:
        """This model with the version that it turned out to be."""
        known = dataclasses.replace(self, version=version.name)
        known._found = version
        return known

    @property
    def model_version(self) -> ModelVersion:
        """The version as the store has it. Raises :class:`~warmcell.errors.NotFound`."""
        if self._found is None:
            from warmcell.client import Client

            if self.templated or has_places(self.name):
                raise NotFound(
                    f"Which version '{self.version}' of model '{self.name}' is, a run decides.",
                    hint="Inside of it, ask get_step_context().model.",
                )
            self._found = Client().get_model_version(self.name, self.version)
        else:
            self._found._looked_up("latest" if self.version is None else str(self.version))
        return self._found

    @property
    def id(self) -> str:
        """Id of the version."""
        return self.model_version.id

    @property
    def model_id(self) -> str:
        """The model's name, which is what it is known by."""
        return self.name

    @property
    def number(self) -> int:
        """Number of the version."""
        return int(self.model_version.number)

    @property
    def stage(self) -> ModelStages | None:
        """The stage that the version was in when it was looked at."""
        found = self.model_version.stage
        return ModelStages(found) if found else None

    @property
    def run_metadata(self) -> dict[str, Any]:
        """What was logged about the version by now."""
        version = self.model_version
        return version._client.get_model_version(version.model_name, version.name).run_metadata

    def set_stage(
        self, stage: str | ModelStages, force: bool = False, **options: Any
    ) -> ModelVersion:
        """See :meth:`~warmcell.model.version.ModelVersion.set_stage`."""
        return self.model_version.set_stage(stage, force, **options)

    def get_artifact(self, name: str, version: str | int | None = None) -> Any:
        """See :meth:`~warmcell.model.version.ModelVersion.get_artifact`; in the body of a
        pipeline it is looked for when the step that it is given to begins."""
        return self._lazy(None, name, version)

    def get_model_artifact(self, name: str, version: str | int | None = None) -> Any:
        """See :meth:`~warmcell.model.version.ModelVersion.get_model_artifact`; in the body of a
        pipeline it is looked for when the step that it is given to begins."""
        return self._lazy("model", name, version)

    def get_data_artifact(self, name: str, version: str | int | None = None) -> Any:
        """See :meth:`~warmcell.model.version.ModelVersion.get_data_artifact`; in the body of a
        pipeline it is looked for when the step that it is given to begins."""
        return self._lazy("data", name, version)

    def get_deployment_artifact(self, name: str, version: str | int | None = None) -> Any:
        """See :meth:`~warmcell.model.version.ModelVersion.get_deployment_artifact`; in the body
        of a pipeline it is looked for when the step that it is given to begins."""
        return self._lazy("deployment", name, version)

    def _lazy(self, role: str | None, name: str, version: str | int | None) -> Any:
        from warmcell.model.lazy import lazy

        return lazy(self.model_version, role, name, version)

    def load_artifact(self, name: str, version: str | int | None = None) -> Any:
        """See :meth:`~warmcell.model.version.ModelVersion.load_artifact`."""
        return self.model_version.load_artifact(name, version)
