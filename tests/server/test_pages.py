"""The playground, the rendered document, and the OpenAPI document of deployments of all kinds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell import wire
from warmcell_server import openapi, pages
from warmcell_server.deployment import Deployment
from warmcell_server.settings import Cors, Settings

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def deployment(
    schema: dict[str, Any] = NOTHING,
    outputs: dict[str, Any] = NOTHING,
    *,
    settings: Settings | None = None,
    endpoints: tuple[wire.EndpointSpec, ...] = (),
    **fields: Any,
) -> Deployment:
    """A deployment that nothing serves."""
    return Deployment(
        **{
            "name": "made",
            "pipeline": "made",
            "snapshot": 1,
            "digest": "",
            "input_schema": msgspec.Raw(msgspec.json.encode(schema)),
            "output_schema": msgspec.Raw(msgspec.json.encode(outputs)),
            "created_at": 0,
            "updated_at": 0,
            "served": settings or Settings(),
            "endpoints": list(endpoints),
            **fields,
        }
    )


class Page(HTMLParser):
    """What a page has: its tags with their attributes, scripts and styles with their texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_data(self, data: str) -> None:
        tag = self.tags[-1][0] if self.tags else ""
        if tag in self.inside:
            self.inside[tag][-1] += data

    def values(self, tag: str, name: str) -> list[str | None]:
        return [attributes.get(name) for found, attributes in self.tags if found == tag]


