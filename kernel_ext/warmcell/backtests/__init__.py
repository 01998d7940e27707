"""Backtests: recorded calls of a deployment replayed through a pipeline as it is now."""

from __future__ import annotations

from warmcell.backtests.backtest import Backtest, Row
from warmcell.backtests.gate import Gate

__all__ = ["Backtest", "Gate", "Row"]
