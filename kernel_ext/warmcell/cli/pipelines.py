"""``warmcell pipeline``: deploy and run what stands in a module or a notebook."""

from __future__ import annotations

import os
from argparse import Namespace
from urllib.parse import urlsplit

from warmcell.cli import ends, show
from warmcell.cli.given import client, raw_parameters, settings
from warmcell.client import Client
from warmcell.remote.calling import Request
from warmcell.remote.handle import error_of

__all__ = ["deploy", "run"]

GRACE = 120.0  # seconds for a kernel to start and end, beside what the pipeline may take
_LOCAL = ("localhost", "127.0.0.1", "::1")


def deploy(given: Namespace) -> None:
    """Serve a pipeline from a kernel of its own; prints its URL."""
    here = client(given)
    body = {
        "target": given.target,
        "name": given.name,
        "settings": settings(given.set),
        "overtake": given.overtake,
        "note": given.note,
        "gate": settings(given.gate, "--gate") or None,
        "kernel": given.kernel,
        "timeout": given.timeout,
        "cwd": _folder(here),
    }
    path = "api/v1/pipelines/deploy"
    made = here.send(Request("POST", path, body, timeout=given.timeout + GRACE))
    if given.json:
        show.as_json(made)
        return
    if made["output"]:
        show.note(made["output"].rstrip())
    for sentence in made["notes"]:
        show.note(sentence)
    show.note(f"Snapshot {made['snapshot']} of {made['pipeline']} is served as '{made['name']}':")
    show.value(made["url"])


def run(given: Namespace) -> int:
    """Run a pipeline once, in a kernel of its own; prints what comes out."""
    here = client(given)
    values, texts = raw_parameters(given)
    body = {
        "target": given.target,
        "parameters": values,
        "texts": texts,
        "run_name": given.name,
        "kernel": given.kernel,
        "timeout": given.timeout,
        "cwd": _folder(here),
    }
    path = "api/v1/pipelines/run"
    made = here.send(Request("POST", path, body, timeout=given.timeout + GRACE))
    if given.json:
        show.as_json(made)
    elif made["output"]:
        show.note(made["output"].rstrip())
    if made["status"] != "succeeded":
        error = error_of(made)
        error.traceback = (made.get("error") or {}).get("traceback")
        return ends.failed(error, as_json=given.json)
    if not given.json:
        show.outputs(made["outputs"])
    return 0


def _folder(here: Client) -> str | None:
    """This folder, for a server that can see it; else it looks in its own."""
    return os.getcwd() if urlsplit(here.url).hostname in _LOCAL else None
