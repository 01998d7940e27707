"""Artifacts: what a step gave, described for the history, written to bytes and read back.

One serializer per kind of value; the first that accepts a value wins, pickle is the last.
"""

from __future__ import annotations

from warmcell.artifacts.describing import INLINE, describe, recorded
from warmcell.artifacts.registry import dump, load, serializer_for, serializer_of
from warmcell.artifacts.serializer import Serializer, Summary

__all__ = [
    "INLINE",
    "Serializer",
    "Summary",
    "describe",
    "dump",
    "load",
    "recorded",
    "serializer_for",
    "serializer_of",
]
