"""callback_url on a real server: refused or told at every end, also after it was killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.server.conftest import Served
from tests.support import gates
from tests.support.gates import Gate, ended, status, submit, wait_until
from tests.support.jupyter import JupyterServer
from tests.support.receiver import Posted, Receiver, receiver
from warmcell.errors import UsageError
from warmcell_server.embedded import CALLBACK_VARIABLE, EmbeddedHost

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CELL = """
@step
def broken(x: int) -> int:
    raise ValueError("no")

@pipeline
def failing(x: int = 1) -> int:
    return broken(x)

held.deploy("held")
held.deploy("single", concurrency=1)
held.deploy("unrecorded", record="none")
polite.deploy("polite")
held.deploy("open", auth="public")
failing.deploy("failing")
"""
ALLOWED = {"Warmcell": {"callback_allow": ["127.0.0.1"]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server that may post to this machine."""
    folder = tmp_path_factory.mktemp("callbacks")
    made = JupyterServer(folder / "root", folder, config=ALLOWED)
    try:
        deploy(made.start())
        yield made
    finally:
        made.stop()
        print(made.tail())


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.fixture
def target() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def deploy(server: JupyterServer) -> None:
    kernel = server.kernel("callbacks.ipynb")
    kernel.run(gates.CELLS)
    kernel.run(CELL)


def secret(server: JupyterServer, name: str) -> str:
    answer = server.get(f"warmcell/api/v1/deployments/{name}/webhook")
    assert answer.status == 200, answer.text
    return str(answer.json()["secret"])


def delivered(server: JupyterServer, name: str, run_id: str) -> dict[str, Any]:
    """Wait until the receiver's answer is in the history, and return the delivery."""
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(status(server, name, run_id)["deliveries"][0])
        return found["status"] != "pending"

    wait_until(over)
    return found


def told(posted: Posted) -> tuple[str, str]:
    body = posted.json()
    return body["type"], body["data"]["run_id"]


def test_a_run_tells_its_end(server: JupyterServer, target: Receiver, gate: Gate) -> None:
    """Signed with the secret that the control plane shows; the URL in it is the run's."""
    gate.open()
    answer = server.post(
        "warmcell/held/invoke",
        {"parameters": gate.parameters(value=7), "async": True, "callback_url": target.url},
        headers={"traceparent": TRACE},
    )
    run_id = answer.json()["run_id"]
    posted = target.next()
    body = Webhook(secret(server, "held")).verify(posted.body, posted.headers)
    assert told(posted) == ("run.succeeded", run_id)
    assert body["data"]["url"] == answer.json()["url"]
    assert posted.headers["traceparent"].split("-")[1] == TRACE.split("-")[1]
    delivery = delivered(server, "held", run_id)
    assert (delivery["status"], delivery["attempts"], delivery["response"]) == ("delivered", 1, 204)
    rows = server.post(
        "warmcell/api/v1/sql",
        {"query": f"SELECT status, url FROM deliveries WHERE run_id = '{run_id}'"},
    ).json()["rows"]
    assert rows == [["delivered", target.url]]


def test_every_way_to_end_is_told(server: JupyterServer, target: Receiver, gate: Gate) -> None:
    """Failed, not valid, cancelled in the queue and while it ran, timed out."""
    ends = {}
    ends[submit(server, "failing", {"x": 1}, callback_url=target.url)] = "run.failed"
    ends[submit(server, "failing", {"x": "one"}, callback_url=target.url)] = "run.failed"
    timeout = {"callback_url": target.url, "run_timeout": 0.2}
    ends[submit(server, "held", gate.parameters(), **timeout)] = "run.timed_out"

    runs = [submit(server, "single", gate.parameters(), callback_url=target.url) for _ in range(2)]
    assert server.delete(f"warmcell/single/runs/{runs[1]}").status == 202
    ends[runs[1]] = "run.cancelled"
    running = submit(server, "polite", gate.parameters(), callback_url=target.url)
    wait_until(lambda: status(server, "polite", running)["status"] == "running")
    assert server.delete(f"warmcell/polite/runs/{running}").status == 202
    ends[running] = "run.cancelled"
    heard = {told(target.next()) for _ in ends}
    gate.open()
    ends[runs[0]] = "run.succeeded"
    heard.add(told(target.next()))
    assert heard == {(kind, run_id) for run_id, kind in ends.items()}


def test_a_caller_that_waits_can_have_one_too(
    server: JupyterServer, target: Receiver, gate: Gate
) -> None:
    """Also where nothing is recorded otherwise: the URL in it must lead somewhere."""
    gate.open()
    body = {"parameters": gate.parameters(), "callback_url": target.url}
    answer = server.post("warmcell/unrecorded/invoke", body)
    run_id = answer.json()["metadata"]["run_id"]
    assert told(target.next()) == ("run.succeeded", run_id)
    assert status(server, "unrecorded", run_id)["status"] == "succeeded"
    assert delivered(server, "unrecorded", run_id)["status"] == "delivered"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://10.0.0.1/", "not public"),
        ("http://localhost:9/", "not public"),
        ("http://169.254.169.254/latest", "not public"),
        ("ftp://a.example/", "no http or https URL"),
        ("https://ada:pw@a.example/", "user name"),
        ("", "characters"),
    ],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_url_that_cannot_be_called_is_refused(
    server: JupyterServer, gate: Gate, url: str, told: str, asynchronous: bool
) -> None:
    """Before anything runs, with its place in the request."""
    gate.open()
    body = {"parameters": gate.parameters(), "callback_url": url, "async": asynchronous}
    answer = server.post("warmcell/held/invoke", body)
    assert answer.status == 422, answer.text
    problem = answer.json()
    assert told in problem["detail"]
    assert [error["pointer"] for error in problem["errors"]] == ["/callback_url"]
    assert problem["hint"]
    assert not gate.path.with_name("gate.entered").exists()


