"""Warmcell's host: a Jupyter server extension, or the same inside a kernel."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter server what to load (it times the import of this package: keep it light)."""
    from warmcell_server.extension import Warmcell

    return [{"module": "warmcell_server", "app": Warmcell}]
