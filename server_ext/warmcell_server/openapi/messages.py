"""What travels in the bodies of every deployment, as schemas."""

from __future__ import annotations

from typing import Any

from warmcell.records import TERMINAL
from warmcell_server import problems
from warmcell_server.openapi.schemas import COMPONENT

__all__ = ["messages", "reference"]

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_MOMENT = {"type": ["string", "null"], "format": "date-time"}
_SECONDS = {"type": ["number", "null"], "exclusiveMinimum": 0}


def messages() -> dict[str, Any]:
    """The schemas by their names; those of parameters and outputs are the pipeline's."""
    return {
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
        "Event": _event(),
        "Problem": _problem(),
    }


def reference(schema: str) -> dict[str, str]:
    """A reference to the component ``schema``."""
    return {"$ref": COMPONENT + schema}


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


def _event() -> dict[str, Any]:
    # Without a type: 3.1 has no word for the items of a stream, whose whole is a string.
    kinds = ["run", "step", "progress", "log", "output", "done", "error"]
    return {
        "description": "One of the Server-Sent Events, whose data is JSON. `run` is a new state "
        "of the run, `step` the start or the end of a step, `output` what a step yields. The last "
        "is `done`, with the body that `invoke` answers, or `error` with the problem.",
        "required": ["id", "event", "data"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"enum": kinds},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"type": "object"},
            },
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
