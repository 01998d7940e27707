"""Warmcell: pipelines made of notebook cells, served by the kernel that holds their objects.

Names are loaded on first use (PEP 562): the host imports ``warmcell.wire`` and nothing more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from warmcell.around.endpoints.definition import endpoint
    from warmcell.around.exchange import Request, Response
    from warmcell.artifacts.artifact_config import ArtifactConfig
    from warmcell.artifacts.external_artifact import ExternalArtifact
    from warmcell.artifacts.preexisting import PreexistingArtifactPath
    from warmcell.artifacts.saving import (
        load_artifact,
        log_artifact_metadata,
        register_artifact,
        save_artifact,
    )
    from warmcell.backtests.gate import Gate
    from warmcell.caching.policy import CachePolicy
    from warmcell.caching.resuming import resume
    from warmcell.client import Client
    from warmcell.config.deployment_settings import DeploymentSettings
    from warmcell.context import (
        get_pipeline_context,
        get_step_context,
        report_progress,
    )
    from warmcell.history.golden import (
        delete_golden,
        list_golden,
        load_golden,
        save_golden,
    )
    from warmcell.metadata.log import bulk_log_metadata, log_metadata
    from warmcell.model.model import Model
    from warmcell.model.utils import link_artifact_to_model
    from warmcell.options import Retry
    from warmcell.pipelines import Pipeline, pipeline
    from warmcell.secrets import get_secret
    from warmcell.steps import Step, step, unmapped
    from warmcell.tagging import add_tags, remove_tags
    from warmcell.tags import Tag

__version__ = "0.1.0"

__all__ = [
    "ArtifactConfig",
    "CachePolicy",
    "Client",
    "DeploymentSettings",
    "ExternalArtifact",
    "Gate",
    "Model",
    "Pipeline",
    "PreexistingArtifactPath",
    "Request",
    "Response",
    "Retry",
    "Step",
    "Tag",
    "add_tags",
    "bulk_log_metadata",
    "delete_golden",
    "endpoint",
    "get_pipeline_context",
    "get_secret",
    "get_step_context",
    "link_artifact_to_model",
    "list_golden",
    "load_artifact",
    "load_golden",
    "log_artifact_metadata",
    "log_metadata",
    "pipeline",
    "register_artifact",
    "remove_tags",
    "report_progress",
    "resume",
    "save_artifact",
    "save_golden",
    "step",
    "unmapped",
]

_HOMES = {
    "ArtifactConfig": "artifacts.artifact_config",
    "CachePolicy": "caching.policy",
    "Client": "client",
    "DeploymentSettings": "config.deployment_settings",
    "ExternalArtifact": "artifacts.external_artifact",
    "Gate": "backtests.gate",
    "Model": "model.model",
    "Pipeline": "pipelines",
    "PreexistingArtifactPath": "artifacts.preexisting",
    "Request": "around.exchange",
    "Response": "around.exchange",
    "Retry": "options",
    "Step": "steps",
    "Tag": "tags",
    "add_tags": "tagging",
    "bulk_log_metadata": "metadata.log",
    "delete_golden": "history.golden",
    "endpoint": "around.endpoints.definition",
    "get_pipeline_context": "context",
    "get_secret": "secrets",
    "get_step_context": "context",
    "link_artifact_to_model": "model.utils",
    "list_golden": "history.golden",
    "load_artifact": "artifacts.saving",
    "load_golden": "history.golden",
    "log_artifact_metadata": "artifacts.saving",
    "log_metadata": "metadata.log",
    "pipeline": "pipelines",
    "register_artifact": "artifacts.saving",
    "remove_tags": "tagging",
    "report_progress": "context",
    "resume": "caching.resuming",
    "save_artifact": "artifacts.saving",
    "save_golden": "history.golden",
    "step": "steps",
    "unmapped": "steps",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Answer ``%load_ext warmcell``: add the magics, connect to the host in the background."""
    from warmcell.extension import load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Answer ``%unload_ext warmcell``: take away exactly what loading added."""
    from warmcell.extension import unload

    unload(ipython)
