"""Arguments of steps that stand for a stored value: the step gets the value itself."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from warmcell.errors import UsageError
from warmcell.ids import now, rfc3339
from warmcell.records import UseRecord

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.context import StepContext
    from warmcell.records import VersionRecord
    from warmcell.runner.execution import Execution
    from warmcell.steps import Step

__all__ = ["AS_STORED", "HANDLES", "Handle", "stored_by", "taken"]


class Handle(Protocol):
    """What stands for a stored value."""

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        """The value for the parameter ``name`` of a step, and the id of its version if it has
        one."""


HANDLES: set[type] = set()
"""The classes of handles; empty until one was imported, so that others cost nothing."""

AS_STORED: list[type] = []
"""The class of parameters that take a version and not its value; empty until it was imported."""

_WAIT = 600.0  # seconds, for a version that is being written

_wanting: weakref.WeakKeyDictionary[Step, frozenset[str]] = weakref.WeakKeyDictionary()


def taken(run: Execution, scope: StepContext, args: Any, kwargs: dict[str, Any]) -> Any:
    """The arguments of a step with its handles resolved; also noted in ``scope`` and in the run."""
    stored = _as_stored(scope.step) if AS_STORED else None
    if (
        not stored
        and HANDLES.isdisjoint(map(type, args))
        and HANDLES.isdisjoint(map(type, kwargs.values()))
    ):
        return args, kwargs
    positional = scope.step.positional
    names = [*positional, *(f"[{n}]" for n in range(len(positional), len(args)))]
    args = [_value(run, scope, name, arg) for name, arg in zip(names, args, strict=False)]
    kwargs = {name: _value(run, scope, name, arg) for name, arg in kwargs.items()}
    scope.given(args, kwargs)
    return args, kwargs


def _value(run: Execution, scope: StepContext, name: str, given: Any) -> Any:
    if name in _as_stored(scope.step):
        value = _version(run, scope, name, given)
        version = value.id
    elif type(given) not in HANDLES:
        return given
    else:
        value, version = given.taken(run, scope.step_name, name)
    if version is not None:
        scope.took(name, version)
    if version is not None and run.keep:
        run.uses.append(UseRecord(run.run_id, name, version, now(), scope.step_name))
    return value


def _as_stored(step: Step) -> frozenset[str]:
    """The parameters of ``step`` that take an artifact version and not its value."""
    found = _wanting.get(step)
    if found is None:
        kinds = tuple(AS_STORED)
        names = {kind.__name__ for kind in kinds}
        found = _wanting[step] = frozenset(
            name
            for name, parameter in step.inputs.parameters.items()
            if parameter.annotation in kinds
            # as text, where the module has its annotations so
            or str(parameter.annotation).rpartition(".")[2] in names
        )
    return found


def _version(run: Execution, scope: StepContext, name: str, given: Any) -> Any:
    """The artifact version that the parameter ``name`` stands for. Raises :class:`UsageError` where
    there is none."""
    from warmcell.artifacts.files import in_folder
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.client import Client

    (kind,) = AS_STORED
    if isinstance(given, ArtifactVersion):
        return kind(given.to_json(), given._client)
    keeper = run.keeper
    if type(given) in HANDLES:
        version = given.taken(run, scope.step_name, name)[1]
    else:
        version = _origin(run, scope.step_name, name)
    own = keeper is not None and any(record.id == version for record in list(keeper.records))
    record = keeper.written(version, _WAIT) if keeper is not None and version and own else None
    if record is None or keeper is None:
        if version is not None:  # of an earlier run
            return kind(Client().get_artifact_version(version).to_json(), Client())
        raise UsageError(
            f"`{name}` of step `{scope.step_name}` takes a stored artifact, and this run has none "
            "for it.",
            hint="Pass what a step returned, in a run that keeps its artifacts: one from a cell, "
            'or of a deployment with artifacts="all".',
        )
    made = kind(_row(record), None)
    made._where = in_folder(keeper.folder)
    return made


def stored_by(run: Execution, version: str) -> ArtifactVersion | None:
    """A version that ``run`` makes, once it is written; the store may not know of it yet. None
    where it is none of that run's."""
    from warmcell.artifacts.files import in_folder
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.client import Client

    keeper = run.keeper
    record = keeper.written(version, _WAIT) if keeper is not None else None
    if record is None or keeper is None:
        return None
    made = ArtifactVersion(_row(record), Client())
    made._where = in_folder(keeper.folder)
    return made


def _origin(run: Execution, step: str, name: str) -> str | None:
    """The version of the output that the parameter ``name`` of the running ``step`` comes from."""
    running = [node for node, _ in list(run.running.values()) if node.name == step]
    origin = running[0].inputs.get(name) if running else None
    for record in reversed(run.artifacts):
        if f"{record.step}.{record.name}" == origin:
            return record.version
    return None


def _row(record: VersionRecord) -> dict[str, Any]:
    """A version that the store may not have yet, as it will answer it."""
    row: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(msgspec.Raw,))
    value = None if record.value is None else msgspec.json.decode(record.value)
    label = record.version or ""
    return row | {
        "value": value, "number": 0, "version": label, "created_at": rfc3339(record.created_at)
    }  # fmt: skip
