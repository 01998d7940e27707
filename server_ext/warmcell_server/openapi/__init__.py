"""The OpenAPI 3.1 document of a deployment, made from its schemas and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from warmcell_server.deployment import Deployment
from warmcell_server.examples import example
from warmcell_server.openapi.components import components
from warmcell_server.openapi.endpoints import add_endpoints
from warmcell_server.openapi.paths import SECURITY, paths
from warmcell_server.openapi.schemas import absorb, nullable
from warmcell_server.settings import Settings

__all__ = ["document"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TAGS = {
    "calls": "Running the pipeline.",
    "runs": "What became of the calls.",
    "state": "How the deployment fares.",
    "documents": "What it is.",
    "custom": "Endpoints of its author.",
}


def document(
    deployment: Deployment, recorded: Sequence[tuple[str, dict[str, Any]]] = ()
) -> dict[str, Any]:
    """Return the document of ``deployment``. Its version is the snapshot's id unless the settings
    say another; its server is relative to its own address, so that it holds behind any proxy.

    ``recorded`` are titles and parameters of runs that may be shown to whoever asks.
    """
    served = deployment.served
    input_schema = msgspec.json.decode(deployment.input_schema)
    output_schema = msgspec.json.decode(deployment.output_schema)
    found = components(served.auth == "public")
    schemas = found["schemas"]
    schemas["Parameters"] = absorb(input_schema, "Parameters", schemas)
    schemas["Outputs"] = absorb(nullable(output_schema), "Outputs", schemas)
    made = {"parameters": example(input_schema)}
    schemas["Invocation"]["examples"] = [made]
    items = _offered(paths(deployment, _examples(made, recorded)), served)
    add_endpoints(items, deployment.endpoints, schemas)
    used = {o["tags"][0] for i in items.values() for o in i.values() if "tags" in o}
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": _DIALECT,
        "info": {
            "title": served.app_title or deployment.name,
            "version": served.app_version or deployment.snapshot_id,
            "description": served.app_description or _description(deployment),
        },
        "servers": [{"url": "./"}],
        "security": SECURITY,
        "tags": [{"name": n, "description": text} for n, text in _TAGS.items() if n in used],
        "paths": items,
        "components": found,
    }


def _offered(items: dict[str, Any], served: Settings) -> dict[str, Any]:
    """``items`` without what the settings leave out."""
    if served.include_default_endpoints is None:
        return items
    api = served.api_url_path
    named = {
        api + served.invoke_url_path: "invoke",
        api + served.submit_url_path: "submit",
        api + served.info_url_path: "info",
        api + served.metrics_url_path: "metrics",
        served.docs_url_path: "docs",
        "/openapi.json": "docs",
        **dict.fromkeys((api + served.health_url_path, "/livez", "/readyz"), "health"),
    }
    return {path: i for path, i in items.items() if path not in named or served.offers(named[path])}


def _description(deployment: Deployment) -> str:
    steps = ", ".join(deployment.steps) or "none known"
    return f"Pipeline `{deployment.pipeline}`, served by Warmcell. Steps: {steps}."


def _examples(
    made: dict[str, Any], recorded: Sequence[tuple[str, dict[str, Any]]]
) -> dict[str, Any]:
    found = {"schema": {"summary": "Made from the schema", "value": made}}
    for number, (title, parameters) in enumerate(recorded, 1):
        found[f"run{number}"] = {"summary": title, "value": {"parameters": parameters}}
    return found
