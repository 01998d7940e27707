"""Executing runs: the state machine, and the threads, loops and tokens that it uses."""

from __future__ import annotations

from warmcell.runner.cancellation import CancelToken
from warmcell.runner.executing import UNSET, Outcome, execute
from warmcell.runner.execution import Execution

__all__ = ["UNSET", "CancelToken", "Execution", "Outcome", "execute"]
