"""Custom endpoints and paths of a deployment, over HTTP to a real server."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = [
    "%load_ext warmcell",
    """\
from typing import Literal
import enum, threading, time
import pydantic
from warmcell import DeploymentSettings, Request, Response, endpoint, pipeline, step
from warmcell.errors import Forbidden, NotFound

scores = {7: 0.5, 8: 0.75}
gate, entered = threading.Event(), threading.Event()

class Feedback(pydantic.BaseModel):
    good: bool
    note: str = ""

@step
def twice(x: int) -> int:
    return 2 * x

def load(): return {"model": "warm"}
""",
    "%%pipeline --on-init load\ndef scoring(x: int) -> int:\n    return twice(x)",
    """\
%%endpoint GET /predictions/{id} --pipeline scoring
def prediction(id: int, digits: Literal[1, 2] = 2, tags: list[str] = [], request: Request = None):
    '''One prediction.

    By its number.
    '''
    print("a prediction was looked up")
    if id not in scores:
        raise NotFound(f"There is no prediction {id}.")
    return {"score": round(scores[id], digits), "tags": tags, "state": request.state,
            "user": request.user, "token": "token" in request.query_params or
            "authorization" in request.headers, "path": request.path_params}
""",
    """\
%%endpoint POST /predictions/{id}/feedback --pipeline scoring
async def feedback(id: int, data: Feedback) -> Response:
    return Response({"id": id, **data.model_dump()}, status=201, headers={"X-Id": str(id)})
""",
    """\
@endpoint("PUT", "/pair", pipeline=scoring)
def pair(left: dict, right: list[int]): return [left, right]

@endpoint("POST", "/bytes", pipeline="scoring")
def length(body: bytes): return len(body)

@endpoint("GET", "/page", pipeline="scoring", auth_required=False)
def page(): return Response("<script>1</script>", media_type="text/html")

@endpoint("GET", "/fail", pipeline="scoring")
def fail(): raise ValueError("not <this>")

@endpoint("GET", "/refuse", pipeline="scoring")
def refuse(): raise Forbidden("Not you.")

@endpoint("GET", "/cookie", pipeline="scoring")
def cookie(): return Response("", headers={"Set-Cookie": "a=b"})

@endpoint("GET", "/object", pipeline="scoring")
def thing(): return {"it": object()}

@endpoint("GET", "/empty", pipeline="scoring")
def empty(): return Response(status=204)

@endpoint("GET", "/run", pipeline="scoring")
def run(x: int): return {"run": scoring(x).outputs}

@endpoint("GET", "/wait", pipeline="scoring")
def wait():
    entered.set()
    assert gate.wait(20)
    return True

@endpoint("GET", "/forever", pipeline="scoring")
def forever():
    while True:
        time.sleep(0.01)

class Counter:
    def __init__(self, start): self.count = start
    def __call__(self, by: int = 1) -> int:
        self.count += by
        return self.count
""",
    """\
