"""Calls of a deployment by the client: options, async, submitted, streamed, by batch and by key."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.shells import Notebook, notebook
from tests.support.cutting import Cutting
from warmcell import link
from warmcell.client import Client
from warmcell.deployers.utils import invoke_deployment
from warmcell.deployment import Deployment
from warmcell.errors import (
    Conflict,
    Forbidden,
    LinkError,
    NotFound,
    ParameterError,
    RunCancelled,
    RunError,
    RunTimedOut,
    Unauthenticated,
    UsageError,
)
from warmcell.remote.streaming import RunEvent

SETUP = """
%load_ext warmcell
import threading
from collections.abc import Callable, Iterator
from warmcell import get_step_context, pipeline, report_progress, step
from warmcell.client import Client

gate = threading.Event()

@step
def half(n: float) -> float:
    print("halving", n)
    return n / 2

@pipeline
def halving(n: float = 8):
    return half(n)

@step
def words(text: str) -> Iterator[str]:
    for word in text.split():
        if word == "stop":
            raise ValueError("no more")
        yield word

@pipeline
def speaking(text: str):
    return words(text)

@step
def wait(seconds: float) -> str:
    report_progress(1, 2, "half way")
    while not gate.wait(0.01):
        if get_step_context().cancelled:
            return "cancelled"
    return "open"

@pipeline
def waiting(seconds: float = 60):
    return wait(seconds)

@step
def trace() -> str:
    return get_step_context().traceparent

@pipeline
def traced():
    return trace()

@step
def ask() -> list:
    inner = Client().get_deployment("traced").invoke()["output"]
    return [get_step_context().traceparent, inner]

@pipeline
def asking():
    return ask()

for made in (halving, speaking, traced, asking):
    made.deploy()