def test_a_rotated_secret(server: JupyterServer, target: Receiver, gate: Gate) -> None:
    """Both sign for a while; the audit says who changed it; no other deployment is touched."""
    gate.open()
    other, old = secret(server, "polite"), secret(server, "single")
    answer = server.post("warmcell/api/v1/deployments/single/webhook/rotate")
    assert answer.status == 200, answer.text
    new = answer.json()["secret"]
    assert new != old
    assert new == secret(server, "single")
    assert answer.json()["previous_until"] is not None
    assert secret(server, "polite") == other
    submit(server, "single", gate.parameters(), callback_url=target.url)
    posted = target.next()
    for one in (old, new):
        Webhook(one).verify(posted.body, posted.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(posted.body, posted.headers)
    query = "SELECT event, subject, \"user\" IS NOT NULL FROM audit WHERE event LIKE 'webhook.%'"
    rows = server.post("warmcell/api/v1/sql", {"query": query}).json()["rows"]
    assert rows == [["webhook.rotated", "single", True]]


def test_secrets_are_in_no_database_and_for_nobody_else(server: JupyterServer) -> None:
    whole = secret(server, "held")
    home = server.root / ".warmcell"
    path = home / "secrets.json"
    assert whole in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    for other in home.rglob("*"):
        if other.is_file() and other.suffix != ".duckdb" and other.name != "secrets.json":
            assert whole.encode() not in other.read_bytes(), other
    for method in ("GET", "POST"):
        path_of = "warmcell/api/v1/deployments/nothing/webhook"
        answer = server.request(method, path_of + ("/rotate" if method == "POST" else ""))
        assert answer.status == 404


def test_who_only_reads_does_not_see_the_secret(served: dict[str, Served]) -> None:
    """Nor does a path that is written otherwise get around that."""
    provider = served["provider"][0]
    path = "warmcell/api/v1/deployments/add/webhoo"
    for end, user, want in (
        ("k", "reader", 403), ("k", "caller", 403), ("k", "ada", 200), ("%6b", "reader", 403),
        ("k/rotate", "reader", 405), ("", "reader", 404),
    ):  # fmt: skip
        headers = {"X-Test-User": user}
        assert provider.get(path + end, headers=headers).status == want, (end, user)


def test_a_killed_server_tells_after_it_is_back(
    start_server: Callable[..., JupyterServer], gate: Gate
) -> None:
    """What was not delivered is delivered by the next one; a run that went down is told as lost."""
    with receiver((503, {"Retry-After": "1"}), (200, {})) as target:
        server = start_server(config=ALLOWED)
        deploy(server)
        waiting = submit(server, "failing", {}, callback_url=target.url)
        first = target.next()
        running = submit(server, "held", gate.parameters(), callback_url=target.url)
        wait_until(lambda: status(server, "held", running)["status"] == "running")
        signed = secret(server, "failing")
        server.kill()
        server.start()
        posted = [target.next() for _ in range(2)]
        assert {told(one) for one in posted} == {("run.failed", waiting), ("run.lost", running)}
        (again,) = [one for one in posted if told(one)[1] == waiting]
        assert again.body == first.body
        assert again.headers["webhook-id"] == first.headers["webhook-id"]
        Webhook(signed).verify(again.body, again.headers)
        assert delivered(server, "failing", waiting)["attempts"] == 2
        assert ended(server, "held", running)["status"] == "lost"


def test_a_wrong_list_is_said_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that serves itself takes the list from its environment."""
    monkeypatch.setenv(CALLBACK_VARIABLE, "10.1.0.0/99")
    with pytest.raises(UsageError, match=r"10\.1\.0\.0/99"):
        EmbeddedHost.start(tmp_path)
    monkeypatch.setenv(CALLBACK_VARIABLE, "127.0.0.1, hooks.internal")
    embedded = EmbeddedHost.start(tmp_path)
    try:
        for url in ("http://127.0.0.1:9/", "http://hooks.internal/"):
            embedded.host.webhooks.check(url)
    finally:
        embedded.close()


def test_strangers_may_not_have_the_server_post(
    server: JupyterServer, gate: Gate, target: Receiver
) -> None:
    """Anybody may call a public deployment, and nobody unknown may name a callback_url."""
    gate.open()
    body = {"parameters": gate.parameters(), "callback_url": target.url}
    refused = server.post("warmcell/open/invoke", body, authenticated=False)
    assert refused.status == 403, refused.text
    assert "key or a login" in refused.json()["detail"]
    assert server.invoke("open", gate.parameters(), authenticated=False).status == 200
    assert target.count == 0