from warmcell.config import EndpointSpec
settings = DeploymentSettings(
    invoke_url_path="/predict", health_url_path="status", api_url_path="/v1",
    custom_endpoints=[EndpointSpec("/count", "POST", Counter, init_kwargs={"start": 10})],
)
deployed = scoring.deploy("scoring", settings=settings)
""",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, Kernel]]:
    """A server and the kernel that serves CELLS."""
    folder = tmp_path_factory.mktemp("endpoints")
    server = JupyterServer(folder / "root", folder, base_url="/user/ada/").start()
    try:
        author = server.kernel("author.ipynb")
        for cell in CELLS:
            author.run(cell)
        yield server, author
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(served: tuple[JupyterServer, Kernel]) -> JupyterServer:
    return served[0]


@pytest.fixture(scope="module")
def author(served: tuple[JupyterServer, Kernel]) -> Kernel:
    return served[1]


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    return found


def test_values_come_from_path_and_query(server: JupyterServer) -> None:
    """Placeholders and query values arrive with their types; credentials never arrive."""
    path = "warmcell/scoring/predictions/8?digits=1&tags=a&tags=b&token="
    answer = server.get(path + server.token)
    assert answer.json() == {
        "score": 0.8,
        "tags": ["a", "b"],
        "state": {"model": "warm"},
        "user": "token",
        "token": False,
        "path": {"id": "8"},
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = server.request("HEAD", "warmcell/scoring/predictions/8")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("path", "pointer", "message"),
    [
        ("predictions/x", "/path/id", "valid integer"),
        ("predictions/7?digits=3", "/query/digits", "1 or 2"),
        ("predictions/7?digit=1", "/query/digit", "did you mean 'digits'"),
        ("run", "/query/x", "required"),
    ],
)
def test_values_that_do_not_fit_are_pointed_at(
    server: JupyterServer, path: str, pointer: str, message: str
) -> None:
    """422 with a pointer into the part of the request that is wrong."""
    found = problem(server.get(f"warmcell/scoring/{path}"), 422)
    (error,) = found["errors"]
    assert error["pointer"] == pointer
    assert message in error["message"]


def test_bodies(server: JupyterServer) -> None:
    """A model is the whole body, several values are its keys, bytes are any body."""
    answer = server.post("warmcell/scoring/predictions/7/feedback", {"good": True})
    assert (answer.status, answer.json()) == (201, {"id": 7, "good": True, "note": ""})
    assert answer.headers["x-id"] == "7"
    found = problem(server.post("warmcell/scoring/predictions/7/feedback", {"good": 5}), 422)
    assert [error["pointer"] for error in found["errors"]] == ["/body/good"]
    found = problem(server.post("warmcell/scoring/predictions/7/feedback"), 422)
    assert [error["pointer"] for error in found["errors"]] == ["/body"]
    put = server.request("PUT", "warmcell/scoring/pair", json_body={"left": {}, "right": [1]})
    assert put.json() == [{}, [1]]
    raw = server.request(
        "POST", "warmcell/scoring/bytes", body=b"\xff\x00", headers={"Content-Type": "image/x-any"}
    )
    assert raw.json() == 2


def test_refusals_and_failures(server: JupyterServer, author: Kernel) -> None:
    """An endpoint's own refusal keeps its status; what it raises else is 500 without a traceback,
    which stands in the server's log."""
    assert problem(server.get("warmcell/scoring/predictions/9"), 404)["detail"] == (
        "There is no prediction 9."
    )
    assert problem(server.get("warmcell/scoring/refuse"), 403)["detail"] == "Not you."
    failed = problem(server.get("warmcell/scoring/fail"), 500)
    assert failed["detail"] == "Endpoint 'fail' raised ValueError: not <this>"
    assert failed["type"] == "urn:warmcell:problem:endpoint-error"
    assert "Traceback" not in json.dumps(failed)
    assert (
        "answer['it'] is a object" in problem(server.get("warmcell/scoring/object"), 500)["detail"]
    )
    shown = author.run("1").stdout + author.run("2").stderr
    assert "looked up" not in shown
    log = server.log.read_text()
    assert "[endpoint prediction] a prediction was looked up" in log
    assert 'raise ValueError("not <this>")' in log


def test_what_is_not_ours_stays_off_the_origin(server: JupyterServer) -> None:
    """Pages of endpoints have an origin of their own and set no cookies."""
    answer = server.get("warmcell/scoring/page", authenticated=False)
    assert answer.text == "<script>1</script>"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "sandbox allow-scripts allow-forms"
    assert "Set-Cookie" in problem(server.get("warmcell/scoring/cookie"), 500)["detail"]


def test_only_open_endpoints_are_open(server: JupyterServer) -> None:
    """Without credentials everything but an endpoint with auth_required=False is 401."""
    for method, path in [
        ("GET", "predictions/7"),
        ("POST", "bytes"),
        ("POST", "v1/predict"),
        ("GET", "v1/status"),
        ("GET", "nowhere"),
    ]:
        answer = server.request(method, f"warmcell/scoring/{path}", authenticated=False)
        assert problem(answer, 401)["hint"]


