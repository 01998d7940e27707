"""Configuration classes under the names that ZenML has them; each is one of ours."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from warmcell.options import Retry as StepRetryConfig

if TYPE_CHECKING:
    from warmcell.caching.policy import CachePolicy
    from warmcell.config.deployment_settings import (
        CORSConfig,
        DeploymentDefaultEndpoints,
        DeploymentDefaultMiddleware,
        DeploymentSettings,
        EndpointMethod,
        EndpointSpec,
        MiddlewareSpec,
        SecureHeadersConfig,
    )

__all__ = [
    "CORSConfig",
    "CachePolicy",
    "DeploymentDefaultEndpoints",
    "DeploymentDefaultMiddleware",
    "DeploymentSettings",
    "EndpointMethod",
    "EndpointSpec",
    "MiddlewareSpec",
    "SecureHeadersConfig",
    "StepRetryConfig",
]

_ELSEWHERE = {"CachePolicy": "warmcell.caching.policy"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _ELSEWHERE.get(name, f"{__name__}.deployment_settings")
    return getattr(import_module(home), name)
