"""Models: what is trained, evaluated and served under one name, in versions that have stages."""

from __future__ import annotations
