"""Envelopes and headers of all sorts: whatever comes, the answer is one that the document names."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.http import Response
from tests.support.jupyter import JupyterServer

EXAMPLES = 120
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
ANSWERS = {200, 202, 400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 500, 503, 504}
OWN = ("urn:warmcell:problem:run-error", "urn:warmcell:problem:run-timed-out")

odd = st.sampled_from([0, -1, 1e-320, 1e308, 2**63, -(2**63) - 1, 10**400])
numbers = st.one_of(st.integers(), st.floats(), odd)
plain = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
names = st.text(max_size=8)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
parameters = st.one_of(
    values,
    st.fixed_dictionaries({}, optional={"a": values, "b": values, "c": values}),
    st.fixed_dictionaries({"a": st.integers()}, optional={"b": numbers}),
)
envelopes = st.one_of(
    values,
    st.fixed_dictionaries(
        {},
        optional={
            "parameters": parameters,
            "instances": st.one_of(values, st.lists(parameters, max_size=3)),
            "run_name": st.one_of(values, st.text(max_size=400)),
            "timeout": plain,
            "queue_timeout": plain,
            "run_timeout": plain,
            "async": plain,
            "callback_url": st.one_of(plain, st.sampled_from(["http://[", "file:///etc/passwd"])),
            "skip_artifact_materialization": plain,
            "unknown": values,
        },
    ),
)
# What a client may put into a header: no line ends, in Latin-1.
texts = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Prefer": texts | st.sampled_from(
            ["respond-async", "respond-async, wait=0", "wait=1", 'respond-async;wait="x"',
             "respond-async, wait=99999999999999999999"]),
        "Idempotency-Key": texts | st.just('"a"') | st.text("k", min_size=250, max_size=260),
        "traceparent": texts | st.sampled_from(["00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff"]),
        "tracestate": texts,
        "Accept": texts | st.sampled_from(
            ["text/event-stream", "text/csv;q=x", "*/*;q=0", "application/json;q=0", ",", "a/b"]),
        "Content-Type": texts | st.sampled_from(
            ["application/json; charset=latin-1", "multipart/form-data", "text/csv", "text/plain",
             "multipart/form-data; boundary=x", "application/x-npy", "application/problem+json"]),
        "Content-Encoding": texts | st.sampled_from(["identity", "gzip"]),
        "Origin": texts | st.sampled_from(["null", "http://elsewhere.example"]),
        "X-API-Key": texts | st.just("wck_nothing"),
        "Last-Event-ID": texts,
        "Accept-Language": texts,
    },
)  # fmt: skip


def text_of(value: Any) -> bytes:
    """JSON, with NaN and infinities as Python writes them, and half characters escaped."""
    return json.dumps(value).encode()


def check(answer: Response, accepted: set[int] = ANSWERS) -> None:
    """The answer is a documented one, and in the form that goes with its status."""
    assert answer.status in accepted
    if answer.status < 400:
        return
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status
    assert isinstance(problem["detail"], str)
    assert "Traceback" not in problem["detail"]
    if answer.status >= 500:
        assert problem["type"] in OWN
        assert problem["run_id"]


def call(
    server: JupyterServer, operation: str, body: bytes, headers: dict[str, str] | None = None
) -> Response:
    """Call ``add`` with a body and headers as they are."""
    sent = {"Content-Type": "application/json"} if headers is None else headers
    return server.request("POST", f"warmcell/add/{operation}", body=body, headers=sent)


@bounded
@given(value=envelopes, operation=st.sampled_from(["invoke", "submit"]))
@example(value={"parameters": {"a": 10**400}}, operation="invoke")
@example(
    value={"parameters": {"a": 1}, "timeout": 1e308, "queue_timeout": 1e300}, operation="submit"
)
def test_envelopes(serving: JupyterServer, value: Any, operation: str) -> None:
    """Any JSON as a body."""
    check(call(serving, operation, text_of(value)))


@bounded
@given(data=st.binary(max_size=60), envelope=envelopes, at=st.integers(0, 200))
@example(data=b"[" * 60_000, envelope={}, at=0)
@example(data=b'{"parameters":' * 20_000, envelope={}, at=0)
@example(data=b'{"parameters":{},"parameters":{"a":1}}', envelope={}, at=-1)
@example(data=b"\xef\xbb\xbf{}", envelope={}, at=-1)
@example(data=b'{"parameters":{"a":"\\ud800"}}', envelope={}, at=-1)
def test_broken_bodies(serving: JupyterServer, data: bytes, envelope: Any, at: int) -> None:
    """Any bytes as a body, and JSON with bytes put in somewhere."""
    whole = text_of(envelope)
    bodies = [data] if at < 0 else [data, whole[:at] + data + whole[at:], whole[:at]]
    for body in bodies:
        check(call(serving, "invoke", body))


@bounded
@given(given_headers=headers, operation=st.sampled_from(["invoke", "submit"]))
def test_headers(serving: JupyterServer, given_headers: dict[str, str], operation: str) -> None:
    """Any headers with a body that fits."""
    body = text_of({"parameters": {"a": 1}})
    check(call(serving, operation, body, given_headers))


@bounded
@given(
    given_headers=headers,
    rest=st.sampled_from(["runs", "runs/x", "runs/x/events", "runs/x/outputs/y", "health", "docs"])
    | texts,
    query=st.dictionaries(
        st.sampled_from(["limit", "before", "status", "since", "until", "text", "after", "x"]),
        st.text(max_size=12),
        max_size=3,
    ),
    method=st.sampled_from(["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "TRACE", "NONE"]),
)
def test_other_paths(
    serving: JupyterServer,
    given_headers: dict[str, str],
    rest: str,
    query: dict[str, str],
    method: str,
) -> None:
    """Any method, path and query below a deployment."""
    path = f"add/{quote(rest)}?{urlencode(query, errors='replace')}"
    answer = serving.request(method, f"warmcell/{path}", headers=given_headers)
    if method != "HEAD":
        check(answer, {*ANSWERS, 204, 405})
    assert answer.status < 500


@bounded
@given(
    line=st.binary(max_size=30),
    name=st.binary(min_size=1, max_size=12),
    value=st.binary(max_size=30),
    length=st.integers(-5, 100) | st.sampled_from([10**30, "x", ""]),
)
def test_broken_http(
    serving: JupyterServer, line: bytes, name: bytes, value: bytes, length: int | str
) -> None:
    """What is not even HTTP gets an answer that blames the client, or none."""
    start = b"POST /warmcell/add/invoke" + line + b" HTTP/1.1\r\n"
    fields = b"Host: 127.0.0.1\r\n" + name + b": " + value + b"\r\n"
    token = f"Authorization: token {serving.token}\r\nContent-Length: {length}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as connection:
        connection.sendall(start + fields + token + b'{"parameters":{"a":1}}')
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            first = connection.recv(64)
            assert not first.startswith(b"HTTP/1.1 5"), first


@pytest.fixture(autouse=True, scope="module")
def _lives_on(serving: JupyterServer) -> Any:
    """After all of this the deployment answers as before, and the server's log has no failure."""
    yield
    assert serving.invoke("add", {"a": 1}).json()["outputs"] == {"total": 3}
    text = serving.log.read_text(errors="replace")
    assert "Uncaught exception" not in text, text[text.index("Uncaught exception") :][:4000]
