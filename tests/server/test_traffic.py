"""Safe release on a real server: newcomers beside what is served, watched, promoted, aborted."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.server.test_metrics import samples
from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = """
%load_ext warmcell
import os, pathlib, time
from warmcell import pipeline, step
version = 1

@step
def tag(customer: str, mood: str) -> dict:
    if mood == "bad" and version == 2:
        raise ValueError("version 2 knows no bad mood")
    if mood == "deadly" and version == 2:
        os._exit(1)
    if mood.startswith("/"):
        pathlib.Path(mood + ".entered").touch()
        while not pathlib.Path(mood).exists():
            time.sleep(0.005)
        raise ValueError("at last")
    return {"version": version, "customer": customer}

@pipeline
def shop(customer: str, mood: str = "good") -> dict:
    return tag(customer, mood)

def deploy(name, **settings):
    global version
    version = 1
    one = shop.deploy(name, **settings).snapshot
    version = 2
    get_ipython().run_line_magic("deploy", f"shop {name} --traffic 0")
    two = shop.snapshots()[0]["number"]
    version = 1
    return one, two
"""
CUSTOMERS = [f"customer-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def author(jupyter_server: JupyterServer) -> Iterator[Kernel]:
    """A notebook that deploys two versions of `shop`."""
    kernel = jupyter_server.kernel("releases.ipynb")
    kernel.run(CELLS)
    yield kernel
    kernel.run("for one in __import__('warmcell').Client().list_deployments(): one.undeploy()")
    kernel.close()


@pytest.fixture
def shop(jupyter_server: JupyterServer, author: Kernel, request: pytest.FixtureRequest) -> Shop:
    """Version 1, served, and version 2, deployed beside it without any traffic."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:60]
    one, two = author.value(f"deploy({name!r})")
    return Shop(jupyter_server, name, one, two)


class Shop:
    """A deployment of `shop`: its snapshots ``one`` and ``two``, and calls of it."""

    def __init__(self, server: JupyterServer, name: str, one: int, two: int) -> None:
        self.server, self.name, self.one, self.two = server, name, one, two
        self.version_of = {one: 1, two: 2}

    def call(self, customer: str, mood: str = "good") -> int:
        """The snapshot that answered; its version answered too."""
        answer = self.server.invoke(self.name, {"customer": customer, "mood": mood})
        assert answer.status == 200, answer.text
        body = answer.json()
        snapshot = int(body["metadata"]["snapshot"])
        assert body["outputs"]["output"]["version"] == self.version_of[snapshot]
        return snapshot

    def where(self) -> dict[str, int]:
        """Which snapshot answers each customer."""
        return {customer: self.call(customer) for customer in CUSTOMERS}

    def ask(self, action: str, body: Any) -> Any:
        answer = self.server.post(f"warmcell/api/v1/deployments/{self.name}/{action}", body)
        assert answer.status == 200, answer.text
        return answer.json()

    def refused(self, action: str, body: Any) -> tuple[int, str]:
        answer = self.server.post(f"warmcell/api/v1/deployments/{self.name}/{action}", body)
        found = answer.json()
        return answer.status, f"{found['detail']} {found.get('hint', '')}"

    def split(self, share: float, **more: Any) -> Any:
        weights = {str(self.one): 1 - share, str(self.two): share}
        return self.ask("split", {"weights": weights, **more})

    @property
    def traffic(self) -> Any:
        path = f"warmcell/api/v1/deployments/{self.name}"
        return self.server.get(path).json()["traffic"]

    def events(self) -> list[dict[str, Any]]:
        path = f"warmcell/api/v1/deployments/{self.name}/history"
        found: list[dict[str, Any]] = self.server.get(path).json()["history"]
        return found

    def runs(self, **query: str) -> list[dict[str, Any]]:
        words = "&".join(f"{name}={value}" for name, value in query.items())
        path = f"warmcell/api/v1/runs?deployment={self.name}&{words}"
        found: list[dict[str, Any]] = self.server.get(path).json()["runs"]
        return found


def test_customers_stay_with_their_snapshot(shop: Shop) -> None:
    """A newcomer deployed with traffic=0 answers nothing; with a share it answers the same
    customers each time, and keeps them as its share grows, until it has all."""
    assert set(shop.where().values()) == {shop.one}
    before: set[str] = set()
    for share in (0.3, 0.7, 1.0):
        shop.split(share, by="customer")
        where = shop.where()
        assert shop.where() == where
        mine = {customer for customer, snapshot in where.items() if snapshot == shop.two}
        assert before < mine
        before = mine
    assert len(before) == len(CUSTOMERS)
    assert shop.split(0.0)["snapshot"] == shop.one
    assert set(shop.where().values()) == {shop.one}


