"""``warmcell deployment``: call what is served, look at it, end it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from warmcell.cli import show
from warmcell.cli.given import client, parameters
from warmcell.deployment import Deployment
from warmcell.remote.calling import CallOptions, calling
from warmcell.remote.streaming import Events

__all__ = ["delete", "describe", "follow", "invoke", "listing", "logs", "rollback"]


def invoke(given: Namespace) -> None:
    """Call a deployment and print what comes out, the run's id, or what happens."""
    here = client(given)
    deployment = here.get_deployment(given.name)
    values = parameters(given, lambda: deployment.input_schema)
    options = CallOptions(
        timeout=given.timeout,
        run_name=given.run_name,
        idempotency_key=given.idempotency_key,
        callback_url=given.callback_url,
    )
    if given.stream:
        chosen = {name: value for name, value in vars(options).items() if value is not None}
        follow(given, deployment.with_options(**chosen).stream(**values))
        return
    answer = here.send(calling(deployment.name, options, parameters=values, detached=given.no_wait))
    if given.json:
        show.as_json(answer)
    elif given.no_wait:
        run_id = answer.get("run_id") or answer["metadata"]["run_id"]
        show.note(f"Its outputs come with: warmcell runs wait {run_id}")
        show.value(run_id)
    else:
        show.outputs(answer["outputs"])


def follow(given: Namespace, events: Events) -> None:
    """Show what happens in a run. What it yields goes to standard output, else its outputs do."""
    yielded = False
    with events:
        for event in events:
            if given.json:
                told = {"event": event.kind, "id": event.id, "data": event.data}
                print(json.dumps(told, ensure_ascii=False), flush=True)
            elif event.kind == "output":
                yielded = True
                show.value(event.data.get("value"))
                sys.stdout.flush()
            else:
                _tell(event.kind, event.data)
    if not given.json and not yielded:
        show.outputs(events.outputs)


def _tell(kind: str, data: dict[str, Any]) -> None:
    if kind == "log":
        print(data.get("text", ""), end="", file=sys.stderr, flush=True)
    elif kind == "progress":
        of = f" of {data['total']:g}" if data.get("total") is not None else ""
        message = f" {data['message']}" if data.get("message") else ""
        show.note(f"[{data.get('step')}] {data.get('done', 0):g}{of}{message}")
    elif kind == "step":
        show.note(f"[{data.get('step')}] {data.get('status')}")
    elif kind == "run":
        show.note(f"run {data.get('run_id', '')} {data.get('status', '')}".strip())


def listing(given: Namespace) -> None:
    """Print what is deployed."""
    found = client(given).list_deployments(given.pipeline)
    if given.json:
        show.as_json([deployment.to_json() for deployment in found])
        return
    show.table(
        ["name", "pipeline", "snapshot", "status", "runs", "url"],
        [
            [d.name, d.pipeline, d.snapshot, d.status, d.to_json().get("total_runs"), d.url]
            for d in found
        ],
        "Nothing is deployed yet: warmcell pipeline deploy module.pipeline",
    )


def describe(given: Namespace) -> None:
    """Print all about one deployment."""
    deployment = client(given).get_deployment(given.name)
    if given.key:
        deployment.refresh()
    found = deployment.to_json()
    if given.schema:
        show.as_json(deployment.input_schema)
        return
    if given.json:
        show.as_json(found)
        return
    show.pairs(
        {
            "deployment": deployment.name,
            "status": deployment.status,
            "reason": found.get("reason") or None,
            "url": deployment.url,
            "docs": f"{deployment.url}docs",
            "pipeline": deployment.pipeline,
            "snapshot": deployment.snapshot,
            "stored": found.get("stored"),
            "served from": found.get("worker"),
            "replicas": _replicas(found),
            "settings": found.get("settings") or None,
            "in flight": found.get("in_flight"),
            "queued": found.get("queued"),
            "runs": found.get("total_runs"),
            "failed": found.get("failed_runs"),
            "parameters": _signature(deployment),
            "notes": deployment.notes,
        }
    )
    print()
    print(deployment.curl(**_example(deployment)))


def _replicas(found: Mapping[str, Any]) -> str | None:
    """How many kernels of its own take its calls; None for the notebook's alone."""
    wanted = found.get("replicas_wanted")
    if not wanted:
        return None
    held = [one for one in found["replicas"] if one["served_by"] == "dedicated"]
    why = f": {found['replica_reason']}" if found.get("replica_reason") else ""
    return f"{len(held)} of {wanted}{why}"


def _signature(deployment: Deployment) -> list[str]:
    schema = deployment.input_schema
    required = schema.get("required") or []
    lines = []
    for name, part in (schema.get("properties") or {}).items():
        kind = part.get("type") or str(part.get("$ref", "")).rpartition("/")[2]
        default = "" if name in required else f" = {json.dumps(part.get('default'))}"
        lines.append(f"--{name} {kind}{default}".rstrip())
    return lines


def _example(deployment: Deployment) -> dict[str, Any]:
    values = {"string": "text", "integer": 1, "number": 1.0, "boolean": True, "array": []}
    schema = deployment.input_schema
    known = schema.get("properties") or {}
    return {name: values.get(known[name].get("type"), {}) for name in schema.get("required") or []}


def logs(given: Namespace) -> None:
    """Print what the runs of a deployment wrote."""
    from warmcell.remote.logs import logs_of

    for line in logs_of(client(given), given.name, follow=given.follow, tail=given.tail):
        if given.json:
            print(json.dumps(line._asdict(), ensure_ascii=False), flush=True)
        else:
            place = f"{line.time} {line.run_id[-8:]} {line.step or '-'}"
            for text in line.text.splitlines():
                print(f"{place} | {text}", flush=True)


def delete(given: Namespace) -> None:
    """Stop serving a deployment."""
    client(given).delete_deployment(given.name)
    if given.json:
        show.as_json({"name": given.name, "state": "removed"})
    else:
        show.note(f"'{given.name}' is not served any more; its runs stay in the history.")


def rollback(given: Namespace) -> None:
    """Serve an earlier snapshot, warm or restored."""
    deployment = client(given).get_deployment(given.name).rollback(given.to)
    if given.json:
        show.as_json(deployment.to_json())
    else:
        show.note(f"'{given.name}' serves snapshot {deployment.snapshot} again.")
