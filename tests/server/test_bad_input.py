"""What bad input gets: a status that says what was wrong, and a body that names the way out."""

from __future__ import annotations

import http.client
import json
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

JSON = {"Content-Type": "application/json"}
LIMIT = 64 * 1024 * 1024


def problem(answer: Response, status: int, kind: str) -> dict[str, Any]:
    """Check the form of an error's body and return it."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:warmcell:problem:{kind}"
    assert body["title"]
    assert body["detail"]
    return body


def send(server: JupyterServer, body: bytes, name: str = "add", **headers: str) -> Response:
    """Post raw bytes to a deployment."""
    sent = {**JSON, **{key.replace("_", "-"): value for key, value in headers.items()}}
    return server.request("POST", f"warmcell/{name}/invoke", body=body, headers=sent)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"no json",
        b'{"parameters": {"a": 1}} trailing',
        b'{"parameters": {"a": NaN}}',
        b"\xef\xbb\xbf{}",
    ],
    ids=["empty", "cut", "words", "trailing", "nan", "bom"],
)
def test_no_json(serving: JupyterServer, body: bytes) -> None:
    """A body that is no JSON is a 400."""
    problem(send(serving, body), 400, "bad-request")


@pytest.mark.parametrize(
    "body",
    [b'{"parameters": {"a": "\xff"}}', b'{"parameters": {}, "run_name": "\xff"}', b"\xff"],
    ids=["in-parameters", "in-envelope", "outside"],
)
def test_invalid_utf8(serving: JupyterServer, body: bytes) -> None:
    """A body that is not UTF-8 is a 400, wherever the wrong byte is."""
    assert "UTF-8" in problem(send(serving, body), 400, "bad-request")["detail"]


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_nested_too_deep(serving: JupyterServer, left: str, right: str) -> None:
    """JSON nested 100,000 deep is a 400, and the server lives on."""
    bomb = '{"parameters": {"a": ' + left * 100_000 + "1" + right * 100_000 + "}}"
    assert "deep" in problem(send(serving, bomb.encode()), 400, "bad-request")["detail"]
    assert serving.invoke("add", {"a": 1}).status == 200


@pytest.mark.parametrize(
    ("envelope", "word"),
    [
        ({}, "parameters"),
        ([], "object"),
        ({"parameters": [1]}, "object"),
        ({"parameters": None}, "object"),
        ({"parameters": {}, "colour": 1}, "colour"),
        ({"parameters": {}, "timeout": "soon"}, "float"),
        ({"parameters": {}, "timeout": -1}, "above 0"),
        ({"parameters": {}, "run_name": 7}, "str"),
    ],
)
def test_an_envelope_of_another_form(serving: JupyterServer, envelope: Any, word: str) -> None:
    """An envelope that does not fit is a 422 that names the member and the right form."""
    body = problem(serving.post("warmcell/add/invoke", envelope), 422, "parameter-error")
    assert word in body["detail"]
    assert "parameters" in body["hint"]


@pytest.mark.parametrize(
    ("name", "parameters", "pointers"),
    [
        ("add", {}, ["/parameters/a"]),
        ("add", {"a": "x", "b": []}, ["/parameters/a", "/parameters/b"]),
        ("add", {"a": 1, "c": 3}, ["/parameters/c"]),
        ("add", {"a": 1.5}, ["/parameters/a"]),
        ("add", {"a": None}, ["/parameters/a"]),
        ("greeting", {"customer": {"age": 3}}, ["/parameters/customer/name"]),
        ("greeting", {"customer": {"name": "A"}, "mood": "odd"}, ["/parameters/mood"]),
    ],
)
def test_parameters_that_do_not_fit(
    serving: JupyterServer, name: str, parameters: dict[str, Any], pointers: list[str]
) -> None:
    """Missing, extra and wrong-typed parameters are a 422 with a JSON Pointer each."""
    body = problem(serving.invoke(name, parameters), 422, "parameter-error")
    assert sorted(error["pointer"] for error in body["errors"]) == pointers
    assert all(error["message"] for error in body["errors"])


def test_an_announced_body_over_the_limit(serving: JupyterServer) -> None:
    """A body larger than the limit is a 413 with the limit in it, not a reset connection."""
    body = problem(send(serving, b" " * (LIMIT + 1)), 413, "too-large")
    assert str(LIMIT) in body["detail"]


def test_a_chunked_body_over_the_limit(serving: JupyterServer) -> None:
    """So is one that comes in chunks, without a length."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    headers = {**JSON, "Authorization": f"token {serving.token}"}
    chunks = (b" " * 1_000_000 for _ in range(70))
    connection.request(
        "POST", "/warmcell/add/invoke", body=chunks, headers=headers, encode_chunked=True
    )
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["type"] == "urn:warmcell:problem:too-large"
    connection.close()


