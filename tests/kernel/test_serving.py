"""Deploying and serving through a host of this process: link, dispatcher and bindings."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from warmcell import link, pipeline, step, wire
from warmcell.errors import (
    DeployError,
    InvalidName,
    LinkError,
    NotFound,
    OutputError,
    ParameterError,
    QueueFull,
    RunError,
    RunTimedOut,
    StoreError,
    Unavailable,
    UsageError,
)
from warmcell_server.embedded import EmbeddedHost
from warmcell_server.invocation import Invocation
from warmcell_server.payload import Payload

GATE = threading.Event()
ENTERED = threading.Event()
CLEANED = threading.Event()
WAIT = 20.0


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[link.Kernel]:
    """This process as a kernel with a host of its own, and an empty store."""
    monkeypatch.setenv("WARMCELL_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("WARMCELL_CONNECTION", raising=False)
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    for event in (GATE, ENTERED, CLEANED):
        event.clear()
    here = link.kernel()
    yield here
    GATE.set()
    here.close()
    gc.collect()


@step
def double(x: int) -> int:
    return 2 * x


@step
def hold(x: int) -> int:
    ENTERED.set()
    assert GATE.wait(WAIT)
    return x


@step
def fail(x: int) -> int:
    raise ValueError(f"no {x}")


@pipeline
def doubling(x: int) -> int:
    return double(x)


@pipeline
def holding(x: int) -> int:
    return hold(x)


@pipeline
def failing(x: int) -> int:
    return fail(x)


def test_a_call_is_answered_and_recorded(kernel: link.Kernel) -> None:
    """A deployed pipeline answers, and the call is in the history at once."""
    deployment = doubling.deploy("double")
    assert deployment.invoke(x=21) == {"output": 42}
    (run,) = kernel.control("GET", "api/v1/runs?deployment=double")["runs"]
    assert (run["status"], run["parameters"], run["outputs"]) == (
        "succeeded",
        {"x": 21},
        {"output": 42},
    )
    steps = kernel.control("GET", f"api/v1/runs/{run['run_id']}")["steps"]
    assert [(s["step"], s["status"], s["inputs"]) for s in steps] == [
        ("double", "succeeded", {"x": "$x"})
    ]


def test_parameters_that_do_not_fit_are_named(kernel: link.Kernel) -> None:
    """A wrong parameter is the caller's error, with a pointer to it."""
    deployment = doubling.deploy("double")
    with pytest.raises(ParameterError) as caught:
        deployment.invoke(x="many")
    assert caught.value.errors[0]["pointer"] == "/parameters/x"


def test_a_step_that_raises_is_named(kernel: link.Kernel) -> None:
    """The error of a step reaches the caller with the step and the run."""
    with pytest.raises(RunError, match="Step 'fail' raised ValueError: no 7") as caught:
        failing.deploy("fail").invoke(x=7)
    assert caught.value.step == "fail"
    run = kernel.control("GET", f"api/v1/runs/{caught.value.run_id}")
    assert run["status"] == "failed"


def test_half_characters_of_an_error_reach_the_caller(kernel: link.Kernel) -> None:
    """What has no UTF-8, such as a file's name that was not decoded, is told with "?" for it."""

    @step
    def search(x: int) -> int:
        raise ValueError("no \udc80")

    @pipeline
    def searching(x: int) -> int:
        return search(x)

    with pytest.raises(RunError, match=r"Step 'search' raised ValueError: no \?"):
        searching.deploy("search").invoke(x=1)


