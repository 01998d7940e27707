"""Views for notebooks: deploy, history, run, graph, live progress. Each is loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warmcell_widgets.dag import Dag
    from warmcell_widgets.deploy import DeployWidget
    from warmcell_widgets.live import LiveRun, live_run
    from warmcell_widgets.run_history import History, history
    from warmcell_widgets.runview import RunView

__all__ = ["Dag", "DeployWidget", "History", "LiveRun", "RunView", "history", "live_run"]

_HOMES = {
    "Dag": "dag",
    "DeployWidget": "deploy",
    "History": "run_history",
    "LiveRun": "live",
    "RunView": "runview",
    "history": "run_history",
    "live_run": "live",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