def test_keys_open_endpoints_of_their_deployment(server: JupyterServer) -> None:
    """A key with the scope "invoke" calls endpoints and configured paths."""
    made = server.post("warmcell/api/v1/deployments/scoring/keys", {"name": "front"})
    assert made.status == 201, server.tail()
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    for path in ("predictions/7", "empty"):
        answer = server.get(f"warmcell/scoring/{path}", headers=headers, authenticated=False)
        assert answer.status < 300, answer.text
    called = server.request(
        "POST",
        "warmcell/scoring/v1/predict",
        headers=headers,
        authenticated=False,
        json_body={"parameters": {"x": 4}},
    )
    assert called.json()["outputs"] == {"output": 8}
    unknown = server.get("warmcell/scoring/nowhere", headers=headers, authenticated=False)
    assert problem(unknown, 404)


def test_configured_paths_come_beside_the_fixed_ones(server: JupyterServer) -> None:
    """Every path with its prefix answers as the fixed one does, with its methods."""
    body = {"parameters": {"x": 3}}
    for path in ("v1/predict", "invoke"):
        assert server.post(f"warmcell/scoring/{path}", body).json()["outputs"] == {"output": 6}
    assert server.post("warmcell/scoring/v1/submit", body).status == 202
    assert server.get("warmcell/scoring/v1/status").json()["status"] == "ok"
    assert server.get("warmcell/scoring/v1/info").json()["name"] == "scoring"
    assert "warmcell" in server.get("warmcell/scoring/v1/metrics").text
    assert problem(server.get("warmcell/scoring/v1/predict"), 405)["hint"] == "It has: POST."
    assert problem(server.post("warmcell/scoring/predictions/7", {}), 405)["hint"] == (
        "It has: GET."
    )
    assert problem(server.get("warmcell/scoring/predict"), 404)
    assert problem(server.get("warmcell/nobody/predict"), 404)


def test_an_endpoint_may_run_the_pipeline(server: JupyterServer) -> None:
    """The snapshot's own pipeline is there for its endpoints; the run is in the history."""
    assert server.get("warmcell/scoring/run?x=21").json() == {"run": {"output": 42}}
    (run, *_) = server.get("warmcell/api/v1/runs?limit=1").json()["runs"]
    assert (run["pipeline"], run["outputs"]) == ("scoring", {"output": 42})


def test_a_class_is_made_once_per_deployment(server: JupyterServer, author: Kernel) -> None:
    """Its instance belongs to the snapshot, whatever becomes of the notebook's variables."""
    author.run("del Counter, scores; scores = None")
    assert server.post("warmcell/scoring/count").json() == 11
    assert server.post("warmcell/scoring/count?by=5").json() == 16
    assert server.get("warmcell/scoring/predictions/7").json()["score"] == 0.5


def test_endpoints_are_described(server: JupyterServer) -> None:
    """The OpenAPI document has each with its parameters, body and answer."""
    paths = server.get("warmcell/scoring/openapi.json").json()["paths"]
    found = paths["/predictions/{id}"]["get"]
    assert (found["summary"], found["description"]) == ("One prediction.", "By its number.")
    described = {p["name"]: (p["in"], p["required"]) for p in found["parameters"]}
    assert described == {
        "id": ("path", True),
        "digits": ("query", False),
        "tags": ("query", False),
    }
    body = paths["/predictions/{id}/feedback"]["post"]["requestBody"]
    assert body["required"] is True
    assert "application/json" in body["content"]


def test_default_endpoints_can_be_left_out(server: JupyterServer, author: Kernel) -> None:
    """Only what the settings include is there, in the document too; custom endpoints stay."""
    author.run("scoring.deploy('bare', include_default_endpoints=['invoke', 'docs'])")
    assert server.invoke("bare", {"x": 1}).status == 200
    assert server.get("warmcell/bare/empty").status == 204
    for path in ("", "health", "livez", "info", "metrics"):
        assert "leaves out" in problem(server.get(f"warmcell/bare/{path}"), 404)["detail"]
    assert problem(server.post("warmcell/bare/submit", {"parameters": {"x": 1}}), 404)
    paths = server.get("warmcell/bare/openapi.json").json()["paths"]
    assert {"/invoke", "/docs", "/empty"} <= paths.keys()
    assert not {"/submit", "/health", "/livez", "/info", "/metrics"} & paths.keys()


