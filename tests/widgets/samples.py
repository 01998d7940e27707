"""JSON of ``api/v1`` as the host gives it, with what an attacker would put in it."""

from __future__ import annotations

from typing import Any

EVIL = "<img src=x onerror=alert(1)>\"'&</pre></style><script>alert(2)</script>"

FAILED: dict[str, Any] = {
    "run_id": "01a1fc08-5cf8-79e7-9551-2eb4d28c9ed6",
    "run_name": None,
    "pipeline": "churn",
    "deployment": "churn",
    "snapshot": 3,
    "trigger": "call",
    "status": "failed",
    "created_at": "2026-11-21T02:56:08.000000Z",
    "started_at": "2026-11-21T02:56:08.000100Z",
    "finished_at": "2026-11-21T02:56:08.000700Z",
    "duration": 0.0006,
    "parameters": {"customer": {"age": 900}, "note": EVIL},
    "outputs": None,
    "error": {
        "type": "ValueError",
        "message": f"too old {EVIL}",
        "step": "respond",
        "traceback": "\x1b[31mTraceback\x1b[0m",
    },
    "notebook": "churn.ipynb",
    "user": "ada",
    "tags": [EVIL],
    "metadata": [
        {"step": "features", "key": EVIL, "value": {"f1": EVIL}, "type": "dict", "time": None},
        {"step": None, "key": "commit", "value": "abc", "type": "str", "time": None},
    ],
    "steps": [
        {
            "step": "features",
            "index": 0,
            "status": "succeeded",
            "started_at": "2026-11-21T02:56:08.000100Z",
            "finished_at": "2026-11-21T02:56:08.000300Z",
            "duration": 0.0002,
            "attempts": 1,
            "upstream": [],
            "inputs": {"customer": "$customer"},
            "cached": f"01a1fc08-46a7-782d-95e8-{EVIL}",
        },
        {
            "step": "respond",
            "index": 1,
            "status": "failed",
            "started_at": "2026-11-21T02:56:08.000400Z",
            "finished_at": "2026-11-21T02:56:08.000700Z",
            "duration": 0.0003,
            "attempts": 3,
            "upstream": ["features"],
            "inputs": {"p": "features.output", "note": "$note"},
            "error": {"type": "ValueError", "message": EVIL, "step": "respond"},
            "uncached": f"the code is another one {EVIL}",
        },
    ],
    "artifacts": [
        {
            "step": "features",
            "name": "output",
            "kind": "json",
            "type": "list",
            "size": 12,
            "digest": None,
            "preview": EVIL,
            "value": [900, 1.5],
        }
    ],
    "logs": [
        {
            "time": "2026-11-21T02:56:08Z",
            "stream": "stdout",
            "text": f"{EVIL}\n",
            "step": "features",
        },
        {"time": "2026-11-21T02:56:08Z", "stream": "stderr", "text": "hm\n", "step": "features"},
    ],
}

SUCCEEDED: dict[str, Any] = {
    **FAILED,
    "run_id": "01a1fc08-46a7-782d-95e8-763acdc9d891",
    "status": "succeeded",
    "trigger": "cell",
    "deployment": None,
    "snapshot": None,
    "parameters": {"customer": {"age": 44}},
    "outputs": {"output": {"churn": True, "p": 0.455}, "text": EVIL},
    "error": None,
    "steps": [{**FAILED["steps"][0]}],
    "logs": [],
}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "customer": {"$ref": "#/$defs/Customer"},
        "factor": {"type": "number", "default": 1.5},
        "tags": {"type": "array", "items": {"type": "string"}},
        "kind": {"enum": ["new", "old"]},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "flag": {"type": "boolean"},
        "quote": {"type": "string", "examples": ["it's"]},
        "any": {},
    },
    "$defs": {
        "Customer": {
            "type": "object",
            "properties": {
                "age": {"type": "integer"},
                "friend": {"$ref": "#/$defs/Customer"},
            },
        }
    },
}

DEPLOYMENT: dict[str, Any] = {
    "name": "churn",
    "pipeline": "churn",
    "snapshot": 3,
    "state": "serving",
    "ready": True,
    "reason": "",
    "url": "http://127.0.0.1:8888/warmcell/churn/",
    "invoke_url": "http://127.0.0.1:8888/warmcell/churn/invoke",
    "total_runs": 7,
    "in_flight": 0,
    "queued": 0,
    "warm": [2],
    "notes": [f"`con`, held by `lookup`: make it in `on_init` {EVIL}"],
    "input_schema": SCHEMA,
}
