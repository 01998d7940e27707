"""What a step sees of itself while it runs: its inputs as stored values, and its own step run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warmcell.errors import UsageError

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.runner.execution import Execution

__all__ = ["StepConfiguration", "StepInput", "StepRunView", "input_of"]


class StepInput:
    """One input of the step that runs. ``value`` is the argument itself; ``id`` is that of the
    artifact version it is, None where it is a literal or is not kept."""

    def __init__(self, run: Execution, name: str, value: Any, source: str, id: str | None) -> None:
        self.name = name
        self.value = value
        self.id = id
        self._run = run
        self._source = source

    @property
    def run_metadata(self) -> dict[str, Any]:
        """What was logged about it by now."""
        noted = self._run.noted
        said = noted.said(self._source) if noted is not None else {}
        if self.id is None or self._run.made(self.id):
            return said  # the host may not have heard of it yet
        return {**self.version.run_metadata, **said}

    @property
    def version(self) -> ArtifactVersion:
        """The artifact version. Raises :class:`~warmcell.errors.UsageError` for what is none, and
        :class:`~warmcell.errors.NotFound` where the host does not know it yet."""
        from warmcell.client import Client

        if self.id is None:
            raise UsageError(
                f"Input `{self.name}` is no artifact.", hint="Its `value` is what was passed."
            )
        return Client().get_artifact_version(self.id)

    def load(self) -> Any:
        """The value, which the step got already."""
        return self.value

    def __repr__(self) -> str:
        return f"<input {self.name}: {f'artifact version {self.id}' if self.id else 'a literal'}>"


def input_of(
    run: Execution, name: str, value: Any, source: str, version: str | None = None
) -> StepInput:
    """The input of a step; ``source`` as in :class:`warmcell.records.StepRecord`."""
    origin, found = source, version
    for artifact in run.artifacts if found is None and source[:1] not in ("$", "=") else ():
        label = f"{artifact.step}.{artifact.name}"
        if source == label or source.startswith((f"{label}[", f"{label}.")):
            origin = label
            found = artifact.version if source == label else None  # a part of it is not it
    return StepInput(run, name, value, origin, found)


@dataclass(frozen=True)
class StepConfiguration:
    """What a step was called with: ``parameters`` are the arguments that no step made."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepRunView:
    """The step run that goes on here. ``id`` is the run's, a slash and the step's name."""

    id: str
    name: str
    config: StepConfiguration
    status: str = "running"