def test_the_same_thing_twice_is_the_same_snapshot(author: Kernel) -> None:
    """With endpoints, middleware and hooks too; a changed one makes another, and what was deployed
    with them can be stored."""
    author.run(
        "def around(request, call_next): return call_next(request)\n"
        "def begin(word): ...\n"
        "def deploy(): return scoring.deploy('twin', custom_middlewares=[around],\n"
        "    startup_hook=begin, startup_hook_kwargs={'word': 'a'})\n"
        "first, second = deploy(), deploy()"
    )
    assert author.run("first.snapshot == second.snapshot").text == "True"
    author.run("def begin(word): return word\nthird = deploy()")
    assert author.run("third.snapshot > second.snapshot").text == "True"
    wait = "while third.stored == 'pending': time.sleep(0.05)"
    assert author.run(f"{wait}\nthird.stored").text == "'stored'"


def test_endpoints_wait_and_time_out(server: JupyterServer, author: Kernel) -> None:
    """As many requests at once as runs, others wait or are refused; a deadline answers 504 and
    interrupts the code; the call of another deployment is not held up."""
    author.run("scoring.deploy('narrow', concurrency=1, max_queue=1, run_timeout=3)")
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(server.get, "warmcell/narrow/wait") for _ in range(4)]
        assert server.invoke("scoring", {"x": 1}).status == 200
        author.run("time.sleep(0.2); gate.set()")
        statuses = sorted(call.result().status for call in waiting)
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 1
    slow = problem(server.get("warmcell/narrow/forever"), 504)
    assert "did not answer within 3 s" in slow["detail"]
    assert server.get("warmcell/narrow/predictions/7").status in (200, 500)


def test_who_leaves_while_waiting_is_dropped(server: JupyterServer, author: Kernel) -> None:
    """A request that waits for its turn is not executed for nobody."""
    author.run("scoring.deploy('left', concurrency=1)\ngate.clear(); entered.clear()")
    parts = urlsplit(server.url)
    leaving = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.get, "warmcell/left/wait")
        author.run("assert entered.wait(20)")
        path = f"{parts.path}warmcell/left/predictions/8"
        leaving.request("GET", path, headers={"Authorization": f"token {server.token}"})
        leaving.close()
        wait_until(lambda: f"409 GET {path}" in server.log.read_text())
        author.run("gate.set()")
        assert waiting.result().status == 200


def test_a_stale_twin_is_named(author: Kernel) -> None:
    """Two endpoints of one path cannot be deployed; the message names both."""
    cell = author.run(
        "@endpoint('GET', '/page', pipeline='scoring')\ndef page_two(): ...\n"
        "scoring.deploy('scoring')",
        check=False,
    )
    assert "taken twice: by the endpoint 'page' and by the endpoint 'page_two'" in cell.evalue
    author.run("del page_two")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%endpoint GTE /x\ndef f(): ...", "has the method 'GTE'"),
        ("%%endpoint GET /x/{id}\ndef f(idd): ...", "takes no `id`. Did you mean `idd`"),
        ("%%endpoint GET /runs/x\ndef f(): ...", "'/runs' and what is below"),
        ("%%endpoint GET /x\nf = 1", "defines no function"),
        ("%%endpoint GET /x --pipeline scorng\ndef f(): ...", "Did you mean `scoring`"),
        ("%%endpoint GET /x --opne\ndef f(): ...", "Did you mean --open"),
        (
            "scoring.deploy('n', custom_endpoints=[EndpointSpec('/b', 'GET', lambda d: d)])\n"
            "@endpoint('GET', '/z')\ndef f(data: dict): ...\n"
            "scoring.deploy('n', custom_endpoints=[f])",
            "`data` has a type for a body, and a GET request has none",
        ),
        ("%%endpoint GET /x\ndef f(*args): ...", "has no name in a request"),
    ],
)
def test_mistakes_are_named_in_the_cell(author: Kernel, cell: str, message: str) -> None:
    """What cannot be served is an error of the cell, in one sentence."""
    ran = author.run(cell, check=False)
    assert ran.status == "error"
    assert message in ran.evalue
