"""Custom endpoints: functions of the notebook that answer requests beside ``invoke``."""

from __future__ import annotations

from warmcell.around.endpoints.definition import Endpoint, EndpointMethod, attached, endpoint

__all__ = ["Endpoint", "EndpointMethod", "attached", "endpoint"]