def test_an_answer_that_cannot_be_sent(
    kernel: link.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller is told, and the link goes on."""

    @step
    def repeat(x: int) -> str:
        return "x" * x

    @pipeline
    def repeating(x: int) -> str:
        return repeat(x)

    deployment = repeating.deploy("repeat")
    monkeypatch.setattr(wire, "MAX_FRAME", 50_000)
    with pytest.raises(OutputError, match="cannot be sent: it takes"):
        deployment.invoke(x=60_000)
    assert deployment.invoke(x=1) == {"output": "x"}


def test_a_spool_that_cannot_be_written(kernel: link.Kernel) -> None:
    """The caller hears that its run is not recorded, whatever is wrong with the disk."""
    deployment = doubling.deploy("double")
    spool: Any = kernel._embedded.host.store._spool
    before = os.dup(spool._fd)
    with open(os.devnull, "rb") as unwritable:
        os.dup2(unwritable.fileno(), spool._fd)
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            deployment.invoke(x=1)
    finally:
        os.dup2(before, spool._fd)
        os.close(before)
    assert deployment.invoke(x=2) == {"output": 4}


def test_calls_that_wait_do_not_stop_other_calls(kernel: link.Kernel) -> None:
    """While many calls of one deployment wait inside a step, another one answers, as does the
    control plane."""
    slow, quick = holding.deploy("hold"), doubling.deploy("double")
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(slow.invoke, x=number) for number in range(12)]
        assert ENTERED.wait(WAIT)
        assert quick.invoke(x=1) == {"output": 2}
        GATE.set()
        assert [call.result(WAIT)["output"] for call in waiting] == list(range(12))


def test_a_short_call_that_turns_long_gives_the_reading_away(kernel: link.Kernel) -> None:
    """A binding that was always quick may wait once without holding up the others."""
    GATE.set()
    slow, quick = holding.deploy("hold"), doubling.deploy("double")
    for number in range(20):
        slow.invoke(x=number)
    GATE.clear()
    ENTERED.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(slow.invoke, x=5)
        assert ENTERED.wait(WAIT)
        assert quick.invoke(x=4) == {"output": 8}
        GATE.set()
        assert waiting.result(WAIT) == {"output": 5}


def test_a_full_queue_refuses(kernel: link.Kernel) -> None:
    """Over ``concurrency`` and ``max_queue`` a call is refused with a time to wait."""
    deployment = holding.deploy("hold", concurrency=1, max_queue=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(deployment.invoke, x=1)
        assert ENTERED.wait(WAIT)
        second = pool.submit(deployment.invoke, x=2)
        while kernel.control("GET", "api/v1/deployments/hold")["queued"] < 1:
            assert not second.done()
        with pytest.raises(QueueFull) as caught:
            deployment.invoke(x=3)
        assert caught.value.retry_after > 0
        GATE.set()
        assert (first.result(WAIT), second.result(WAIT)) == ({"output": 1}, {"output": 2})


def test_a_deadline_ends_a_call(kernel: link.Kernel) -> None:
    """Past its deadline a call is answered and recorded as timed out."""
    deployment = holding.deploy("hold", timeout=0.3)
    with pytest.raises(RunTimedOut):
        deployment.invoke(x=1)
    (run,) = kernel.control("GET", "api/v1/runs?deployment=hold")["runs"]
    assert run["status"] == "timed_out"


def test_a_cancel_that_is_faster_than_its_call(kernel: link.Kernel) -> None:
    """A run that is told to stop while its parameters are still read does not begin."""
    deployment = holding.deploy("hold")
    binding = kernel.binding("hold")
    assert deployment.snapshot == 1
    assert binding is not None
    kernel.serving.cancel("early", "cancelled")
    answer = kernel.serving.invoke(wire.Invoke(1, binding.key, "early", b'{"x": 1}'))
    assert answer.status == "cancelled"
    assert not ENTERED.is_set()


def test_a_redeploy_drops_no_call(kernel: link.Kernel) -> None:
    """Calls in flight end on the snapshot they began with; none fails while names are switched."""
    deployment = doubling.deploy("same")
    stop = threading.Event()
    answers: set[int] = set()

    def call() -> int:
        count = 0
        while not stop.is_set():
            answers.add(deployment.invoke(x=10)["output"])
            count += 1
        return count

    @step
    def triple(x: int) -> int:
        return 3 * x

    @pipeline
    def tripling(x: int) -> int:
        return triple(x)

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(call) for _ in range(4)]
        for number in range(12):
            (tripling if number % 2 else doubling).deploy("same")
        stop.set()
        assert sum(caller.result(WAIT) for caller in callers) > 12
    assert answers == {20, 30}


def test_the_same_thing_twice_is_the_same_snapshot(kernel: link.Kernel) -> None:
    """Snapshots are numbered per pipeline by what they are, not by how often they are deployed."""
    assert doubling.deploy("one").snapshot == doubling.deploy("two").snapshot == 1


def test_a_rollback_serves_the_snapshot_before(kernel: link.Kernel) -> None:
    """The earlier snapshot is still warm and answers again."""
    factor = 2

    @step
    def scale(x: int) -> int:
        return factor * x

    @pipeline
    def scaling(x: int) -> int:
        return scale(x)

    scaling.deploy("scale")
    factor = 5
    newer = scaling.deploy("scale")
    assert (newer.snapshot, newer.invoke(x=10)) == (2, {"output": 50})
    older = newer.rollback()
    assert (older.snapshot, older.invoke(x=10)) == (1, {"output": 20})


def test_undeploying_ends_calls_first(kernel: link.Kernel) -> None:
    """After an undeploy the name is unknown, the call in flight is answered, and ``on_cleanup``
    runs when it has ended."""

    def clean() -> None:
        CLEANED.set()

    deployment = holding.with_options(on_cleanup=clean).deploy("hold")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(deployment.invoke, x=1)
        assert ENTERED.wait(WAIT)
        deployment.undeploy()
        with pytest.raises(NotFound):
            deployment.invoke(x=2)
        assert not CLEANED.is_set()
        GATE.set()
        assert waiting.result(WAIT) == {"output": 1}
    assert CLEANED.wait(WAIT)


def test_an_on_init_that_raises_changes_nothing(kernel: link.Kernel) -> None:
    """The deployment that was there goes on serving."""

    def broken() -> None:
        raise OSError("no model")

    deployment = doubling.deploy("double")
    with pytest.raises(DeployError, match="no model"):
        doubling.with_options(on_init=broken).deploy("double")
    assert deployment.invoke(x=2) == {"output": 4}


@pytest.mark.parametrize("name", ["Upper", "api", "a/b", "-a", "x" * 64, "ü", "runs "])
def test_a_name_that_is_none_is_refused(kernel: link.Kernel, name: str) -> None:
    """Names that cannot be part of a URL, and reserved ones, are refused before anything runs."""
    with pytest.raises(InvalidName):
        doubling.deploy(name)
    assert kernel.control("GET", "api/v1/deployments")["deployments"] == []


def test_an_unknown_setting_names_the_right_one(kernel: link.Kernel) -> None:
    """A misspelt setting is an error that suggests the one that was meant."""
    with pytest.raises(UsageError, match="Did you mean 'concurrency'"):
        doubling.deploy("double", concurency=3)


def test_a_lost_link_is_made_again(kernel: link.Kernel) -> None:
    """When the connection breaks, the kernel connects again and what it serves answers again."""
    deployment = doubling.deploy("double")
    first = kernel.link()
    first._socket.shutdown(socket.SHUT_RDWR)
    assert first.closed.wait(WAIT)
    assert deployment.invoke(x=3) == {"output": 6}
    assert kernel.link() is not first


def test_what_is_no_message_closes_only_its_own_link(kernel: link.Kernel) -> None:
    """Garbage, a foreign protocol and a silent start each end their connection, nobody else's."""
    deployment = doubling.deploy("double")
    file = kernel._embedded.connection_file
    target = msgspec.json.decode(file.read_bytes(), type=wire.Connection)
    assert file.stat().st_mode & 0o777 == 0o600
    hello = wire.Hello(protocol=99, kernel_id="k", pid=1, python="3")
    for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), bytes(wire.frame(hello))):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(WAIT)
            stranger.connect(str(target.path))
            stranger.sendall(data)
            received = b""
            while more := stranger.recv(4096):
                received += more
        if received:
            assert b"install the same version" in received
    assert deployment.invoke(x=1) == {"output": 2}


