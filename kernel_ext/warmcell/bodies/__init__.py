"""Bodies of calls that are not JSON: tables, arrays, files and pictures, in and out."""

from __future__ import annotations

from warmcell.bodies.giving import Given, check_accept, give
from warmcell.bodies.receiving import Received, receive

__all__ = ["Given", "Received", "check_accept", "give", "receive"]
