"""The page of a deployment: what it is and how to call it. Static, everything escaped."""

from __future__ import annotations

import base64
import hashlib
from html import escape

import msgspec

from warmcell_server.deployment import Deployment
from warmcell_server.examples import example

__all__ = ["POLICY", "curl", "render"]

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
pre { padding: .8rem; overflow-x: auto; border: 1px solid; border-radius: 4px }
dt { font-weight: 600 } dd { margin: 0 0 .5rem }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'self'; base-uri 'none'"


def render(deployment: Deployment, url: str) -> str:
    """Return the page of ``deployment``; ``url`` is the address of ``…/warmcell/``."""
    name = escape(deployment.name)
    state = "ready" if deployment.ready else f"not ready: {deployment.reason}"
    steps = " → ".join(deployment.steps)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{name} · Warmcell</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>
<h1>{name}</h1>
<dl><dt>State</dt><dd>{escape(state)}</dd>
<dt>Pipeline</dt><dd>{escape(deployment.pipeline)}, snapshot {deployment.snapshot}</dd>
<dt>Steps</dt><dd>{escape(steps)}</dd></dl>
<h2>Call it</h2>
<pre>{escape(curl(deployment, url))}</pre>
<p><a href="openapi.json">OpenAPI</a> · <a href="runs">Runs</a> · <a href="info">Info</a> ·
<a href="health">Health</a> · <a href="metrics">Metrics</a></p>
</body></html>
"""


def curl(deployment: Deployment, url: str) -> str:
    """Return a command for the shell that calls ``deployment`` with example parameters."""
    parameters = example(msgspec.json.decode(deployment.input_schema))
    body = msgspec.json.encode({"parameters": parameters}).decode().replace("'", r"'\''")
    return (
        f"curl -X POST {url}{deployment.name}/invoke \\\n"
        '  -H "Authorization: token $JUPYTER_TOKEN" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
