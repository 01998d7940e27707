"""What a deployment tells of itself: OpenAPI, metrics, info, probes."""

from __future__ import annotations

import json
import re

import jsonschema
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families

from tests.support.jupyter import JupyterServer
from warmcell_server import operations


def test_openapi_is_valid_and_true(serving: JupyterServer) -> None:
    """The document of each deployment is valid OpenAPI 3.1, its version the snapshot's id."""
    for name in ("add", "risky", "greeting", "unspeakable"):
        document = serving.get(f"warmcell/{name}/openapi.json").json()
        OpenAPIV31SpecValidator(document).validate()
        assert document["info"]["version"] == f"{name}@1"
        assert document["servers"] == [{"url": "./"}]


def test_openapi_examples_work(serving: JupyterServer) -> None:
    """The example invocation in the document can be sent as it is."""
    for name in ("add", "greeting"):
        document = serving.get(f"warmcell/{name}/openapi.json").json()
        example = document["components"]["schemas"]["Invocation"]["examples"][0]
        assert serving.post(f"warmcell/{name}/invoke", example).status == 200


def test_openapi_references_resolve(serving: JupyterServer) -> None:
    """A nested model is a component of its own, and no reference points to nowhere."""
    document = serving.get("warmcell/greeting/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["Parameters.Customer"]["required"] == ["name"]
    text = json.dumps(document)
    assert "#/$defs/" not in text
    jsonschema.validate(
        {"customer": {"name": "Ada"}},
        {"$ref": "#/components/schemas/Parameters", "components": document["components"]},
    )


def test_an_answer_has_the_documented_form(serving: JupyterServer) -> None:
    """What invoke and an error answer fits the schemas of the document."""
    components = serving.get("warmcell/add/openapi.json").json()["components"]

    def check(value: object, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        jsonschema.validate(value, schema)

    result = serving.invoke("add", {"a": 1}).json()
    check(result, "Result")
    check(serving.invoke("add", {"a": "x"}).json(), "Problem")
    check(serving.get("warmcell/add/runs").json(), "Runs")
    check(serving.get(f"warmcell/add/runs/{result['metadata']['run_id']}").json(), "Run")


def test_metrics_parse_and_count(serving: JupyterServer) -> None:
    """Metrics are Prometheus text; calls are counted by how they ended, labelled by deployment."""
    serving.invoke("risky", {"kind": "fine"})
    serving.invoke("risky", {"kind": "raise"})
    answer = serving.get("warmcell/risky/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, sample.labels.get("status")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.labels["deployment"] == "risky"
    }
    assert samples["warmcell_ready", None] == 1
    assert samples["warmcell_calls_in_flight", None] == 0
    assert samples["warmcell_runs_total", "failed"] >= 1
    assert samples["warmcell_runs_total", "succeeded"] >= 1


def test_metrics_of_all(serving: JupyterServer) -> None:
    """The host's metrics have every deployment."""
    text = serving.get("warmcell/metrics").text
    for name in ("add", "risky", "greeting", "unspeakable"):
        assert f'warmcell_ready{{deployment="{name}"}} 1.0' in text


def test_probes_and_info(serving: JupyterServer) -> None:
    """Probes say ready while a worker holds the snapshot; info has the schemas and the URL."""
    for probe in ("health", "livez", "readyz"):
        assert serving.get(f"warmcell/add/{probe}").json()["status"] == "ok"
    info = serving.get("warmcell/add/info").json()
    assert info["invoke_url"] == f"{serving.url}warmcell/add/invoke"
    assert set(info["input_schema"]["properties"]) == {"a", "b"}
    assert info["steps"] == ["plus"]


def test_a_head_has_no_body(serving: JupyterServer) -> None:
    """HEAD answers as GET does, without the body."""
    answer = serving.request("HEAD", "warmcell/add/info")
    assert answer.status == 200
    assert answer.body == b""
    assert int(answer.headers["content-length"]) > 100


def test_runs_belong_to_their_deployment(serving: JupyterServer) -> None:
    """A run is listed and found below its own deployment only; an ended one cannot be stopped."""
    run_id = serving.invoke("add", {"a": 1}).json()["metadata"]["run_id"]
    page = serving.get("warmcell/add/runs?limit=1").json()
    assert page["runs"][0]["run_id"] == run_id
    assert serving.get(f"warmcell/add/runs/{run_id}").json()["status"] == "succeeded"
    assert serving.get(f"warmcell/risky/runs/{run_id}").status == 404
    assert serving.delete(f"warmcell/risky/runs/{run_id}").status == 404
    assert serving.delete(f"warmcell/add/runs/{run_id}").status == 409
    mine = serving.get("warmcell/add/runs?deployment=risky").json()["runs"]
    assert {run["deployment"] for run in mine} == {"add"}


def test_the_control_plane_is_described(serving: JupyterServer) -> None:
    """Its document is valid OpenAPI 3.1 and has every operation, each with what it does and the
    form of what it takes where that has one."""
    document = serving.get("warmcell/api/v1/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    shown = {
        (method, re.sub(r"{\w+}", "*", path.removeprefix("/")))
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    routes = [route for route in operations.ROUTES if route.pattern.pattern.startswith("api/v1/")]
    assert shown == {
        (
            route.method.lower(),
            route.pattern.pattern.removeprefix("api/v1/").replace("([^/]+)", "*"),
        )
        for route in routes
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert method == "parameters" or operation["summary"], (method, path)
    taken = document["paths"]["/tagged"]["post"]["requestBody"]["content"]["application/json"]
    jsonschema.validate(
        {"tags": [{"name": "good"}], "on": {"kind": "pipeline", "pipeline": "add"}},
        {**taken["schema"], "components": document["components"]},
    )