waiting.deploy(concurrency=2, max_queue=2)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of its own, and no trace of a Jupyter server around."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WARMCELL_CONNECTION", "JPY_PARENT_PID"):
            patch.delenv(name, raising=False)
        for name in ("WARMCELL_URL", "WARMCELL_TOKEN", "WARMCELL_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("WARMCELL_HOME", str(folder))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        yield folder


@pytest.fixture(scope="module")
def cell(home: Path) -> Iterator[Notebook]:
    """A notebook that serves pipelines from an embedded host."""
    with notebook() as made:
        made(SETUP)
        yield made
        made("gate.set()")
        made("%unload_ext warmcell")
        link.kernel().close()


@pytest.fixture(scope="module")
def address(cell: Notebook, home: Path) -> tuple[str, str]:
    """URL and token of the host."""
    memory = json.loads((home / "embedded.json").read_text())
    return f"http://127.0.0.1:{memory['port']}/", memory["token"]


@pytest.fixture(params=["link", "http"])
def client(request: pytest.FixtureRequest, cell: Notebook, address: tuple[str, str]) -> Client:
    cell("gate.clear()")
    return Client() if request.param == "link" else Client(*address)


def kinds(events: list[RunEvent]) -> list[str]:
    return [event.kind for event in events]


async def until(fact: Callable[[], bool]) -> None:
    """Wait for a change that nothing announces."""
    async with asyncio.timeout(30):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class TestAsync:
    def test_many_calls_at_once(self, client: Client) -> None:
        """ainvoke answers on an event loop, many at a time, with the same errors."""

        async def work() -> list[Any]:
            deployment = client.get_deployment("halving")
            calls = (deployment.ainvoke(n=n) for n in range(20))
            found = await asyncio.gather(*calls)
            with pytest.raises(ParameterError):
                await deployment.ainvoke(n="many")
            with pytest.raises(NotFound):
                await client.ainvoke("nobody", n=1)
            return found

        assert asyncio.run(work()) == [{"output": n / 2} for n in range(20)]

    def test_a_run_is_submitted_and_awaited(self, client: Client) -> None:
        """A submitted run is awaited on the loop, and so is its end."""

        async def work() -> Any:
            handle = await client.get_deployment("halving").asubmit(n=3)
            return await handle, (await handle.await_end()).status

        assert asyncio.run(work()) == ({"output": 1.5}, "succeeded")

    def test_a_stream_is_read_on_the_loop(self, client: Client) -> None:
        """astream yields what happens, until the end."""

        async def work() -> list[RunEvent]:
            stream = client.get_deployment("speaking").astream(text="to be or")
            found = [event async for event in stream]
            assert stream.outputs == {"output": ["to", "be", "or"]}
            return found

        found = asyncio.run(work())
        assert [e.data["value"] for e in found if e.kind == "output"] == ["to", "be", "or"]
        assert kinds(found)[-1] == "done"

    def test_who_gives_up_lets_go(self, cell: Notebook, client: Client) -> None:
        """A stream that is closed early ends neither its loop nor its run."""

        async def work() -> str:
            async with client.get_deployment("waiting").astream() as stream:
                async for event in stream:
                    if event.kind == "progress":
                        break
            assert stream.run_id is not None
            handle = client.get_deployment("waiting").run(stream.run_id)
            assert handle.status == "running"
            cell["gate"].set()
            return (await handle.await_end()).status

        assert asyncio.run(work()) == "succeeded"

    def test_a_call_that_is_given_up_leaves_the_queue(
        self, cell: Notebook, address: tuple[str, str]
    ) -> None:
        """A cancelled call closes its connection, and its run is not begun."""
        cell("gate.clear()")
        deployment = Client(*address).get_deployment("waiting")

        async def work() -> int:
            running = [await deployment.asubmit() for _ in range(2)]
            call = asyncio.ensure_future(deployment.ainvoke())
            await until(lambda: deployment.refresh().to_json()["queued"] == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: deployment.refresh().to_json()["queued"] == 0)
            cell["gate"].set()
            for handle in running:
                await handle
            return len(Client(*address).list_runs(deployment="waiting", status="queued"))

        assert asyncio.run(work()) == 0


class TestHandles:
    def test_a_run_is_followed_to_its_end(self, cell: Notebook, client: Client) -> None:
        """A handle knows the state, waits with a limit, and has the outputs in the end."""
        handle = client.get_deployment("waiting").submit()
        assert handle.status in ("queued", "running")
        with pytest.raises(TimeoutError, match=handle.run_id):
            handle.wait(timeout=0)
        assert not handle.done
        cell["gate"].set()
        assert handle.result(timeout=30) == {"output": "open"}
        assert handle.done
        assert [step.name for step in handle.run.steps] == ["wait"]
        assert handle.url.endswith(f"/waiting/runs/{handle.run_id}")
        with pytest.raises(Conflict):
            handle.cancel()

    def test_a_run_is_cancelled(self, client: Client) -> None:
        """A cancelled run raises so from result()."""
        handle = client.get_deployment("waiting").submit()
        handle.cancel()
        with pytest.raises(RunCancelled) as caught:
            handle.result(timeout=30)
        assert caught.value.run_id == handle.run_id
        assert handle.wait().status == "cancelled"

    def test_failures_raise_what_a_call_would(self, client: Client) -> None:
        """A failed run and a misfit raise the errors of a call, but for wait()."""
        deployment = client.get_deployment("speaking")
        failed = deployment.submit(text="one stop")
        assert failed.wait(30).status == "failed"
        with pytest.raises(RunError, match="Step 'words' raised ValueError: no more") as caught:
            failed.result()
        with pytest.raises(RunError) as direct:
            deployment.invoke(text="one stop")
        assert caught.value.message == direct.value.message
        with pytest.raises(ParameterError):
            deployment.submit(text=3).result(30)

    def test_events_of_a_run_that_ended(self, client: Client) -> None:
        """The events are there afterwards too, from the one on that is asked for."""
        handle = client.get_deployment("speaking").submit(text="to be")
        handle.wait(30)
        found = list(handle.events())
        assert kinds(found)[-1] == "done"
        identifiers = [event.id for event in found]
        assert identifiers == sorted(set(identifiers))
        rest = list(handle.events(after=found[-2].id))
        assert kinds(rest) == ["done"]
        assert list(handle.events(after=found[-1].id)) == []


class TestStreams:
    def test_events_come_as_they_happen(self, cell: Notebook, client: Client) -> None:
        """Progress is there while the step goes on."""
        with client.get_deployment("waiting").stream() as stream:
            first = next(stream)
            assert first.kind == "run"
            assert first.data["run_id"] == stream.run_id
            for event in stream:
                if event.kind == "progress":
                    assert event.data["message"] == "half way"
                    cell["gate"].set()
            assert stream.outputs == {"output": "open"}

    def test_a_failing_run_raises(self, client: Client) -> None:
        """What was yielded before the failure comes, then its error."""
        said: list[RunEvent] = []
        with pytest.raises(RunError, match="no more") as caught:
            said.extend(client.get_deployment("speaking").stream(text="one stop"))
        assert [event.data["value"] for event in said if event.kind == "output"] == ["one"]
        assert caught.value.step == "words"

    def test_misfits_raise_at_once(self, client: Client) -> None:
        """Wrong parameters and names raise with the first event."""
        with pytest.raises(ParameterError):
            next(client.get_deployment("speaking").stream(text=1))
        with pytest.raises(NotFound):
            next(client.get_deployment("halving").run("nope").events())

    def test_a_broken_connection_is_made_again(
        self, cell: Notebook, address: tuple[str, str]
    ) -> None:
        """A proxy that dies in the middle costs no event."""
        cell("gate.clear()")
        with Cutting(address[0]) as proxy:
            deployment = Client(proxy.url, address[1]).get_deployment("waiting")
            seen = []
            for event in deployment.stream():
                seen.append(event)
                if event.kind == "progress" and proxy.cut():
                    cell["gate"].set()
            assert proxy.cuts == 1
        assert kinds(seen)[-1] == "done"
        identifiers = [event.id for event in seen]
        assert identifiers == sorted(set(identifiers))


class TestOptions:
    def test_one_key_makes_one_run(self, client: Client) -> None:
        """Calls of one idempotency key are one run; with other parameters it is refused."""
        name = f"once-{id(client)}"
        once = client.get_deployment("halving").with_options(idempotency_key=name, run_name=name)
        assert once.invoke(n=5) == once.invoke(n=5) == {"output": 2.5}
        assert len([run for run in client.list_runs(deployment="halving") if run.name == name]) == 1
        with pytest.raises(UsageError):
            once.invoke(n=6)

    def test_a_deadline_of_its_own(self, client: Client) -> None:
        """A timeout ends the run and says so."""
        with pytest.raises(RunTimedOut):
            client.get_deployment("waiting").with_options(timeout=0.2).invoke()

    def test_unknown_options_are_named(self, client: Client) -> None:
        """A misspelt option names the right one; parameters of such names are parameters."""
        deployment = client.get_deployment("halving")
        with pytest.raises(UsageError, match="Did you mean `timeout`"):
            deployment.with_options(timeoutt=3)
        with pytest.raises(ParameterError):
            deployment.invoke(n=1, timeout=3)

    def test_the_trace_goes_on(self, client: Client) -> None:
        """A call made within a step belongs to the trace of its run; one given is passed on."""
        outer, inner = client.invoke("asking")["output"]
        assert outer.split("-")[1] == inner.split("-")[1]
        given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        deployment = client.get_deployment("traced").with_options(traceparent=given)
        assert deployment.invoke()["output"].split("-")[1] == given.split("-")[1]

    def test_one_call_per_instance(self, client: Client) -> None:
        """A batch gives the outputs of each instance, or its error."""
        first, second, third = client.get_deployment("halving").batch(
            [{"n": 2}, {"n": "many"}, {"n": 6}]
        )
        assert (first, third) == ({"output": 1.0}, {"output": 3.0})
        assert isinstance(second, ParameterError)

    def test_zenmls_names(self, cell: Notebook) -> None:
        """invoke_deployment answers everything, submitted too."""
        answer = invoke_deployment("halving", timeout=20, n=4)
        assert answer["outputs"] == {"output": 2.0}
        submitted = invoke_deployment("halving", submit=True, n=4)
        assert Client().get_pipeline_run(submitted["run_id"]).pipeline == "halving"


class TestKeys:
    def test_a_url_and_a_key_are_enough(self, client: Client, address: tuple[str, str]) -> None:
        """Who has the URL of a deployment and a key calls it, and nothing else."""
        owner = client.get_deployment("halving")
        name = f"caller-{client._transport.web}"
        key = owner.create_key(name, expires_in=60)
        found = next(known for known in list(owner.keys()) if known["name"] == name)
        assert key not in json.dumps(found)
        caller = Client(f"{address[0]}warmcell/halving/invoke", key=key)
        deployment = caller.get_deployment()
        assert isinstance(deployment, Deployment)
        assert deployment.invoke(n=3) == {"output": 1.5}
        handle = deployment.submit(n=5)
        assert handle.result(30) == {"output": 2.5}
        assert kinds(list(deployment.stream(n=1)))[-1] == "done"
        assert caller.get_run(handle.run_id).status == "succeeded"
        with pytest.raises((Forbidden, Unauthenticated)):
            caller.list_deployments()
        with pytest.raises((Forbidden, Unauthenticated)):
            caller.get_deployment("speaking").invoke(text="x")
        owner.revoke_key(name)
        with pytest.raises(Unauthenticated):
            deployment.invoke(n=3)

    def test_a_reader_sees_the_deployment(self, client: Client, address: tuple[str, str]) -> None:
        """With the scope "read" a key shows the deployment and its runs."""
        owner = client.get_deployment("halving")
        name = f"reader-{client._transport.web}"
        caller = Client(address[0], key=owner.create_key(name, ["invoke", "read"]))
        assert caller.get_deployment("halving").pipeline == "halving"
        assert {run.deployment for run in caller.list_runs(deployment="halving")} == {"halving"}
        owner.revoke_key(name)

    def test_a_key_alone_is_not_enough(self, home: Path) -> None:
        """A key without an address says what is missing."""
        with pytest.raises(UsageError, match="url"):
            Client(key="wck_abc")

    def test_webhook_secrets(self, client: Client) -> None:
        """The owner sees the secret that signs callbacks, and can change it."""
        deployment = client.get_deployment("halving")
        secret = deployment.webhook_secret()
        assert secret.startswith("whsec_")
        assert deployment.rotate_webhook_secret() != secret


class TestConnections:
    def test_a_connection_that_the_server_closed(self, address: tuple[str, str]) -> None:
        """A connection that ended while it was kept is not used."""
        with Cutting(address[0]) as proxy:
            client = Client(proxy.url, address[1])
            client.list_deployments()
            proxy.cut()
            assert client.list_deployments()

    def test_a_refusal_keeps_the_connection(self, address: tuple[str, str]) -> None:
        """A request that is refused does not cost the next one its connection."""
        connection = http.client.HTTPConnection(address[0].split("/")[2], timeout=30)
        for _ in range(3):
            connection.request("GET", "/warmcell/api/v1/deployments")
            response = connection.getresponse()
            assert (response.status, response.will_close) == (401, False)
            response.read()
        connection.close()

    def test_nobody_there(self) -> None:
        """On an event loop too, a server that is not there is named."""
        deployment = Deployment({"name": "x", "url": ""}, Client("http://127.0.0.1:9/")._transport)
        with pytest.raises(LinkError, match=r"No answer from http://127\.0\.0\.1:9/warmcell/"):
            asyncio.run(deployment.ainvoke())
