"""The cache policy under the module that ZenML has it in."""

from __future__ import annotations

from warmcell.caching.policy import CachePolicy

__all__ = ["CachePolicy"]