def hashed(text: str) -> str:
    """How a policy names a text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def check_closed(text: str, policy: str) -> Page:
    """Nothing on the page runs or styles it but what its policy names, and nothing is loaded."""
    page = Page(text)
    kinds = page.values("script", "type")
    for kind, script in zip(kinds, page.inside["script"], strict=True):
        assert kind == "application/json" or hashed(script) in policy
    assert [hashed(style) in policy for style in page.inside["style"]] == [True]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "object", "link", "base", "form")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert not attributes.get("src")
        assert not re.match(r"(?!#)\w+:|//", attributes.get("href") or "")
    return page


def test_the_playground(serving: JupyterServer) -> None:
    """The page has the schema, the example and the call, and only its own script may run."""
    answer = serving.get("warmcell/add/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = check_closed(answer.text, answer.headers["content-security-policy"])
    data = json.loads(page.inside["script"][0])
    assert set(data["schema"]["properties"]) == {"a", "b"}
    assert data["examples"][0]["parameters"] == {"a": 0, "b": 2}
    assert data["invoke"] == "invoke"
    assert f"curl -X POST {serving.url}warmcell/add/invoke" in answer.text


def test_examples_are_of_runs_that_succeeded(serving: JupyterServer) -> None:
    """The last distinct parameters that succeeded are examples, in the page and the document."""
    for kind in ("fine", "raise", "again", "fine"):
        serving.invoke("risky", {"kind": kind})
    page = Page(serving.get("warmcell/risky/").text)
    examples = json.loads(page.inside["script"][0])["examples"]
    kinds = [example["parameters"]["kind"] for example in examples[1:]]
    assert kinds[:2] == ["fine", "again"]
    assert len(set(kinds)) == len(kinds)
    assert "raise" not in kinds
    document = serving.get("warmcell/risky/openapi.json").json()
    body = document["paths"]["/invoke"]["post"]["requestBody"]["content"]["application/json"]
    assert {"parameters": {"kind": "again"}} in [e["value"] for e in body["examples"].values()]


def test_recorded_parameters_are_not_for_everybody(serving: JupyterServer, author: Kernel) -> None:
    """Visitors of a public deployment and keys for calls see its schema, but no parameters."""
    author.run("risky.deploy('open-risky', settings={'auth': 'public'})")
    serving.invoke("open-risky", {"kind": "of-ada-alone"})
    made = serving.post(
        "warmcell/api/v1/deployments/open-risky/keys", {"name": "caller", "scopes": ["invoke"]}
    )
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    for path in ("", "docs", "openapi.json"):
        whole = serving.get(f"warmcell/open-risky/{path}")
        visited = serving.get(f"warmcell/open-risky/{path}", authenticated=False)
        keyed = serving.get(f"warmcell/open-risky/{path}", headers=key)
        assert [whole.status, visited.status, keyed.status] == [200, 200, 200]
        assert "of-ada-alone" in whole.text
        assert "of-ada-alone" not in visited.text
        assert "of-ada-alone" not in keyed.text
    assert 'href="metrics"' not in serving.get("warmcell/open-risky/", authenticated=False).text


def test_a_secret_is_no_example(serving: JupyterServer, author: Kernel) -> None:
    """Where there is a place for a secret, recorded parameters are no examples."""
    author.run(
        "@pipeline\ndef guarded(kind: str, api_key: str = '') -> str:\n    return fail(kind)\n"
        "guarded.deploy('guarded')"
    )
    serving.invoke("guarded", {"kind": "fine", "api_key": "hush-hush"})
    for path in ("", "docs", "openapi.json"):
        assert "hush-hush" not in serving.get(f"warmcell/guarded/{path}").text


def test_the_rendered_document(serving: JupyterServer) -> None:
    """The page shows every operation and every schema, runs no script and loads nothing."""
    document = serving.get("warmcell/greeting/openapi.json").json()
    answer = serving.get("warmcell/greeting/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = check_closed(answer.text, answer.headers["content-security-policy"])
    assert not page.inside["script"]
    ids = {attributes.get("id") for _, attributes in page.tags}
    for item in document["paths"].values():
        for operation in item.values():
            if "operationId" in operation:
                assert f"op-{operation['operationId']}" in ids
    for name in document["components"]["schemas"]:
        assert f"schema-{name}" in ids
    targets = [href for href in page.values("a", "href") if href and href.startswith("#")]
    assert {target.removeprefix("#") for target in targets} <= ids


def test_texts_of_users_are_only_texts() -> None:
    """Names, descriptions, defaults, examples and reasons from users cannot become markup."""
    schema = {
        "type": "object",
        "title": HOSTILE,
        "description": HOSTILE,
        "properties": {HOSTILE: {"enum": [HOSTILE], "default": HOSTILE, "description": HOSTILE}},
        "$defs": {HOSTILE: {"type": "object", "description": HOSTILE}},
    }
    spec = wire.EndpointSpec(
        "GET", "/x", HOSTILE, operation=msgspec.Raw(msgspec.json.encode({"summary": HOSTILE}))
    )
    made = deployment(
        schema,
        schema,
        settings=Settings(app_title=HOSTILE, app_description=HOSTILE, app_version=HOSTILE),
        endpoints=(spec,),
        pipeline=HOSTILE,
        steps=[HOSTILE],
        reason=HOSTILE,
    )
    recorded = [(HOSTILE, {HOSTILE: HOSTILE})]
    plain = deployment()
    text = pages.playground(made, "http://x/", recorded=recorded, xsrf=HOSTILE)
    page = check_closed(text, pages.playground_policy())
    assert len(page.inside["script"]) == len(Page(pages.playground(plain, "")).inside["script"])
    assert json.loads(page.inside["script"][0])["examples"][1]["title"] == HOSTILE
    rendered = check_closed(
        pages.docs(openapi.document(made, recorded), "http://x/"), pages.docs_policy()
    )
    assert not rendered.inside["script"]


def test_configured_paths_and_titles() -> None:
    """The document and the page say what the settings say."""
    settings = Settings(
        auth="public",
        app_title="Weather",
        app_description="All of `it`.",
        app_version="7",
        cors=Cors(allow_origins=("*",)),
        api_url_path="/api",
        invoke_url_path="/predict",
        docs_url_path="/manual",
        health_url_path="/up",
    )
    made = deployment(settings=settings)
    document = openapi.document(made)
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"] == {
        "title": "Weather",
        "version": "7",
        "description": "All of `it`.",
    }
    paths = document["paths"]
    assert {"/api/predict", "/api/submit", "/api/up", "/api/metrics", "/manual"} <= paths.keys()
    assert {} in paths["/api/predict"]["post"]["security"]
    assert "security" not in paths["/runs"]["get"]
    page = Page(pages.playground(made, "http://x/", sees_all=False))
    assert json.loads(page.inside["script"][0])["invoke"] == "api/predict"
    assert page.values("a", "href") == ["manual", "openapi.json"]


def test_custom_endpoints_are_described() -> None:
    """Definitions of an endpoint become components, its placeholders parameters, and its errors
    those of every call; an operation of ours keeps its name."""
    item = {"$ref": "#/$defs/Item"}
    operation = {
        "operationId": "invoke",
        "responses": {
            "200": {
                "description": "Found",
                "content": {
                    "application/json": {
                        "schema": {**item, "$defs": {"Item": {"type": "object"}}},
                    }
                },
            }
        },
    }
    raw = msgspec.Raw(msgspec.json.encode(operation))
    endpoints = (
        wire.EndpointSpec("GET", "/predictions/{id}", "prediction", operation=raw),
        wire.EndpointSpec("POST", "/predictions/{id}", "prediction", auth_required=False),
        wire.EndpointSpec("GET", "/runs", "mine"),
    )
    document = openapi.document(deployment(endpoints=endpoints))
    OpenAPIV31SpecValidator(document).validate()
    found = document["paths"]["/predictions/{id}"]
    assert [part["name"] for part in found["get"]["parameters"]] == ["id"]
    assert "422" in found["get"]["responses"]
    assert found["post"]["security"] == [{}]
    assert document["paths"]["/runs"]["get"]["operationId"] == "list_runs"
    names = [
        o["operationId"] for i in document["paths"].values() for o in i.values() if "tags" in o
    ]
    assert len(set(names)) == len(names)
    assert "$defs" not in json.dumps(document)


@pytest.mark.parametrize("word", ["default", "properties", "$ref", "discriminator", "const"])
def test_parameters_called_like_keywords(word: str) -> None:
    """A parameter may be called as a keyword of JSON Schema is."""
    schema = {
        "type": "object",
        "properties": {word: {"$ref": "#/$defs/Point"}},
        "$defs": {"Point": {"type": "object", "properties": {word: {"type": "number"}}}},
    }
    document = openapi.document(deployment(schema, schema))
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    point = "#/components/schemas/Parameters.Point"
    assert schemas["Parameters"]["properties"][word] == {"$ref": point}
    # What is no number goes out as null.
    assert schemas["Outputs.Point"]["properties"][word] == {"type": ["number", "null"]}
    assert word in pages.docs(document, "")


def test_an_address_with_the_token_logs_in(serving: JupyterServer) -> None:
    """The links of a page carry no token: who came with one gets Jupyter's login cookie."""
    page = serving.get(f"warmcell/add/?token={serving.token}", authenticated=False)
    assert page.status == 200
    cookie = page.headers["set-cookie"].partition(";")[0]
    linked = serving.get("warmcell/add/docs", authenticated=False, headers={"Cookie": cookie})
    assert linked.status == 200
    assert "set-cookie" not in serving.get("warmcell/add/").headers
