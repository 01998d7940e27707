"""Arguments of steps that stand for a stored value: the step gets the value itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from warmcell.ids import now
from warmcell.records import UseRecord

if TYPE_CHECKING:
    from warmcell.context import StepContext
    from warmcell.runner.execution import Execution

__all__ = ["HANDLES", "Handle", "taken"]


class Handle(Protocol):
    """What stands for a stored value."""

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        """The value for the parameter ``name`` of a step, and the id of its version if it has
        one."""


HANDLES: set[type] = set()
"""The classes of handles; empty until one was imported, so that others cost nothing."""


def taken(run: Execution, scope: StepContext, args: Any, kwargs: dict[str, Any]) -> Any:
    """The arguments of a step with its handles resolved; also noted in ``scope`` and in the run."""
    if HANDLES.isdisjoint(map(type, args)) and HANDLES.isdisjoint(map(type, kwargs.values())):
        return args, kwargs
    positional = scope.step.positional
    names = [*positional, *(f"[{n}]" for n in range(len(positional), len(args)))]
    args = [_value(run, scope, name, arg) for name, arg in zip(names, args, strict=False)]
    kwargs = {name: _value(run, scope, name, arg) for name, arg in kwargs.items()}
    scope.given(args, kwargs)
    return args, kwargs


def _value(run: Execution, scope: StepContext, name: str, given: Any) -> Any:
    if type(given) not in HANDLES:
        return given
    value, version = given.taken(run, scope.step_name, name)
    if version is not None:
        scope.took(name, version)
    if version is not None and run.keep:
        run.uses.append(UseRecord(run.run_id, name, version, now(), scope.step_name))
    return value
