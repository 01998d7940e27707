"""Reading the body of a pipeline: can its graph be planned, traced, or must it run eagerly?"""

from __future__ import annotations

from warmcell.analysis.bodies import Analysis, analyse, unknown_calls, used_before_made

__all__ = ["Analysis", "analyse", "unknown_calls", "used_before_made"]
