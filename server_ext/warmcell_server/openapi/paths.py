"""The paths of a deployment, as it is configured."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from warmcell.records import Status
from warmcell_server.deployment import Deployment
from warmcell_server.openapi.bodies import given, taken
from warmcell_server.openapi.components import ERRORS, content, problem_reference
from warmcell_server.openapi.messages import reference
from warmcell_server.settings import Settings

__all__ = ["ACCESS", "paths", "responses"]

ACCESS = ("401", "403", "404", "503")
_RUN_ID = "$response.body#/metadata/run_id"
_ASKING = ("Prefer", "IdempotencyKey", "Traceparent")
_ACCEPTED_ID = "$response.body#/run_id"


def paths(deployment: Deployment, examples: dict[str, Any]) -> dict[str, Any]:
    """The path items of ``deployment``; ``examples`` are of its invocations."""
    served = deployment.served
    api = served.api_url_path
    run_id = [{"$ref": "#/components/parameters/RunId"}]
    opened = {"security": [{}, *SECURITY]} if served.auth == "public" else {}
    return {
        api + served.invoke_url_path: {"post": {**_invoke(deployment, examples), **opened}},
        api + served.submit_url_path: {"post": {**_submit(deployment, examples), **opened}},
        "/runs": {"get": _list_runs()},
        "/runs/{run_id}": {
            "parameters": run_id,
            "get": {**_get_run(), **opened},
            "delete": _cancel_run(),
        },
        "/runs/{run_id}/events": {"parameters": run_id, "get": {**_events(), **opened}},
        "/runs/{run_id}/outputs/{output}": {
            "parameters": run_id,
            "get": {**_output(), **opened},
        },
        **_probes(served, opened),
        "/openapi.json": {
            "get": {
                "operationId": "get_openapi",
                "tags": ["documents"],
                "summary": "This document",
                "responses": responses("OpenAPI 3.1", content({"type": "object"}), ACCESS),
                **opened,
            }
        },
        served.docs_url_path: {
            "get": {
                "operationId": "get_docs",
                "tags": ["documents"],
                "summary": "This document as a page",
                "responses": responses("A page", content({"type": "string"}, "text/html"), ACCESS),
                **opened,
            }
        },
    }


SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"key": []}, {"token": []}]


def responses(
    text: str, found: dict[str, Any] | None, errors: tuple[str, ...], status: str = "200"
) -> dict[str, Any]:
    """Responses of an operation: a success with ``found`` as content, and ``errors``."""
    success: dict[str, Any] = {"description": text}
    if found is not None:
        success["content"] = found
    return {status: success, **{error: problem_reference(error) for error in errors}}


def _header_references(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _links(run_id: str) -> dict[str, Any]:
    """What can be asked about the run that an answer names."""
    return {
        name: {"operationId": name, "parameters": {"run_id": run_id}}
        for name in ("get_run", "stream_events", "cancel_run")
    }


def _accepted() -> dict[str, Any]:
    headers = ("Location", "Retry-After", "Preference-Applied", "Idempotency-Replayed", "Link")
    return {
        "description": "The run goes on without its caller; `Location` is where to ask for it.",
        "headers": _header_references(*headers),
        "content": content({"anyOf": [reference("Accepted"), reference("BatchAccepted")]}),
        "links": _links(_ACCEPTED_ID),
    }


def _call(
    name: str, summary: str, text: str, deployment: Deployment, examples: Any
) -> dict[str, Any]:
    """An operation that makes runs."""
    schema = msgspec.json.decode(deployment.input_schema)
    outputs = msgspec.json.decode(deployment.output_schema)
    taking = taken(schema)
    taking["application/json"]["examples"] = examples
    parameters = [{"$ref": f"#/components/parameters/{part}"} for part in _ASKING]
    if len(taking) > 1:
        parameters += [
            _query("parameter", _names(schema), "What a body is that is no object and no form."),
            _query("output", _names(outputs), "What an answer is to be that is not JSON."),
        ]
    return {
        "operationId": name,
        "tags": ["calls"],
        "summary": summary,
        "description": text,
        "parameters": parameters,
        "requestBody": {"required": True, "content": taking},
        "responses": {
            "200": {
                "description": "The outputs",
                "headers": _header_references(
                    "Server-Timing", "Preference-Applied", "Idempotency-Replayed", "X-Run-Id"
                ),
                "content": {
                    **given(outputs),
                    **content(reference("Event"), "text/event-stream"),
                },
                "links": _links(_RUN_ID),
            },
            "202": _accepted(),
            **{error: problem_reference(error) for error in ERRORS},
        },
        "callbacks": {"ended": {"{$request.body#/callback_url}": {"post": _callback()}}},
    }


def _invoke(deployment: Deployment, examples: Any) -> dict[str, Any]:
    return _call(
        "invoke",
        "Run the pipeline and wait for its outputs",
        "`parameters` make one run, `instances` one each. With `async` or `Prefer: respond-async` "
        "the answer is 202 and the run goes on by itself; with `Accept: text/event-stream` it is "
        "the events of the run. A body of another type is a parameter, or several as parts of a "
        "form; the others come in the query.",
        deployment,
        examples,
    )


def _submit(deployment: Deployment, examples: Any) -> dict[str, Any]:
    return _call(
        "submit",
        "Run the pipeline without waiting",
        "As `invoke` with `async`: 200 comes only with `Prefer: wait=N`.",
        deployment,
        examples,
    )


def _callback() -> dict[str, Any]:
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    body = {
        "type": "object",
        "properties": {
            "type": {"type": "string", "examples": ["run.succeeded"]},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {
                "type": "object",
                "properties": {
                    name: {"type": "string"} for name in ("run_id", "deployment", "status", "url")
                },
            },
        },
    }
    return {
        "summary": "The end of the run, signed as Standard Webhooks says and sent until it is "
        "answered with 2xx",
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
            for name in names
        ],
        "requestBody": {"content": content(body)},
        "responses": {"2XX": {"description": "Received"}, "410": {"description": "Send no more"}},
    }


def _list_runs() -> dict[str, Any]:
    moment = {"type": "string", "format": "date-time"}
    status = "|".join(get_args(Status))
    return {
        "operationId": "list_runs",
        "tags": ["runs"],
        "summary": "Runs of this deployment, newest first",
        "parameters": [
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
            _query("before", {"type": "string"}, "The `next` of the page before."),
            _query(
                "status",
                {"type": "string", "pattern": f"^({status})(,({status}))*$"},
                "One or several, separated by commas.",
            ),
            _query("trigger", {"type": "string"}, "One or several, separated by commas."),
            _query("snapshot", {"type": "integer", "minimum": 1}),
            _query("since", moment),
            _query("until", moment),
            _query("text", {"type": "string"}, "Somewhere in what is shown of it."),
            _query("tag", {"type": "string"}, "Tags that it has, with commas between them."),
        ],
        "responses": responses(
            "One page of runs", content(reference("Runs")), ("400", *ACCESS, "422")
        ),
    }


def _get_run() -> dict[str, Any]:
    return {
        "operationId": "get_run",
        "tags": ["runs"],
        "summary": "One run, also while it is queued or running",
        "description": "`Prefer: wait=N` waits at most N seconds for its end.",
        "parameters": [{"$ref": "#/components/parameters/Prefer"}],
        "responses": responses("The run", content(reference("Run")), ACCESS),
    }


def _cancel_run() -> dict[str, Any]:
    asked = {
        "type": "object",
        "required": ["run_id", "status"],
        "properties": {"run_id": {"type": "string"}, "status": {"type": "string"}},
    }
    return {
        "operationId": "cancel_run",
        "tags": ["runs"],
        "summary": "Cancel a run",
        "responses": responses("It is being stopped", content(asked), (*ACCESS, "409"), "202"),
    }


def _events() -> dict[str, Any]:
    return {
        "operationId": "stream_events",
        "tags": ["runs"],
        "summary": "What happens in a run, as it happens",
        "description": "Server-Sent Events from the first one on, or from where `Last-Event-ID` "
        "says; the connection ends after the last.",
        "parameters": [
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "Go on after this event.",
                "schema": {"type": "string", "pattern": "^[0-9]{0,18}$"},
            },
            _query("after", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}, "The same."),
            _query(
                "padding",
                {"type": "integer", "minimum": 0, "maximum": 65536},
                "How many bytes a proxy in between holds back, where it does not say that it is "
                "there.",
            ),
        ],
        "responses": {
            **responses(
                "Events", content(reference("Event"), "text/event-stream"), (*ACCESS, "422")
            ),
            "204": {"description": "The run has ended, and you have its last event"},
        },
    }


def _output() -> dict[str, Any]:
    return {
        "operationId": "get_output",
        "tags": ["runs"],
        "summary": "One output of a run that succeeded",
        "parameters": [
            {"name": "output", "in": "path", "required": True, "schema": {"type": "string"}}
        ],
        "responses": responses(
            "JSON, or the bytes of a figure, an image, a table or an array as an attachment",
            {"application/json": {"schema": {}}, "*/*": {}},
            (*ACCESS, "406", "409"),
        ),
    }


def _probes(served: Settings, opened: dict[str, Any]) -> dict[str, Any]:
    api = served.api_url_path
    body = content({"type": "object"})
    metrics = content({"type": "string"}, "text/plain")
    table = [
        (api + served.health_url_path, "health", "Whether it is ready, and how it fares", body, 1),
        ("/livez", "livez", "Whether the server knows it", body, 1),
        ("/readyz", "readyz", "Whether a worker can take calls", body, 1),
        (api + served.info_url_path, "info", "What is served, since when, from where", body, 0),
        (api + served.metrics_url_path, "metrics", "Metrics for Prometheus", metrics, 0),
    ]
    return {
        path: {
            "get": {
                "operationId": name,
                "tags": ["state"],
                "summary": text,
                "responses": responses(text, found, ACCESS),
                **(opened if is_open else {}),
            }
        }
        for path, name, text, found, is_open in table
    }


def _names(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema for the names of an object's properties."""
    names = list(schema.get("properties", {}))
    return {"type": "string", "enum": names} if names else {"type": "string"}


def _query(name: str, schema: dict[str, Any], text: str = "") -> dict[str, Any]:
    found = {"name": name, "in": "query", "schema": schema}
    return {**found, "description": text} if text else found
