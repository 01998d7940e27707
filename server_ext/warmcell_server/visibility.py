"""What a caller sees of runs. Jupyter's users and keys with the scope "read" see all of all runs.

Others see the runs that they made themselves (a key those that were made with it, anybody those
that anybody made), and of them what became of them: neither logs nor tracebacks nor what the steps
passed on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from warmcell.errors import NotFound
from warmcell.ids import created

if TYPE_CHECKING:
    from warmcell_server.handlers.guarded import GuardedHandler

__all__ = ["check", "shown"]

_HIDDEN = frozenset({"logs", "artifacts", "notebook", "user", "host_id", "kernel_id"})
_HIDDEN_OF_STEPS = frozenset({"upstream", "inputs"})


def check(caller: GuardedHandler, user: str | None, run_id: str) -> None:
    """Raise :class:`NotFound` unless the caller may see a run that ``user`` made.

    Runs of an earlier key of the same name are not the caller's.
    """
    if caller.sees_all:
        return
    key = caller.key
    if user != caller.user or (key is not None and created(run_id) < key.created_at // 1000):
        raise NotFound(f"Deployment '{caller.path_args[0]}' has no run '{run_id}'.")


def shown(caller: GuardedHandler, run: dict[str, Any]) -> dict[str, Any]:
    """Return what the caller may see of ``run``, as the store or the dispatcher describes it.

    Raises :class:`NotFound` if that is nothing.
    """
    check(caller, run.get("user"), run["run_id"])
    if caller.sees_all:
        return run
    hidden = _HIDDEN | {"deliveries"} if caller.anybody else _HIDDEN
    found = {name: value for name, value in run.items() if name not in hidden}
    found["error"] = _without_traceback(run.get("error"))
    if "steps" in run:
        found["steps"] = [_step(step) for step in run["steps"]]
    return found


def _step(step: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in step.items() if name not in _HIDDEN_OF_STEPS}
    return {**found, "error": _without_traceback(step.get("error"))}


def _without_traceback(error: Any) -> Any:
    if not isinstance(error, dict):
        return error
    return {name: value for name, value in error.items() if name != "traceback"}