def test_a_body_over_the_limit_is_not_waited_for(serving: JupyterServer) -> None:
    """The 413 comes by the announcement alone, and at once to who asks before sending."""
    for expect in ("", "Expect: 100-continue\r\n"):
        with socket.create_connection(("127.0.0.1", serving.port), timeout=30) as client:
            client.sendall(
                f"POST /warmcell/add/invoke HTTP/1.1\r\nHost: localhost\r\n{expect}"
                f"Authorization: token {serving.token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {LIMIT + 1}\r\n\r\n".encode()
            )
            assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_strangers_body_is_not_waited_for(serving: JupyterServer) -> None:
    """Who has no token is answered before the body arrives, and may use the connection again."""
    body = b" " * 100_000
    with socket.create_connection(("127.0.0.1", serving.port), timeout=30) as client:
        head = "POST /warmcell/add/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000"
        client.sendall(f"{head}\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")
        client.sendall(body)
        client.sendall(
            f"GET /warmcell/add/livez HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: token {serving.token}\r\n\r\n".encode()
        )
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "text/csv"},
        {"Content_Type": "application/json; charset=latin-1"},
        {"Content_Encoding": "gzip"},
    ],
)
def test_another_content_type(serving: JupyterServer, headers: dict[str, str]) -> None:
    """What is not JSON in UTF-8 is a 415 that says what to send."""
    answer = send(serving, b'{"parameters": {"a": 1}}', **headers)
    assert problem(answer, 415, "unsupported-media")["hint"]


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "application/x.call+json"])
def test_other_words_for_json(serving: JupyterServer, kind: str) -> None:
    """JSON may be called by its other names."""
    assert send(serving, b'{"parameters": {"a": 1}}', Content_Type=kind).status == 200


@pytest.mark.parametrize("name", ["nothing", "Add", "a.b", "%20", "x" * 64, "api", "caf%C3%A9"])
def test_a_deployment_that_is_none(serving: JupyterServer, name: str) -> None:
    """An unknown name, and one that no deployment can have, is a 404."""
    problem(send(serving, b'{"parameters": {}}', name), 404, "not-found")


def test_a_path_that_is_no_text(serving: JupyterServer) -> None:
    """A path that does not decode is a 400, and its body is JSON too."""
    answer = serving.get("warmcell/%ff/health")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["No Name", "api", "-x", "x" * 64])
def test_a_name_that_is_no_name(author: Kernel, name: str) -> None:
    """Nothing can be deployed under such a name; the notebook's user reads why."""
    cell = author.run(f"add.deploy({name!r})", check=False)
    assert cell.ename == "InvalidName", cell.traceback


def test_a_step_that_raises(serving: JupyterServer) -> None:
    """A step's error is a 500 with the step, the run and the message; the run is recorded."""
    body = problem(serving.invoke("risky", {"kind": "raise"}), 500, "run-error")
    assert body["step"] == "fail"
    assert "ValueError: no such kind: <raise>" in body["detail"]
    assert "Traceback" not in json.dumps(body)
    run = serving.get(f"warmcell/risky/runs/{body['run_id']}").json()
    assert run["status"] == "failed"
    assert run["error"]["type"] == "ValueError"