def test_what_was_removed_stays_removed(shop: Shop, tmp_path: Path) -> None:
    """Also where a call that ends afterwards breaks a bound of its split."""
    shop.split(1.0, abort_if={"error_rate": 0.1, "min_runs": 1})
    gate = tmp_path / "gate"
    body = {"customer": "c", "mood": str(gate)}
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(shop.server.invoke, shop.name, body)
        wait_until(Path(f"{gate}.entered").exists)
        assert shop.server.delete(f"warmcell/api/v1/deployments/{shop.name}").status == 200
        gate.touch()
        assert call.result().status == 500
    query = f"SELECT state FROM deployments WHERE name = '{shop.name}'"
    answer = shop.server.post("warmcell/api/v1/sql", {"query": query})
    assert answer.json()["rows"] == [["removed"]], answer.text


def test_promotion_and_abort_drop_no_call(shop: Shop) -> None:
    """While calls go on, a newcomer gets a share, is aborted, gets one again and is promoted: each
    call is answered by one of both, and from the moment of the answer by the right one."""
    seen: Counter[int] = Counter()
    stop = threading.Event()
    errors: list[BaseException] = []

    def calling() -> None:
        try:
            while not stop.is_set():
                for customer in CUSTOMERS:
                    seen[shop.call(customer)] += 1
        except BaseException as error:
            errors.append(error)

    callers = [threading.Thread(target=calling) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(3):
            shop.split(0.5, by="customer")
            shop.where()
            shop.ask("abort", {})
            assert set(shop.where().values()) == {shop.one}
        shop.split(0.5, by="customer")
        shop.where()
        promoted = shop.ask("promote", {})
        assert (promoted["snapshot"], promoted["traffic"]) == (shop.two, None)
        assert set(shop.where().values()) == {shop.two}
    finally:
        stop.set()
        for caller in callers:
            caller.join(60)
    assert errors == []
    assert min(seen[shop.one], seen[shop.two]) > 0
    events = [event["event"] for event in shop.events()]
    assert events[:3] == ["release.promoted", "release.split", "release.aborted"]


def test_a_newcomer_that_fails_is_taken_out(shop: Shop) -> None:
    """Beyond the bound everything goes back at once; the audit and the description say why, until
    the next change. Parameters that do not fit are no error of the newcomer."""
    shop.split(0.5, by="customer", abort_if={"error_rate": 0.25, "min_runs": 8})
    mine = [customer for customer, snapshot in shop.where().items() if snapshot == shop.two]
    assert len(mine) >= 8
    for _ in range(30):
        assert shop.server.invoke(shop.name, {"customer": mine[0], "mood": 5}).status == 422
    assert not shop.traffic["aborted"]
    statuses = []
    for _ in range(2 * len(mine)):
        answer = shop.server.invoke(shop.name, {"customer": mine[0], "mood": "bad"})
        statuses.append(answer.status)
        if answer.status == 200:
            break
        assert answer.json()["title"]
    assert statuses[-1] == 200
    failures = statuses.count(500)
    assert len(statuses) == failures + 1
    assert failures / (len(mine) + failures) > 0.25
    assert (failures - 1) / (len(mine) + failures - 1) <= 0.25
    aborted = shop.traffic["aborted"]
    assert aborted["snapshot"] == shop.two
    assert f"Snapshot {shop.two} failed {failures} of its newest" in aborted["cause"]
    assert set(shop.where().values()) == {shop.one}
    event = shop.events()[0]
    assert (event["event"], event["detail"]["cause"]) == ("release.aborted", aborted["cause"])
    status, said = shop.refused("promote", {"snapshot": shop.two})
    assert status == 409
    assert aborted["cause"] in said
    shop.split(0.5, by="customer", abort_if={"error_rate": 0.25, "min_runs": 8})
    assert not shop.traffic["aborted"]
    assert shop.call(mine[0]) == shop.two


def test_a_shadow_answers_nobody(shop: Shop) -> None:
    """Each call is executed on the shadow too, as a run of its own with its origin; the answers are
    compared and counted, those that failed too."""
    shop.ask("shadow", {"snapshot": shop.two})
    real = {}
    for number, mood in enumerate(["good", "good", "bad"], 1):
        answer = shop.server.invoke(shop.name, {"customer": "ada", "mood": mood}).json()
        assert answer["outputs"]["output"]["version"] == 1
        real[answer["metadata"]["run_id"]] = mood
        wait_until(lambda number=number: shop.traffic["shadows"][0]["runs"] == number)  # type: ignore[misc]
    (counts,) = shop.traffic["shadows"]
    assert counts == {
        "snapshot": shop.two,
        "fraction": 1.0,
        "runs": 3,
        "same": 0,
        "different": 2,
        "failed": 1,
        "dropped": 0,
    }
    wait_until(lambda: len(shop.runs(trigger="shadow")) == 3)
    shadows = shop.runs(trigger="shadow")
    assert {run["snapshot"] for run in shadows} == {shop.two}
    assert {run["status"] for run in shadows} == {"succeeded", "failed"}
    whole = shop.server.get(f"warmcell/api/v1/runs/{shadows[0]['run_id']}").json()
    assert whole["origin"] in real
    found = samples(shop.server.get(f"warmcell/{shop.name}/metrics").text, shop.name)
    assert found["runs_total", "succeeded"] == 3
    assert found["shadow_runs_total", f"different,{shop.two}"] == 2
    assert found["shadow_runs_total", f"failed,{shop.two}"] == 1
    shop.ask("shadow", {"snapshot": shop.two, "fraction": 0})
    assert shop.traffic["shadows"] == []
    assert shop.ask("abort", {})["traffic"] is None  # 2 was warm beside it


def test_metrics_by_snapshot_end_with_the_split(shop: Shop) -> None:
    """While calls are shared, runs and shares are counted by snapshot; afterwards no longer."""
    shop.split(0.5, by="customer")
    where = Counter(shop.where().values())
    found = samples(shop.server.get(f"warmcell/{shop.name}/metrics").text, shop.name)
    for snapshot in (shop.one, shop.two):
        assert found["snapshot_runs_total", f"{snapshot},succeeded"] == where[snapshot]
        assert found["snapshot_weight", str(snapshot)] == 0.5
    shop.ask("abort", {})
    found = samples(shop.server.get(f"warmcell/{shop.name}/metrics").text, shop.name)
    assert not [name for name, _ in found if name.startswith("snapshot_")]


def test_other_changes_end_a_split(shop: Shop, author: Kernel) -> None:
    """A rollback serves one snapshot again, and so does a deploy."""
    shop.split(0.5)
    rolled = shop.ask("rollback", {"to": shop.two})
    assert (rolled["snapshot"], rolled["traffic"]) == (shop.two, None)
    assert set(shop.where().values()) == {shop.two}
    shop.split(0.5)
    author.run(f"version = 1; shop.deploy({shop.name!r})")
    assert not shop.traffic
    assert set(shop.where().values()) == {shop.one}


def test_what_cannot_be_shared_is_refused(shop: Shop, author: Kernel) -> None:
    """With the status that says whose fault it is, and nothing changes."""
    two, one = str(shop.two), str(shop.one)
    for body, status, said in (
        ({"weights": {one: 90, two: 10}}, 422, "Shares are no percentages: write 0.9 for 90 %."),
        ({"weights": {one: 0.9, two: 0.2}}, 422, "The weights sum to 1.1, not to 1."),
        ({"weights": {one: 0.9, "4711": 0.1}}, 404, "4711"),
        ({"weights": {two: 1.0}, "by": "client.id"}, 422, "It has customer, mood."),
        ({"weights": {two: 1.0}, "abort_if": {"errors": 1}}, 422, "abort_if has no 'errors'."),
        ({"shares": {two: 1.0}}, 422, "shares"),
    ):
        found = shop.refused("split", body)
        assert found[0] == status, found
        assert said in found[1]
    assert shop.refused("shadow", {"snapshot": 4711})[0] == 404
    assert shop.refused("shadow", {"snapshot": shop.one})[0] == 409
    assert shop.refused("promote", {"snapshot": shop.one})[0] == 409
    assert shop.split(0.0)["traffic"]["snapshots"][0]["weight"] == 1.0
    shop.ask("abort", {})
    for action in ("abort", "promote"):
        status, said = shop.refused(action, {})
        assert status == 409
        assert "there is no newcomer" in said
    first = author.run("shop.deploy('first-of-all', traffic=0.1)", check=False)
    assert first.ename == "Conflict"
    assert "Deploy it once without `traffic`." in first.evalue
    same = author.run(f"version = 1; shop.deploy({shop.name!r}, traffic=0.1)", check=False)
    assert same.ename == "UsageError"
    assert f"is snapshot {shop.one}, which {shop.name!r} serves already" in same.evalue
    for call, said in (
        (f"split([{one}, {two}])", "Write weights={3: 0.9, 4: 0.1}."),
        (f"split({{{one}: 1.0}}, abort_if=0.1)", 'Write abort_if={"error_rate"'),
    ):
        client = f"__import__('warmcell').Client().get_deployment({shop.name!r})"
        failed = author.run(f"{client}.{call}", check=False)
        assert (failed.ename, said in failed.evalue) == ("UsageError", True), failed.evalue
    assert set(shop.where().values()) == {shop.one}


def test_in_python_and_on_the_command_line(shop: Shop, author: Kernel) -> None:
    """The same in a notebook, with what it shows, and in a terminal."""
    author.run(f"served = __import__('warmcell').Client().get_deployment({shop.name!r})")
    weights = f"{{{shop.one}: 0.75, {shop.two}: 0.25}}"
    bounds = "{'error_rate': 0.5, 'min_runs': 100}"
    author.run(f"served.split({weights}, by='customer', abort_if={bounds})")
    where = Counter(shop.where().values())
    shown = author.run("served.traffic").text
    assert "callers stay with their snapshot by customer" in shown
    assert "Aborts on more than 50.0% errors, after 100 calls." in shown
    assert f"{shop.one}         75.0%  {where[shop.one]}" in shown
    assert author.value("[bool(served.traffic), served.traffic.weights[served.snapshot]]") == [
        True,
        0.75,
    ]
    words = ["deployment", "split", shop.name, f"{shop.one}=0.4", f"{shop.two}=0.6"]
    said = json.loads(terminal(shop.server, *words, "--max-p95", "30", "--json"))
    assert said["weights"] == {str(shop.one): 0.4, str(shop.two): 0.6}
    assert said["abort_if"]["p95"] == 30.0
    assert f"{shop.two}         60.0%" in terminal(shop.server, "deployment", "traffic", shop.name)
    terminal(shop.server, "deployment", "abort", shop.name)
    terminal(shop.server, "deployment", "shadow", shop.name, str(shop.two), "--fraction", "0.5")
    assert author.value("[one['fraction'] for one in served.traffic.shadows]") == [0.5]
    author.run("served.promote()")
    told = terminal(shop.server, "deployment", "history", shop.name)
    for what in ("promoted", "shadowed", "aborted", "split", "deployed"):
        assert f"  {what} " in told, told
    assert author.value("[served.snapshot, bool(served.traffic)]") == [shop.two, False]
    assert author.run("served.promote()", check=False).ename == "Conflict"


def terminal(server: JupyterServer, *words: str) -> str:
    """What a command prints that knows the server's folder only."""
    ended = subprocess.run(
        [sys.executable, "-m", "warmcell", *words],
        cwd=server.root,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_split_survives_a_restart(start_server: Callable[..., JupyterServer]) -> None:
    """After ``kill -9`` of server and kernel, both snapshots answer the customers that they had,
    restored in kernels of their own; a newcomer that nothing holds is restored for a new split. One
    that dies is taken out, and its customers are answered all the same."""
    server = start_server()
    kernel = server.kernel("releases.ipynb")
    kernel.run(CELLS)
    one, two = kernel.value("deploy('kept', idempotent=True)")
    kernel.run("deploy('cold')")
    shop, cold = Shop(server, "kept", one, two), Shop(server, "cold", one, two)
    shop.split(0.5, by="customer", abort_if={"error_rate": 0.0, "min_runs": 1})
    cold.ask("abort", {})
    where = shop.where()
    mine = next(customer for customer in CUSTOMERS if where[customer] == two)
    snapshots = "warmcell/api/v1/snapshots?pipeline=shop&brief=true"
    wait_until(
        lambda: {one["stored"] for one in server.get(snapshots).json()["snapshots"]} == {"stored"}
    )
    server.kill()
    server.start()
    assert shop.call(next(c for c in CUSTOMERS if where[c] == one)) == one
    path = "warmcell/api/v1/deployments/"
    wait_until(lambda: server.get(path + "kept").json()["warm"] == [one, two])
    assert shop.where() == where
    assert shop.traffic["abort_if"] == {"error_rate": 0.0, "p95": None, "min_runs": 1}
    assert cold.call(mine) == one
    assert server.get(path + "cold").json()["warm"] == [one]
    cold.split(1.0)
    assert cold.call(mine) == two
    assert shop.call(mine, "deadly") == one
    assert f"Snapshot {two} failed 1 of its newest" in shop.traffic["aborted"]["cause"]
    assert set(shop.where().values()) == {one}
