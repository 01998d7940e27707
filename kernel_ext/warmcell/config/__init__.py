"""Configuration classes under the names that ZenML has them; each is one of ours."""

from __future__ import annotations

from warmcell.options import Retry as StepRetryConfig

__all__ = ["StepRetryConfig"]
