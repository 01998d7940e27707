"""Artifacts: what a step gave, described for the history, written to files and read back.

One serializer per kind of value; the first that accepts a value wins, pickle is the last. A class
of your own gets one by :func:`register`.
"""

from __future__ import annotations

from warmcell.artifacts.describing import INLINE, describe, recorded
from warmcell.artifacts.files import Incoming, Outgoing
from warmcell.artifacts.registry import register, serializer_for, serializer_of
from warmcell.artifacts.serializer import Serializer, Summary

__all__ = [
    "INLINE",
    "Incoming",
    "Outgoing",
    "Serializer",
    "Summary",
    "describe",
    "recorded",
    "register",
    "serializer_for",
    "serializer_of",
]
