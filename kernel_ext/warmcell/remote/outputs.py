"""What the steps of a run gave, as artifact versions by the name of the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from warmcell.artifacts.version import ArtifactVersion
from warmcell.errors import UsageError
from warmcell.runner.taking import HANDLES

if TYPE_CHECKING:
    from warmcell.runner.execution import Execution
    from warmcell.runs import Run

__all__ = ["StepOutput", "StepOutputs", "only", "outputs_of"]


class StepOutput(Sequence[ArtifactVersion]):
    """The artifact versions of one output of a step run: one. What a version has, it has as well,
    so that ``outputs["x"].load()`` and ``outputs["x"][0].load()`` do the same."""

    def __init__(self, versions: Sequence[ArtifactVersion]) -> None:
        self._versions = list(versions)

    def __len__(self) -> int:
        return len(self._versions)

    def __getitem__(self, index: Any) -> Any:
        return self._versions[index]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._versions[-1], name)

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        """The value, for a step that this was given to; see :mod:`warmcell.runner.taking`."""
        return self._versions[-1].taken(run, step, name)

    def __repr__(self) -> str:
        return repr(self._versions[-1])


HANDLES.add(StepOutput)

StepOutputs: TypeAlias = Mapping[str, StepOutput]


def outputs_of(run: Run, step: str) -> dict[str, StepOutput]:
    """The outputs of the step run ``step`` that were kept, in their order."""
    from warmcell.client import Client

    client = Client.of(run._transport) if run._transport is not None else Client()
    found: dict[str, list[ArtifactVersion]] = {}
    # The ids say it also of a step that was reused: its versions are of the run that made them.
    ids = [
        # In the kernel that ran it, a record's version is the id itself.
        (record["name"], record.get("version_id", record.get("version")))
        for record in run.artifacts
        if record.get("step") == step
    ]
    for name, version in ids:
        if version is None:
            continue
        found.setdefault(name, []).append(client.get_artifact_version(version))
    return {name: StepOutput(versions) for name, versions in found.items()}


def only(step: str, outputs: StepOutputs) -> StepOutput:
    """The only one of ``outputs``. Raises :class:`UsageError` where there is not one."""
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    known = ", ".join(outputs)
    raise UsageError(
        f"Step `{step}` has {len(outputs)} stored outputs.",
        hint=f"Name one of them: outputs[...] of {known}." if known
        else "Nothing was kept of it: a call keeps what its deployment's `artifacts` says.",
    )  # fmt: skip
