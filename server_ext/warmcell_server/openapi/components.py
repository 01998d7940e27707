"""The components of every document: what bodies, headers and errors look like."""

from __future__ import annotations

from typing import Any

from warmcell.records import TERMINAL
from warmcell_server import problems
from warmcell_server.openapi.schemas import COMPONENT

__all__ = ["ERRORS", "components", "content", "problem_reference", "reference"]

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
_MAYBE_TEXT = {"type": ["string", "null"]}
_MOMENT = {"type": ["string", "null"], "format": "date-time"}
_SECONDS = {"type": ["number", "null"], "exclusiveMinimum": 0}


def components(public: bool) -> dict[str, Any]:
    """The components that do not depend on the pipeline."""
    return {
        "schemas": {
            "Invocation": _invocation(),
            "Batch": _batch(),
            "Result": _result(),
            "BatchResult": _batch_result(),
            "Accepted": _accepted(),
            "BatchAccepted": {
                "type": "object",
                "required": ["runs"],
                "properties": {"runs": {"type": "array", "items": reference("Accepted")}},
            },
            "Run": _run(),
            "Runs": _runs(),
            "Problem": _problem(),
        },
        "responses": {name: _error(text, names) for name, text, names in ERRORS.values()},
        "headers": _headers(),
        "parameters": _parameters(),
        "securitySchemes": _security_schemes(public),
    }


def reference(schema: str) -> dict[str, str]:
    """A reference to the component ``schema``."""
    return {"$ref": COMPONENT + schema}


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
    def header(name: str, text: str, schema: dict[str, Any], example: str) -> dict[str, Any]:
        return {
            "name": name,
            "in": "header",
            "description": text,
            "schema": schema,
            "example": example,
        }

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
            "8e03978e-40d5-43e8-bc93-6894a57f9324",
        ),
        "Traceparent": header(
            "traceparent",
            "W3C Trace Context: recorded with the run and passed on.",
            {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
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


# -- bodies ------------------------------------------------------------------------------------


def _options() -> dict[str, Any]:
    """What stands beside ``parameters`` and ``instances``."""
    return {
        "run_name": {**_MAYBE_TEXT, "description": "A name for people."},
        "timeout": {**_SECONDS, "description": "Seconds for the whole; it shortens the limit."},
        "queue_timeout": {**_SECONDS, "description": "Seconds until it has to have begun."},
        "run_timeout": {**_SECONDS, "description": "Seconds from its beginning."},
        "async": {
            "type": "boolean",
            "default": False,
            "description": "Do not wait: the answer is 202 with the run's id.",
        },
        "callback_url": {
            "type": ["string", "null"],
            "format": "uri",
            "description": "Gets the run's end, signed as Standard Webhooks says.",
        },
        "skip_artifact_materialization": {
            "type": "boolean",
            "default": False,
            "description": "Keep the run without its steps and their outputs.",
        },
    }


def _invocation() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "One run.",
        "required": ["parameters"],
        "additionalProperties": False,
        "properties": {"parameters": reference("Parameters"), **_options()},
    }


def _batch() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "One run per instance.",
        "required": ["instances"],
        "additionalProperties": False,
        "properties": {
            "instances": {"type": "array", "minItems": 1, "items": reference("Parameters")},
            **_options(),
        },
    }


def _metadata() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["run_id"],
        "properties": {
            "run_id": _TEXT,
            "run_name": _MAYBE_TEXT,
            "deployment": _TEXT,
            "snapshot": {"type": "integer"},
            "snapshot_id": _TEXT,
            "pipeline": _TEXT,
            "parameters_used": {
                "type": ["object", "null"],
                "description": "The parameters with their defaults, as the run got them.",
            },
        },
    }


def _result() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["success", "outputs", "execution_time", "metadata", "error"],
        "properties": {
            "success": {"const": True},
            "outputs": reference("Outputs"),
            "execution_time": {"type": "number", "description": "Seconds."},
            "metadata": _metadata(),
            "error": {"type": "null"},
        },
    }


def _batch_result() -> dict[str, Any]:
    failed = {
        "type": "object",
        "required": ["success", "outputs", "metadata", "error"],
        "properties": {
            "success": {"const": False},
            "outputs": {"type": "null"},
            "metadata": _metadata(),
            "error": reference("Problem"),
        },
    }
    return {
        "type": "object",
        "required": ["success", "results"],
        "properties": {
            "success": {"type": "boolean", "description": "Whether all runs succeeded."},
            "results": {"type": "array", "items": {"oneOf": [reference("Result"), failed]}},
        },
    }


def _accepted() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "A run that goes on without its caller.",
        "required": ["run_id", "status", "url"],
        "properties": {
            "run_id": _TEXT,
            "status": _TEXT,
            "deployment": _TEXT,
            "url": {"type": "string", "format": "uri"},
            **_progress(),
        },
    }


def _progress() -> dict[str, Any]:
    return {
        "queued_ahead": {"type": "integer", "description": "Calls before it, while queued."},
        "eta_s": {"type": ["number", "null"], "description": "Seconds until it may begin."},
    }


def _run() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["run_id", "status"],
        "properties": {
            "run_id": _TEXT,
            "run_name": _MAYBE_TEXT,
            "deployment": _MAYBE_TEXT,
            "pipeline": _TEXT,
            "snapshot": {"type": ["integer", "null"]},
            "trigger": _TEXT,
            "status": {"enum": ["queued", "running", *sorted(TERMINAL)]},
            **_progress(),
            "created_at": _MOMENT,
            "started_at": _MOMENT,
            "finished_at": _MOMENT,
            "duration": {"type": ["number", "null"], "description": "Seconds."},
            "parameters": {"description": "As the run got them."},
            "outputs": {"description": "Once it succeeded."},
            "error": {"type": ["object", "null"]},
            "traceparent": _MAYBE_TEXT,
            "steps": {"type": "array", "items": {"type": "object"}},
            "artifacts": {"type": "array", "items": {"type": "object"}},
            "logs": {"type": "array", "items": {"type": "object"}},
            "deliveries": {"type": "array", "items": {"type": "object"}},
        },
    }


def _runs() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["runs", "next"],
        "properties": {
            "runs": {"type": "array", "items": reference("Run")},
            "next": {**_MAYBE_TEXT, "description": "The `before` of the next page."},
        },
    }


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {**_TEXT, "format": "uri", "description": f"`{problems.PREFIX}…`"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": {**_TEXT, "description": "What was wrong."},
            "hint": {**_TEXT, "description": "The way out."},
            "instance": {**_TEXT, "format": "uri-reference"},
            "run_id": _TEXT,
            "step": _TEXT,
            "retry_after": {"type": "number", "description": "Seconds."},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "pointer": {**_TEXT, "description": "A JSON Pointer into the body."},
                        "message": _TEXT,
                        "type": _TEXT,
                    },
                },
            },
        },
    }
