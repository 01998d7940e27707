"""Caching: a step of a batch run whose code and inputs are known takes the results of before."""

from __future__ import annotations

from warmcell.caching.key import Key, differences, key_of
from warmcell.caching.policy import CachePolicy, policy_of

__all__ = ["CachePolicy", "Key", "differences", "key_of", "policy_of"]