def test_an_output_without_a_json_form(serving: JupyterServer) -> None:
    """An output that cannot become JSON is a 500 that names it."""
    body = problem(serving.invoke("unspeakable"), 500, "output-error")
    assert "object" in body["detail"]
    assert body["run_id"]


def test_a_deadline_that_passes(serving: JupyterServer, author: Kernel) -> None:
    """A call that does not end within its timeout is a 504."""
    author.run(
        "import threading\nfrom warmcell import pipeline, step\nnever = threading.Event()\n"
        "@step\ndef wait() -> bool:\n    return never.wait(20)\n"
        "@pipeline\ndef waiting() -> bool:\n    return wait()\n"
        "waiting.deploy('waiting')"
    )
    answer = serving.post("warmcell/waiting/invoke", {"parameters": {}, "timeout": 0.3})
    assert problem(answer, 504, "run-timed-out")["run_id"]
    author.run("never.set()")


def test_control_plane_bodies(serving: JupyterServer) -> None:
    """The control plane answers bad bodies and queries in the same form."""
    sql = "warmcell/api/v1/sql"
    problem(serving.post(sql, {"query": "DELETE FROM runs"}), 422, "query-error")
    problem(serving.request("POST", sql, body=b"{", headers=JSON), 400, "bad-request")
    problem(serving.post(sql, {"sql": "SELECT 1"}), 422, "usage-error")
    problem(serving.get("warmcell/api/v1/runs?limit=many"), 422, "usage-error")
    problem(serving.get("warmcell/add/runs?colour=red"), 422, "usage-error")
    answer = serving.request("PUT", "warmcell/api/v1/runs", headers=JSON, body=b"{}")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET"
    problem(serving.request("POST", "warmcell/add/health"), 405, "method-not-allowed")


@pytest.fixture
def busy(serving: JupyterServer, author: Kernel) -> Iterator[None]:
    """A deployment of one place and no queue, whose place is taken."""
    author.run(
        "import threading\nfrom warmcell import pipeline, step\n"
        "entered, go = threading.Event(), threading.Event()\n"
        "@step\ndef hold() -> bool:\n    entered.set()\n    return go.wait(30)\n"
        "@pipeline\ndef narrow() -> bool:\n    return hold()\n"
        "narrow.deploy('narrow', settings={'deployment': {'concurrency': 1, 'max_queue': 0}})"
    )
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    headers = {**JSON, "Authorization": f"token {serving.token}"}
    connection.request("POST", "/warmcell/narrow/invoke", body='{"parameters":{}}', headers=headers)
    author.run("entered.wait(30)")
    yield
    author.run("go.set()")
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.usefixtures("busy")
def test_a_full_queue(serving: JupyterServer) -> None:
    """A call that finds no place is a 429 with Retry-After."""
    answer = serving.invoke("narrow")
    problem(answer, 429, "queue-full")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit(2)")
def test_a_full_disk(serving: JupyterServer) -> None:
    """While the store cannot grow, calls are a 503 and none is acknowledged; then all is well."""
    before = serving.invoke("add", {"a": 1})
    assert before.status == 200
    unlimited = resource.prlimit(serving.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    try:
        for _ in range(3):
            answer = serving.invoke("add", {"a": 1})
            problem(answer, 503, "store-full")
            assert int(answer.headers["retry-after"]) >= 1
    finally:
        resource.prlimit(serving.pid, resource.RLIMIT_FSIZE, unlimited)
    after = serving.invoke("add", {"a": 1})
    assert after.status == 200
    for answer in (before, after):
        run_id = answer.json()["metadata"]["run_id"]
        assert serving.get(f"warmcell/add/runs/{run_id}").json()["status"] == "succeeded"
