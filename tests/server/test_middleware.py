"""Middleware around invoke, and the hooks of a deployment's beginning and end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = [
    "%load_ext warmcell",
    """\
import asyncio, pathlib, threading, time
from warmcell import DeploymentSettings, Response, pipeline, step
from warmcell.config import MiddlewareSpec
from warmcell.errors import Forbidden

@step
def twice(x: int) -> int:
    if x < 0:
        raise ValueError("negative")
    return 2 * x

@pipeline
def double(x: int) -> int:
    return twice(x)

def guard(request, call_next):
    if request.headers.get("x-secret") == "no":
        raise Forbidden("Not with that secret.")
    if "x-plain" in request.headers:
        return Response("plain " + request.headers["X-Plain"], status=418)
    if "x-empty" in request.headers:
        return Response("words", status=int(request.headers["x-empty"]))
    if request.parameters.get("x") == 5:
        request.parameters["x"] = 50
    print("guarded")
    response = call_next(request)
    response.headers["X-User"] = request.user
    if response.outputs and "x-more" in request.headers:
        response.outputs["more"] = request.headers["x-more"]
        response.status = 203
    if response.error is not None and response.status == 500:
        response.status = 502
    return response

async def patient(request, call_next, *, seconds):
    await asyncio.sleep(seconds)
    response = await call_next(request)
    response.headers["X-Order"] = response.headers.get("X-Order", "") + "patient "
    return response

class Last:
    def __init__(self, word): self.word = word
    def __call__(self, request, call_next):
        if request.headers.get("x-wrong") == "type": return {"no": "response"}
        if request.headers.get("x-wrong") == "raise": raise RuntimeError("by mistake")
        if request.headers.get("x-wrong") == "cookie":
            return Response("", headers={"Set-Cookie": "a"})
        if request.headers.get("x-wrong") == "output":
            response = call_next(request)
            response.outputs["bad"] = object()
            return response
        if request.headers.get("x-wrong") == "parameter": request.parameters["y"] = 1
        if request.headers.get("x-wrong") == "wait":
            while True: time.sleep(0.01)
        response = call_next(request)
        response.headers["X-Order"] = response.headers.get("X-Order", "") + self.word
        return response

