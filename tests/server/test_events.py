"""The events of runs over HTTP: in order, live, to be resumed, and always with an end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import Gate, ended, submit, wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from tests.support.sse import BufferingProxy, Event, EventStream

CELLS = """\
%load_ext warmcell

import pathlib, time
from warmcell import get_step_context, pipeline, report_progress, step

@step
def talk(text: str, gate: str = ""):
    for number, word in enumerate(text.split()):
        print("saying", word)
        report_progress(number, 3, word)
        yield word
        if gate:
            place = pathlib.Path(gate + ".entered")
            place.with_suffix(".new").write_text(get_step_context().run_id)
            place.with_suffix(".new").replace(place)
            while not pathlib.Path(gate).exists() and not get_step_context().cancelled:
                time.sleep(0.005)

@step
def count(words: list) -> int:
    return len(words)

@pipeline
def talking(text: str, gate: str = "") -> int:
    return count(talk(text, gate))

@step
def fail(kind: str) -> str:
    raise ValueError(f"no {kind}")

@pipeline
def failing(kind: str) -> str:
    return fail(kind)

talking.deploy("talking")
talking.deploy("single", concurrency=1)
talking.deploy("unrecorded", record="none")
talking.deploy("open", auth="public")
failing.deploy("failing")
"""


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, Kernel]]:
    """A server and a kernel with deployments that have something to say."""
    folder = tmp_path_factory.mktemp("talker")
    server = JupyterServer(folder / "root", folder).start()
    kernel = server.kernel("talker.ipynb")
    kernel.run(CELLS)
    yield server, kernel
    server.stop()
    print(server.tail())
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def server(talker: tuple[JupyterServer, Kernel]) -> JupyterServer:
    return talker[0]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def run_id_of(gate: Gate) -> str:
    """The id of the run that came to the gate."""
    gate.entered()
    return gate.path.with_name("gate.entered").read_text()


def told(events: list[Event]) -> list[Any]:
    """What matters of each event."""
    found: list[Any] = []
    for event in events:
        data = event.data
        match event.kind:
            case "run":
                found.append(data["status"])
            case "step":
                found.append((data["step"], data["status"]))
            case "output":
                found.append((data["index"], data["value"]))
            case "log":
                found.append(data["text"])
            case "progress":
                found.append((data["done"], data["total"], data["message"]))
            case "done":
                found.append(data["outputs"])
            case "error":
                found.append((data["status"], data["run_status"]))
    return found


def grows(events: list[Event]) -> bool:
    ids = [event.id for event in events]
    return ids == sorted(set(ids))


LOUD = [
    "running",
    ("talk", "running"),
    "saying a\n",
    (0, 3, "a"),
    (0, "a"),
    ("talk", "succeeded"),
    ("count", "running"),
    ("count", "succeeded"),
    {"output": 1},
]


@pytest.mark.parametrize("name", ["talking", "unrecorded"])
def test_a_streamed_call(server: JupyterServer, name: str) -> None:
    """Everything that happens, in order; the end is the body that `invoke` answers."""
    stream = EventStream(server, f"warmcell/{name}/invoke", {"text": "a"})
    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "no-store" in stream.headers["cache-control"]
    assert stream.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in stream.headers
    events = stream.rest()
    assert told(events) == LOUD
    assert grows(events)
    first, last = events[0], events[-1]
    assert first.data["run_id"] == stream.headers["x-run-id"]
    assert (last.kind, last.data["success"]) == ("done", True)
    assert last.data["metadata"]["run_id"] == first.data["run_id"]
    assert last.data["metadata"]["parameters_used"] == {"text": "a", "gate": ""}


def test_values_come_as_they_are_yielded(server: JupyterServer, gate: Gate) -> None:
    """The first one while the step still waits to make the next."""
    stream = EventStream(server, "warmcell/talking/invoke", gate.parameters(text="a b"))
    assert told(stream.until("output"))[-1] == (0, "a")
    assert not gate.path.exists()
    gate.open()
    assert told(stream.rest())[-1] == {"output": 2}


def test_the_history_has_a_run_before_its_caller_knows_its_id(
    server: JupyterServer, gate: Gate
) -> None:
    """So that whoever comes back after a crash learns what became of it."""
    stream = EventStream(server, "warmcell/talking/invoke", gate.parameters(text="a"))
    listed = server.get("warmcell/talking/runs?limit=1").json()["runs"]
    assert listed[0]["run_id"] == stream.headers["x-run-id"]
    assert listed[0]["status"] == "running"
    gate.open()
    stream.rest()


def test_resume(server: JupyterServer, gate: Gate) -> None:
    """Who lost the connection goes on where it was: nothing twice, nothing missing; the run went
    on meanwhile. Who has everything is told to stop asking."""
    run_id = submit(server, "talking", gate.parameters(text="a b"))
    path = f"warmcell/talking/runs/{run_id}/events"
    stream = EventStream(server, path)
    before = stream.until("output")
    stream.close()
    gate.open()
    assert ended(server, "talking", run_id)["status"] == "succeeded"
    last = str(before[-1].id)
    after = EventStream(server, path, headers={"Last-Event-ID": last}).rest()
    whole = EventStream(server, path).rest()
    assert before + after == whole
    assert grows(whole)
    assert whole[-1].kind == "done"
    assert EventStream(server, f"{path}?after={last}").rest() == after
    assert server.get(path, headers={"Last-Event-ID": str(whole[-1].id)}).status == 204


def test_followers_do_not_disturb_each_other(server: JupyterServer, gate: Gate) -> None:
    """Each gets everything; one that goes away ends only its own subscription."""
    run_id = submit(server, "talking", gate.parameters(text="a b"))
    path = f"warmcell/talking/runs/{run_id}/events"
    streams = [EventStream(server, path) for _ in range(4)]
    begun = [stream.until("output") for stream in streams]
    streams[0].close()
    gate.open()
    rests = [stream.rest() for stream in streams[1:]]
    assert all(rest == rests[0] for rest in rests)
    assert begun[0] == begun[1]
    assert rests[0][-1].data["outputs"] == {"output": 2}


def test_a_call_that_nobody_streamed(server: JupyterServer, gate: Gate) -> None:
    """Who comes while it runs gets what was before: from the kernel, with what was yielded."""
    answers: list[Any] = []
    body = {"parameters": gate.parameters(text="a b")}
    call = threading.Thread(
        target=lambda: answers.append(server.post("warmcell/talking/invoke", body))
    )
    call.start()
    stream = EventStream(server, f"warmcell/talking/runs/{run_id_of(gate)}/events")
    assert told(stream.until("output")) == [
        "running", ("talk", "running"), "saying a\n", (0, "a"),
    ]  # fmt: skip
    gate.open()
    events = stream.rest()
    call.join()
    assert (1, "b") in told(events)
    assert events[-1].data == answers[0].json()


@pytest.mark.parametrize("api", ["talking", "api/v1"])
def test_a_run_from_the_record(server: JupyterServer, api: str) -> None:
    """One that ended with nobody following is told from what the history has of it."""
    answer = server.post("warmcell/talking/invoke", {"parameters": {"text": "a"}}).json()
    run_id = answer["metadata"]["run_id"]
    path = f"warmcell/{api}/runs/{run_id}/events"
    events = EventStream(server, path).rest()
    assert told(events) == [item for item in LOUD if item not in ((0, 3, "a"), (0, "a"))]
    assert grows(events)
    assert events[-1].data["outputs"] == answer["outputs"]
    after = str(events[2].id)
    assert EventStream(server, path, headers={"Last-Event-ID": after}).rest() == events[3:]
    assert server.get(path, headers={"Last-Event-ID": str(events[-1].id)}).status == 204


def test_a_queued_run(server: JupyterServer, gate: Gate) -> None:
    """It says so, then runs; also a call that was followed only while it waited."""
    first = submit(server, "single", gate.parameters(text="a"))
    gate.entered()
    stream = EventStream(server, "warmcell/single/invoke", {"text": "b"})
    (queued,) = stream.until("run")
    assert queued.data["status"] == "queued"
    assert queued.data["queued_ahead"] == 0
    gate.open()
    events = stream.rest()
    assert told(events)[0] == "running"
    assert events[-1].kind == "done"
    assert ended(server, "single", first)["status"] == "succeeded"


@pytest.mark.parametrize("how", ["cancelled", "timed_out", "cancelled while queued"])
def test_a_run_that_is_stopped(server: JupyterServer, gate: Gate, how: str) -> None:
    """Its last event is a problem that says how it ended."""
    envelope = {"run_timeout": 0.3} if how == "timed_out" else {}
    first = None
    if how == "cancelled while queued":
        first = submit(server, "single", gate.parameters(text="a"))
        gate.entered()
    name = "single" if first else "talking"
    run_id = submit(server, name, gate.parameters(text="a b"), **envelope)
    path = f"warmcell/{name}/runs/{run_id}"
    stream = EventStream(server, f"{path}/events")
    stream.until("run" if first else "output")
    if how != "timed_out":
        assert server.delete(path).status == 202
    last = stream.rest()[-1]
    assert last.kind == "error"
    status = how.split()[0]
    assert last.data["run_status"] == status
    assert last.data["run_id"] == run_id
    assert last.data["status"] == {"cancelled": 409, "timed_out": 504}[status]
    again = EventStream(server, f"{path}/events").rest()
    assert again[-1] == last
    gate.open()


def test_a_run_that_fails(server: JupyterServer) -> None:
    """The step says why, without its traceback; then comes the problem that `invoke` answers."""
    events = EventStream(server, "warmcell/failing/invoke", {"kind": "way"}).rest()
    assert told(events) == ["running", ("fail", "running"), ("fail", "failed"), (500, "failed")]
    assert events[2].data["error"] == {"type": "ValueError", "message": "no way", "hint": None}
    problem = server.post("warmcell/failing/invoke", {"parameters": {"kind": "way"}}).json()
    assert events[-1].data["detail"] == problem["detail"]
    assert events[-1].data["step"] == "fail"
    assert "Traceback" not in json.dumps([event.data for event in events])


def test_parameters_that_do_not_fit(server: JupyterServer) -> None:
    """A call that asks for a stream hears it as any other; a run of its own ends with it."""
    stream = EventStream(server, "warmcell/failing/invoke", {"kid": 1})
    assert stream.status == 422
    assert json.loads(stream.text())["errors"][0]["pointer"] == "/parameters/kind"
    run_id = submit(server, "failing", {"kid": 1})
    for _ in range(2):
        last = EventStream(server, f"warmcell/failing/runs/{run_id}/events").rest()[-1]
        assert (last.data["status"], last.data["run_status"]) == (422, "failed")


def test_a_run_in_a_cell(talker: tuple[JupyterServer, Kernel], gate: Gate) -> None:
    """The same events, from the kernel, and the same end."""
    server, kernel = talker
    cell = kernel.start(f"ran = talking('a b', gate={str(gate.path)!r})")
    run_id = run_id_of(gate)
    stream = EventStream(server, f"warmcell/api/v1/runs/{run_id}/events")
    begun = told(stream.until("output"))
    assert begun[0] == "running"
    assert ("talk", "running") in begun
    assert begun[-1] == (0, "a")
    wait_until(lambda: any("talk yields" in d.get("text/html", "") for d in cell.displays))
    gate.open()
    events = stream.rest()
    cell.wait(60)
    assert "saying a" in cell.stdout
    assert (1, 3, "b") in told(events)
    assert (1, "b") in told(events)
    assert told(events)[-3:] == [("count", "running"), ("count", "succeeded"), {"output": 2}]
    assert server.get(f"warmcell/talking/runs/{run_id}/events").status == 404


def test_a_run_whose_kernel_dies(server: JupyterServer, gate: Gate) -> None:
    """It is lost, and its followers hear so."""
    kernel = server.kernel("mortal.ipynb")
    kernel.run(CELLS.replace('"talking"', '"mortal"').split('talking.deploy("single"')[0])
    run_id = submit(server, "mortal", gate.parameters(text="a b"))
    stream = EventStream(server, f"warmcell/mortal/runs/{run_id}/events")
    stream.until("output")
    kernel.kill()
    assert told(stream.rest())[-1] == (503, "lost")


def test_bad_requests(server: JupyterServer) -> None:
    """Unknown runs, runs of others, ids that are none, and nobody."""
    made = server.post("warmcell/talking/invoke", {"parameters": {"text": "a"}}).json()
    run_id = made["metadata"]["run_id"]
    paths = {
        "warmcell/talking/runs/unknown/events": 404,
        "warmcell/api/v1/runs/unknown/events": 404,
        f"warmcell/failing/runs/{run_id}/events": 404,
        f"warmcell/nothing/runs/{run_id}/events": 404,
        f"warmcell/talking/runs/{run_id}/events?after=x": 422,
        f"warmcell/talking/runs/{run_id}/events?padding=9999999": 422,
    }
    for path, status in paths.items():
        answer = server.get(path)
        assert answer.status == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    headers = {"Last-Event-ID": "-1"}
    assert server.get(f"warmcell/talking/runs/{run_id}/events", headers=headers).status == 422
    for path in ("warmcell/talking", "warmcell/api/v1"):
        assert server.get(f"{path}/runs/{run_id}/events", authenticated=False).status == 401
    assert server.post(f"warmcell/talking/runs/{run_id}/events", {}).status == 405


def test_what_is_kept_from_callers(server: JupyterServer) -> None:
    """Who is nobody, or has a key that may only call, sees own runs, and neither logs nor how the
    steps depend on each other; live and from the record alike."""
    made = server.post(
        "warmcell/api/v1/deployments/talking/keys", {"name": "caller", "scopes": ["invoke"]}
    )
    assert made.status == 201, made.text
    callers: list[tuple[str, dict[str, str]]] = [
        ("open", {}),
        ("talking", {"Authorization": f"Bearer {made.json()['key']}"}),
    ]
    quiet = [item for item in LOUD if item != "saying a\n"]
    for name, headers in callers:
        plain: Any = {"headers": headers, "authenticated": False}
        stream = EventStream(server, f"warmcell/{name}/invoke", {"text": "a"}, **plain)
        assert stream.status == 200
        events = stream.rest()
        assert told(events) == quiet
        assert all("upstream" not in e.data for e in events if e.kind == "step")
        own = f"warmcell/{name}/runs/{stream.headers['x-run-id']}/events"
        assert EventStream(server, own, **plain).rest() == events
        body = {"parameters": {"text": "a"}}
        later = server.post(f"warmcell/{name}/invoke", body, **plain).json()["metadata"]["run_id"]
        rebuilt = EventStream(server, f"warmcell/{name}/runs/{later}/events", **plain).rest()
        assert told(rebuilt) == [i for i in quiet if i not in ((0, 3, "a"), (0, "a"))]
        other = server.post(f"warmcell/{name}/invoke", body).json()["metadata"]["run_id"]
        assert server.get(f"warmcell/{name}/runs/{other}/events", **plain).status == 404
        streamed = EventStream(server, f"warmcell/{name}/invoke", {"text": "a"})
        streamed.rest()
        other = streamed.headers["x-run-id"]
        assert server.get(f"warmcell/{name}/runs/{other}/events", **plain).status == 404
        anywhere = f"warmcell/api/v1/runs/{later}/events"
        assert server.get(anywhere, **plain).status in (401, 403)


@pytest.mark.parametrize("says", [True, False])
def test_through_a_buffering_proxy(server: JupyterServer, gate: Gate, says: bool) -> None:
    """Events come through while the run goes on: padding pushes them on where a proxy is known to
    be there, or where the client asks for it."""
    with BufferingProxy(server, says=says) as proxy:
        query = "" if says else "?padding=4096"
        path = f"warmcell/talking/invoke{query}"
        stream = EventStream(server, path, gate.parameters(text="a b"), url=proxy.url)
        assert told(stream.until("output"))[-1] == (0, "a")
        assert not gate.path.exists()
        gate.open()
        assert told(stream.rest())[-1] == {"output": 2}


def test_a_compressing_client_gets_it_plain(server: JupyterServer) -> None:
    """A compressor would hold events back."""
    headers = {"Accept-Encoding": "gzip"}
    stream = EventStream(server, "warmcell/talking/invoke", {"text": "a"}, headers=headers)
    assert told(stream.rest()) == LOUD


def test_a_caller_that_hangs_up(server: JupyterServer, gate: Gate) -> None:
    """Its run goes on, and another caller may follow it."""
    stream = EventStream(server, "warmcell/talking/invoke", gate.parameters(text="a b"))
    stream.until("output")
    run_id = stream.headers["x-run-id"]
    stream.close()
    gate.open()
    found = ended(server, "talking", run_id)
    assert found["outputs"] == {"output": 2}
    again = EventStream(server, f"warmcell/talking/runs/{run_id}/events").rest()
    assert (1, "b") in told(again)


def test_a_run_of_another_process(server: JupyterServer, gate: Gate, tmp_path: Path) -> None:
    """Another server on the same store tells what the history gets to know."""
    root, state = server.root, tmp_path / "second"
    state.mkdir()
    second = JupyterServer(root, state).start()
    try:
        run_id = submit(server, "talking", gate.parameters(text="a"))
        gate.entered()
        wait_until(lambda: second.get(f"warmcell/api/v1/runs/{run_id}").status == 200)
        stream = EventStream(second, f"warmcell/api/v1/runs/{run_id}/events")
        stream.until("run")
        gate.open()
        events = stream.rest()
        assert events[-1].data["outputs"] == {"output": 1}
        assert ("count", "succeeded") in told(events)
        assert grows(events)
    finally:
        second.stop()
