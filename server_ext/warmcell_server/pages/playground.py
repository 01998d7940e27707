"""The playground: a form made from the schema, answers with their timings, and the call as code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from warmcell_server.deployment import Deployment
from warmcell_server.examples import example
from warmcell_server.pages.assets import policy, script, style
from warmcell_server.pages.markup import Html, el, prose

__all__ = ["curl", "playground", "playground_policy"]

_STYLE, _SCRIPT = "playground.css", "playground.js"


def playground_policy() -> str:
    """The Content-Security-Policy of the page."""
    return policy(_STYLE, _SCRIPT)


def playground(
    deployment: Deployment,
    url: str,
    *,
    recorded: Sequence[tuple[str, dict[str, Any]]] = (),
    xsrf: str | None = None,
    sees_all: bool = True,
) -> str:
    """Return the page of ``deployment``; ``url`` is the address of ``…/warmcell/``.

    ``recorded`` are titles and parameters of runs; ``xsrf`` is what a request with a login cookie
    has to bring; with ``sees_all`` the page leads to runs and metrics too.
    """
    served = deployment.served
    title = served.app_title or deployment.name
    input_schema = msgspec.json.decode(deployment.input_schema)
    made = example(input_schema)
    data = {
        "name": deployment.name,
        "schema": input_schema,
        "examples": [
            {"title": "Made from the schema", "parameters": made},
            *({"title": name, "parameters": parameters} for name, parameters in recorded),
        ],
        "invoke": (served.api_url_path + served.invoke_url_path).lstrip("/"),
        "open": served.auth == "public",
        "xsrf": xsrf,
    }
    state = "ready" if deployment.ready else f"not ready: {deployment.reason}"
    about = f"Pipeline {deployment.pipeline}, snapshot {deployment.snapshot}"
    steps = " → ".join(deployment.steps)
    return "<!DOCTYPE html>\n" + el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("title", f"{title} · Warmcell"),
            el("meta", name="viewport", content="width=device-width"),
            el("style", Html(style(_STYLE))),
        ),
        el(
            "body",
            el(
                "header",
                el("h1", title),
                el("p", state, class_="state ready" if deployment.ready else "state"),
                prose(served.app_description),
                el("p", about, f" · {steps}" if steps else None, class_="about"),
                _links(deployment, sees_all=sees_all),
            ),
            el("main", id="playground"),
            el("noscript", el("h2", "Call it"), el("pre", curl(deployment, url))),
            el("script", _data(data), type="application/json", id="data"),
            el("script", Html(script(_SCRIPT)), type="module"),
        ),
        lang="en",
    )


def curl(deployment: Deployment, url: str) -> str:
    """Return a command for the shell that calls ``deployment`` with example parameters."""
    parameters = example(msgspec.json.decode(deployment.input_schema))
    body = msgspec.json.encode({"parameters": parameters}).decode().replace("'", r"'\''")
    served = deployment.served
    lines = [
        f"curl -X POST {url}{deployment.name}{served.api_url_path}{served.invoke_url_path}",
        '-H "Authorization: Bearer $WARMCELL_KEY"',
        "-H 'Content-Type: application/json'",
        f"-d '{body}'",
    ]
    if served.auth == "public":
        del lines[1]
    return " \\\n  ".join(lines)


def _links(deployment: Deployment, *, sees_all: bool) -> Html:
    served = deployment.served
    found = []
    if served.offers("docs"):
        found += [("API", served.docs_url_path), ("openapi.json", "openapi.json")]
    if sees_all:
        api = served.api_url_path
        found.append(("Runs", "runs"))
        found += [
            (name.capitalize(), api + path)
            for name, path in (
                ("info", served.info_url_path),
                ("health", served.health_url_path),
                ("metrics", served.metrics_url_path),
            )
            if served.offers(name)
        ]
    links = [el("a", text, href=href.lstrip("/")) for text, href in found]
    return el("p", *(part for link in links for part in (link, " ")), class_="links")


def _data(data: dict[str, Any]) -> Html:
    """JSON that can stand in a script element, whatever its texts are."""
    text = msgspec.json.encode(data).decode()
    return Html(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