def test_a_message_that_cannot_be_handled(kernel: link.Kernel) -> None:
    """What is wrong inside of one message ends nothing but itself."""
    deployment = doubling.deploy("double")
    connection = kernel.link()
    connection.send(wire.Progress(b"no record", "of-no-run"))
    assert deployment.invoke(x=3) == {"output": 6}
    assert kernel.link() is connection


def test_without_a_host_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection file whose host is gone is an error that says so."""
    from warmcell.connection import connect
    from warmcell.serving import Serving

    file = tmp_path / "gone.json"
    file.write_bytes(msgspec.json.encode(wire.Connection("h", 1, path=str(tmp_path / "none"))))
    with pytest.raises(LinkError, match="No Warmcell host answers"):
        connect(file, kernel_id="k", notebook=None, serving=Serving(), ended=lambda: None)


def test_a_deployment_without_worker_says_how_to_get_it_back(kernel: link.Kernel) -> None:
    """After the kernel let go, callers hear what to do, and not that the name is unknown."""
    doubling.deploy("double")
    home = kernel.status().home
    kernel.close()
    again = EmbeddedHost.start(Path(home).parent)
    try:
        described = on_loop(again, again.host.api.handle("GET", "api/v1/deployments/double"))[1]
        assert (described["state"], described["ready"]) == ("detached", False)
        payload = Payload(b'{"parameters": {"x": 1}}')
        with pytest.raises(Unavailable, match="Deploy it again"):
            on_loop(again, Invocation(again.host, "double").answer(payload))
    finally:
        again.close()


def on_loop(embedded: EmbeddedHost, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on the event loop of an embedded host."""
    return asyncio.run_coroutine_threadsafe(coroutine, embedded._loop).result(WAIT)


def test_what_was_let_go_stays_so(kernel: link.Kernel) -> None:
    """The thread that writes a stored form does not bring back a host that was closed meanwhile."""
    doubling.deploy("double")
    kernel.close()
    for thread in threading.enumerate():
        if thread.name == "warmcell-snapshot":
            thread.join(WAIT)
    assert kernel.status().mode == "none"
    assert kernel._embedded is None