layered = double.deploy("layered", custom_middlewares=[
    MiddlewareSpec(middleware=Last, init_kwargs={"word": "last "}, order=5),
    guard,
    MiddlewareSpec(patient, init_kwargs={"seconds": 0.001}, order=1),
])
""",
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, Kernel]]:
    """A server and the kernel that serves CELLS."""
    folder = tmp_path_factory.mktemp("middleware")
    server = JupyterServer(folder / "root", folder).start()
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


def call(server: JupyterServer, x: Any = 3, **headers: str) -> Response:
    """Call the deployment with the headers ``x-…``."""
    named = {f"X-{name}": value for name, value in headers.items()}
    return server.invoke("layered", {"x": x}, headers=named)


def test_layers_change_what_comes_and_goes(server: JupyterServer) -> None:
    """Parameters, outputs, status and headers; the lowest order is the outermost."""
    answer = call(server, 5)
    assert answer.json()["outputs"] == {"output": 100}
    assert answer.json()["metadata"]["parameters_used"] == {"x": 50}
    assert answer.headers["x-user"] == "token"
    assert answer.headers["x-order"] == "last patient "
    more = call(server, 1, more="yes")
    assert (more.status, more.json()["outputs"]) == (203, {"output": 2, "more": "yes"})
    run = server.get(f"warmcell/layered/runs/{more.json()['metadata']['run_id']}").json()
    assert run["outputs"] == {"output": 2, "more": "yes"}
    assert [step["step"] for step in run["steps"]] == ["twice"]


def test_layers_refuse(server: JupyterServer) -> None:
    """By an error with its status, or with an answer of their own; nothing runs."""
    refused = call(server, secret="no")
    assert (refused.status, refused.json()["detail"]) == (403, "Not with that secret.")
    plain = call(server, plain="words")
    assert (plain.status, plain.text) == (418, "plain words")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    empty = call(server, empty="204")
    assert (empty.status, empty.text) == (204, "")
    runs = server.get("warmcell/layered/runs?status=failed&limit=2").json()["runs"]
    assert [run["status"] for run in runs] == ["failed", "failed"]


def test_what_is_wrong_in_a_layer_is_told(server: JupyterServer, author: Kernel) -> None:
    """A failure of a layer is 500 without its traceback, which is in the log; a failed run can be
    given another status."""
    wrong = {"type": "returned a dict", "raise": "RuntimeError: by mistake", "output": "bad"}
    for kind, told in wrong.items():
        answer = call(server, wrong=kind)
        assert answer.status == 500, answer.text
        assert told in answer.json()["detail"]
        assert "Traceback" not in answer.text
    assert "sets the header Set-Cookie" in call(server, wrong="cookie").json()["detail"]
    unknown = call(server, wrong="parameter")
    assert unknown.status == 422
    assert unknown.json()["errors"][0]["pointer"] == "/parameters/y"
    assert call(server, "many").status == 422
    failed = call(server, -1)
    assert (failed.status, failed.json()["status"]) == (502, 502)
    assert failed.json()["step"] == "twice"
    assert failed.headers["x-user"] == "token"
    assert 'raise RuntimeError("by mistake")' in server.log.read_text()
    assert "guarded" not in author.run("1").stdout


def test_a_deadline_holds_for_layers(server: JupyterServer) -> None:
    """A layer that does not end is interrupted, and the caller has 504."""
    late = server.post(
        "warmcell/layered/invoke",
        {"parameters": {"x": 1}, "timeout": 0.5},
        headers={"X-Wrong": "wait"},
    )
    assert late.status == 504
    assert call(server, 2).json()["outputs"] == {"output": 4}


def test_hooks_begin_and_end_a_deployment(author: Kernel) -> None:
    """startup_hook after on_init and shutdown_hook before on_cleanup, each with its keywords and
    the state; a startup that fails changes nothing and cleans up."""
    author.run(
        "file = pathlib.Path('events'); file.write_text('')\ndone = threading.Event()\n"
        "def note(word):\n    with file.open('a') as lines: print(word, file=lines)\n"
        "def init(): note('init'); return {'n': 1}\n"
        "async def begin(state, word): note(f'startup {state} {word}')\n"
        "def end(word): note(f'shutdown {word}')\n"
        "def clean(state): note('cleanup'); done.set()\n"
        "hooked = double.with_options(name='hooked', on_init=init, on_cleanup=clean, settings={\n"
        "  'startup_hook': begin, 'startup_hook_kwargs': {'word': 'a'},\n"
        "  'shutdown_hook': end, 'shutdown_hook_kwargs': {'word': 'b'}})\n"
        "d = hooked.deploy('hooked')"
    )
    assert author.run("d.invoke(x=1)").text == "{'output': 2}"
    author.run("d.undeploy(); assert done.wait(20)")
    events = author.run("print(file.read_text())").stdout.split("\n")
    assert events[:4] == ["init", "startup {'n': 1} a", "shutdown b", "cleanup"]
    failed = author.run(
        "def broken(): raise OSError('no disk')\n"
        "hooked.deploy('hooked', startup_hook=broken, startup_hook_kwargs={})",
        check=False,
    )
    assert "startup_hook of pipeline 'hooked' raised OSError: no disk" in failed.evalue
    events = author.run("print(file.read_text())").stdout.split("\n")
    assert events[4:6] == ["init", "cleanup"]


def test_what_cannot_be_middleware_is_named(author: Kernel) -> None:
    """ASGI middleware and other functions are refused where they are written."""
    cell = author.run(
        "async def asgi(app, scope, receive, send): ...\n"
        "double.deploy('layered', custom_middlewares=[asgi])",
        check=False,
    )
    assert "cannot be called as asgi(request, call_next)" in cell.evalue
