"""API keys of deployments, and the short-lived ones of their pages."""

from __future__ import annotations

from warmcell_server.keys.keyring import Keys

__all__ = ["Keys"]
