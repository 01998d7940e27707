"""The OpenAPI 3.1 document of a deployment, made from its schemas."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from warmcell.records import TERMINAL
from warmcell_server import problems
from warmcell_server.deployment import Deployment
from warmcell_server.examples import example

__all__ = ["document"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_LOCAL = "#/$defs/"
_COMPONENT = "#/components/schemas/"
# Keywords whose values are data, in which "$ref" is a word like any other.
_DATA = frozenset({"default", "const", "enum", "example", "examples"})
_ERRORS = {
    "400": "The body is no JSON or not UTF-8.",
    "401": "No valid token or login.",
    "403": "Not allowed.",
    "404": "No such deployment or run.",
    "413": "The body is larger than the limit.",
    "415": "The content type is not JSON.",
    "422": "The parameters do not fit; `errors` has a JSON Pointer for each.",
    "429": "As many calls wait as may; `Retry-After` says when to try again.",
    "500": "A step raised; `step`, `run_id` and `detail` say where and what.",
    "503": "No worker can take the call now; `Retry-After` says when to try again.",
    "504": "The run did not end within its timeout.",
}


def document(deployment: Deployment) -> dict[str, Any]:
    """Return the document of ``deployment``. Its version is the snapshot's id; its server is
    relative to its own address, so that it holds behind any proxy."""
    schemas: dict[str, Any] = {}
    schemas["Parameters"] = _lift(deployment.input_schema, "Parameters", schemas)
    schemas["Outputs"] = _lift(deployment.output_schema, "Outputs", schemas)
    schemas.update(_own_schemas(deployment))
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": _DIALECT,
        "info": {
            "title": deployment.name,
            "version": deployment.snapshot_id,
            "description": f"Pipeline `{deployment.pipeline}`, served by Warmcell. "
            f"Steps: {', '.join(deployment.steps) or 'none known'}.",
        },
        "servers": [{"url": "./"}],
        "security": [{"token": []}, {"bearer": []}],
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "The Jupyter server's token, as `token <token>`.",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _paths() -> dict[str, Any]:
    run = {"name": "run_id", "in": "path", "required": True, "schema": {"type": "string"}}
    every = ("401", "403", "404", "503")
    return {
        "/invoke": {
            "post": {
                "operationId": "invoke",
                "summary": "Run the pipeline and wait for its outputs",
                "requestBody": {"required": True, "content": _content("Invocation")},
                "responses": _responses("The outputs", "Result", tuple(_ERRORS)),
            }
        },
        "/runs": {
            "get": {
                "operationId": "list_runs",
                "summary": "Runs of this deployment, newest first",
                "parameters": [
                    _query("limit", "integer"),
                    _query("before", "string"),
                    _query("status", "string"),
                    _query("since", "string"),
                    _query("until", "string"),
                ],
                "responses": _responses("One page of runs", "Runs", (*every, "422")),
            }
        },
        "/runs/{run_id}": {
            "parameters": [run],
            "get": {
                "operationId": "get_run",
                "summary": "One run with its steps, artifacts and logs",
                "responses": _responses("The run", "Run", every),
            },
            "delete": {
                "operationId": "cancel_run",
                "summary": "Cancel a run",
                "responses": {
                    **_responses("It is being stopped", None, (*every, "409"), "202"),
                },
            },
        },
        "/health": _probe("health", "Whether it is ready, with what is measured of it"),
        "/livez": _probe("live", "Whether the server knows it"),
        "/readyz": _probe("ready", "Whether a worker can take calls"),
        "/info": _probe("info", "What is served, since when, from where"),
    }


def _probe(name: str, summary: str) -> dict[str, Any]:
    every = ("401", "403", "404", "503")
    return {
        "get": {
            "operationId": name,
            "summary": summary,
            "responses": _responses(summary, None, every),
        }
    }


def _query(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": kind}}


def _content(schema: str | None, media: str = "application/json") -> dict[str, Any]:
    return {media: {"schema": {"$ref": _COMPONENT + schema} if schema else {"type": "object"}}}


def _responses(
    text: str, schema: str | None, errors: tuple[str, ...], status: str = "200"
) -> dict[str, Any]:
    found: dict[str, Any] = {status: {"description": text, "content": _content(schema)}}
    for error in errors:
        found[error] = {
            "description": _ERRORS.get(error, "The run has already ended."),
            "content": _content("Problem", problems.CONTENT_TYPE),
        }
    return found


def _own_schemas(deployment: Deployment) -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "number"}
    maybe_text = {"type": ["string", "null"]}
    moment = {"type": ["string", "null"], "format": "date-time"}
    invocation = {
        "type": "object",
        "required": ["parameters"],
        "additionalProperties": False,
        "properties": {
            "parameters": {"$ref": _COMPONENT + "Parameters"},
            "run_name": maybe_text,
            "timeout": {
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "description": "Seconds; it can shorten the deployment's timeout.",
            },
        },
        "examples": [{"parameters": example(msgspec.json.decode(deployment.input_schema))}],
    }
    metadata = {
        "type": "object",
        "properties": {
            "run_id": text,
            "run_name": maybe_text,
            "deployment": text,
            "snapshot": {"type": "integer"},
            "snapshot_id": text,
            "pipeline": text,
            "parameters_used": {"$ref": _COMPONENT + "Parameters"},
        },
    }
    result = {
        "type": "object",
        "required": ["success", "outputs", "execution_time", "metadata", "error"],
        "properties": {
            "success": {"const": True},
            "outputs": {"$ref": _COMPONENT + "Outputs"},
            "execution_time": {**number, "description": "Seconds."},
            "metadata": metadata,
            "error": {"type": "null"},
        },
    }
    run = {
        "type": "object",
        "required": ["run_id", "status"],
        "properties": {
            "run_id": text,
            "run_name": maybe_text,
            "status": {"enum": ["queued", "running", *sorted(TERMINAL)]},
            "created_at": moment,
            "started_at": moment,
            "finished_at": moment,
            "duration": {"type": ["number", "null"], "description": "Seconds."},
            "parameters": {},
            "outputs": {},
            "error": {"type": ["object", "null"]},
        },
    }
    runs = {
        "type": "object",
        "properties": {
            "runs": {"type": "array", "items": {"$ref": _COMPONENT + "Run"}},
            "next": {**maybe_text, "description": "The `before` of the next page."},
        },
    }
    problem = {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {**text, "format": "uri"},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "instance": text,
            "hint": text,
            "run_id": text,
            "step": text,
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"pointer": text, "message": text, "type": text},
                },
            },
        },
    }
    return {
        "Invocation": invocation,
        "Result": result,
        "Run": run,
        "Runs": runs,
        "Problem": problem,
    }


def _lift(raw: msgspec.Raw, prefix: str, components: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose ``$defs`` have moved to ``components`` under names of ``prefix``:
    inside the document, its references would point at the document's root."""
    schema: dict[str, Any] = msgspec.json.decode(raw)
    for name, definition in schema.pop("$defs", {}).items():
        components[_name(prefix, name)] = _point(definition, prefix)
    schema.pop("$schema", None)
    lifted: dict[str, Any] = _point(schema, prefix)
    return lifted


def _point(node: Any, prefix: str) -> Any:
    if isinstance(node, list):
        return [_point(item, prefix) for item in node]
    if not isinstance(node, dict):
        return node
    found = {}
    for key, value in node.items():
        if isinstance(value, str) and value.startswith(_LOCAL):
            if key == "$ref":
                value = _COMPONENT + _name(prefix, value.removeprefix(_LOCAL))
        elif key == "discriminator" and isinstance(value, dict):
            mapping = {
                tag: _COMPONENT + _name(prefix, target.removeprefix(_LOCAL))
                for tag, target in value.get("mapping", {}).items()
            }
            value = {**value, "mapping": mapping}
        elif key not in _DATA:
            value = _point(value, prefix)
        found[key] = value
    return found


def _name(prefix: str, name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{prefix}.{name}")
