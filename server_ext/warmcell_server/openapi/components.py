"""The components of every document: what bodies, headers and errors look like."""

from __future__ import annotations

from typing import Any

from warmcell_server import problems
from warmcell_server.openapi.messages import messages, reference

__all__ = ["ERRORS", "components", "content", "problem_reference"]

# status: (name of the component, text, headers)
ERRORS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "400": ("BadRequest", "The request cannot be read: no JSON, not UTF-8, a bad header.", ()),
    "401": ("Unauthenticated", "No valid token, key or login.", ("WWW-Authenticate",)),
    "403": ("Forbidden", "The key or the user may not do this, or not from there.", ()),
    "404": ("NotFound", "No such deployment, run or output.", ()),
    "406": ("NotAcceptable", "None of the accepted content types can be had; it names them.", ()),
    "409": ("Conflict", "The state does not allow this: the run has ended, or was cancelled.", ()),
    "413": ("TooLarge", "The body is larger than the limit, which the message names.", ()),
    "415": ("UnsupportedMedia", "The content type of the body is not understood.", ()),
    "422": ("DoesNotFit", "The values do not fit; `errors` has a JSON Pointer for each.", ()),
    "429": ("QueueFull", "As many calls wait as may.", ("Retry-After",)),
    "500": ("Failed", "A step raised; `step`, `run_id` and `detail` say where and what.", ()),
    "503": ("Unavailable", "No worker can take the call now.", ("Retry-After",)),
    "504": ("TimedOut", "The run did not end within its timeout.", ()),
}

_TEXT = {"type": "string"}


def components(public: bool) -> dict[str, Any]:
    """The components that do not depend on the pipeline."""
    return {
        "schemas": messages(),
        "responses": {name: _error(text, names) for name, text, names in ERRORS.values()},
        "headers": _headers(),
        "parameters": _parameters(),
        "securitySchemes": _security_schemes(public),
    }


def problem_reference(status: str) -> dict[str, str]:
    """A reference to the answer of an error."""
    return {"$ref": f"#/components/responses/{ERRORS[status][0]}"}


def content(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    """The content of a body of one media type."""
    return {media: {"schema": schema}}


def _error(text: str, headers: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": text,
        "content": content(reference("Problem"), problems.CONTENT_TYPE),
    }
    if headers:
        found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return found


def _headers() -> dict[str, Any]:
    def header(text: str, schema: dict[str, Any]) -> dict[str, Any]:
        return {"description": text, "schema": schema}

    return {
        "Retry-After": header("Seconds after which to try again.", {"type": "integer"}),
        "WWW-Authenticate": header("How to authenticate.", _TEXT),
        "Location": header("The run.", {"type": "string", "format": "uri-reference"}),
        "Preference-Applied": header("What of `Prefer` was honoured.", _TEXT),
        "Idempotency-Replayed": header(
            "The request came before; this is the answer to it.", {"const": "true"}
        ),
        "Server-Timing": header(
            "Milliseconds in the queue and in each step: `queue;dur=0.1, score;dur=2.3`.", _TEXT
        ),
        "Link": header('The run, as `rel="monitor"`.', _TEXT),
        "X-Run-Id": header("The id of the run, where the body is not JSON.", _TEXT),
    }


def _parameters() -> dict[str, Any]:
    def header(
        name: str, text: str, schema: dict[str, Any], example: str | None = None
    ) -> dict[str, Any]:
        found = {"name": name, "in": "header", "description": text, "schema": schema}
        return found if example is None else {**found, "example": example}

    return {
        "Prefer": header(
            "Prefer",
            "RFC 7240. `respond-async`: answer 202 at once; with `wait=N` only if the run has not "
            "ended in N seconds.",
            _TEXT,
            "respond-async, wait=10",
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "The same request sent again with the same key makes no second run: it gets the first "
            "one's answer, for 24 hours.",
            {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        ),
        "Traceparent": header(
            "traceparent",
            "W3C Trace Context: recorded with the run and passed on. One that is none is ignored.",
            _TEXT,
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        "RunId": {
            "name": "run_id",
            "in": "path",
            "required": True,
            "description": "The id of a run, as `metadata.run_id` of its answer has it.",
            "schema": {"type": "string"},
        },
    }


def _security_schemes(public: bool) -> dict[str, Any]:
    key = (
        "A key of this deployment (`wck_…`, made by `deployment.create_key(name)`). Its scope "
        "`invoke` is for calls and the runs they make, `read` for every run and the metrics."
    )
    note = " This deployment is public: calls need none." if public else ""
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": f"{key} Or the Jupyter server's token.{note}",
        },
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": key},
        "token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The Jupyter server's token or a key, as `token <token>`.",
        },
    }
