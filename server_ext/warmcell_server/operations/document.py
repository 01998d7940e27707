"""The description of the control plane itself."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import warmcell
from warmcell_server.operation import Call, Result, Routes

if TYPE_CHECKING:
    from warmcell_server.host import Host

__all__ = ["ROUTES"]

ROUTES = Routes()


@ROUTES.add("GET", "api/v1/openapi.json")
async def _document(host: Host, call: Call) -> Result:
    """This document."""
    return 200, _made()


@cache
def _made() -> dict[str, Any]:
    from warmcell_server.openapi.control import control_document
    from warmcell_server.operations import ROUTES as ALL

    return control_document(ALL, warmcell.__version__)
