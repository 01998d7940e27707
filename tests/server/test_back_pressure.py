"""Back-pressure: queues that fill, pools that several deployments share, callers that leave."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.gates import Gate, ended, status, submit, wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def info(server: JupyterServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"warmcell/{name}/info").json()
    return found


def test_full_queue(gated: JupyterServer, gate: Gate) -> None:
    """One runs, two wait; everybody else hears 429 with a time, and nothing is lost."""
    runs = [submit(gated, "single", gate.parameters(value=number)) for number in range(3)]
    for path in ("invoke", "submit"):
        refused = gated.post(f"warmcell/single/{path}", {"parameters": gate.parameters()})
        assert refused.status == 429
        assert refused.json()["type"].endswith("queue-full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (info(gated, "single")["in_flight"], info(gated, "single")["queued"]) == (1, 2)
    gate.open()
    assert [ended(gated, "single", run)["outputs"]["output"] for run in runs] == [0, 1, 2]
    assert (info(gated, "single")["in_flight"], info(gated, "single")["queued"]) == (0, 0)


def test_a_shared_pool(gated: JupyterServer, gate: Gate) -> None:
    """Deployments of one pool together run as many calls as it is large, in order of arrival."""
    names = ["pool-a", "pool-b", "pool-a", "pool-b"]
    runs = [(name, submit(gated, name, gate.parameters(value=n))) for n, name in enumerate(names)]
    gate.entered()
    states = [status(gated, name, run)["status"] for name, run in runs]
    assert states == ["running", "queued", "queued", "queued"]
    gate.open()
    done = [ended(gated, name, run) for name, run in runs]
    assert [run["outputs"]["output"] for run in done] == [0, 1, 2, 3]
    starts = [run["started_at"] for run in done]
    assert starts == sorted(starts)
    for earlier, later in itertools.pairwise(done):
        assert later["started_at"] >= earlier["finished_at"]


def test_a_pool_that_a_deployment_leaves(
    gated: JupyterServer, gate: Gate, lonely: Callable[[str], Kernel]
) -> None:
    """What waited for its place runs, though no call of the pool ends any more."""
    kernel = lonely("leaves")
    kernel.run("held.deploy('leaves', pool='gpu1')\nheld.deploy('stays', pool='gpu1')")
    running = submit(gated, "leaves", gate.parameters())
    gate.entered()
    waiting = submit(gated, "stays", gate.parameters(value=7))
    assert status(gated, "stays", waiting)["status"] == "queued"
    kernel.run("held.deploy('leaves')")
    gate.open()
    assert ended(gated, "leaves", running)["status"] == "succeeded"
    assert ended(gated, "stays", waiting)["outputs"] == {"output": 7}


def test_instances_in_a_pool(
    gated: JupyterServer, gate: Gate, lonely: Callable[[str], Kernel]
) -> None:
    """All are admitted or none is, by the places of the pool and not by those of the deployment."""
    lonely("pooled").run("held.deploy('pooled', pool='gpu2', max_queue=2)")
    instances = [gate.parameters(value=n) for n in range(4)]
    assert gated.post("warmcell/pooled/invoke", {"instances": instances}).status == 422
    running = submit(gated, "pooled", gate.parameters())
    gate.entered()
    full = gated.post("warmcell/pooled/invoke", {"instances": instances[:3]})
    assert full.status == 429
    assert info(gated, "pooled")["queued"] == 0
    gate.open()
    ended(gated, "pooled", running)
    assert gated.post("warmcell/pooled/invoke", {"instances": instances[:3]}).status == 200


def hang_up(server: JupyterServer, name: str, parameters: Any) -> http.client.HTTPConnection:
    """Send a call and return the connection without reading the answer."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(
        "POST",
        f"{parts.path}warmcell/{name}/invoke",
        json.dumps({"parameters": parameters}),
        {"Authorization": f"token {server.token}", "Content-Type": "application/json"},
    )
    return connection


def test_callers_that_leave(gated: JupyterServer, gate: Gate) -> None:
    """A queued call whose caller left is dropped at once; one that runs goes on."""
    running = hang_up(gated, "single", gate.parameters(value=1))
    gate.entered()
    queued = hang_up(gated, "single", gate.parameters(value=2))
    wait_until(lambda: info(gated, "single")["queued"] == 1)
    queued.close()
    wait_until(lambda: info(gated, "single")["queued"] == 0)
    assert info(gated, "single")["in_flight"] == 1
    running.close()
    gate.open()
    wait_until(lambda: info(gated, "single")["in_flight"] == 0)
    newest = gated.get("warmcell/single/runs?limit=2").json()["runs"]
    assert {run["status"] for run in newest} == {"cancelled", "succeeded"}
    [left] = [run for run in newest if run["status"] == "cancelled"]
    assert "caller went away" in left["error"]["message"]


def test_cancel_on_disconnect(gated: JupyterServer, gate: Gate) -> None:
    """A deployment may want a run stopped whose caller left."""
    connection = hang_up(gated, "impatient", gate.parameters())
    gate.entered()
    connection.close()
    wait_until(lambda: info(gated, "impatient")["in_flight"] == 0)
    [run] = gated.get("warmcell/impatient/runs?limit=1").json()["runs"]
    assert run["status"] == "cancelled"


def test_every_call_is_answered_and_recorded(gated: JupyterServer, gate: Gate) -> None:
    """Many more calls than a deployment takes: each gets 200 or 429, and the history has as many
    runs as were acknowledged."""
    before = info(gated, "single")["total_runs"]
    gate.open()
    with ThreadPoolExecutor(24) as pool:
        answers = list(
            pool.map(lambda n: gated.invoke("single", gate.parameters(value=n)), range(120))
        )
    statuses = [answer.status for answer in answers]
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) == info(gated, "single")["total_runs"] - before
    ids = [answer.json()["metadata"]["run_id"] for answer in answers if answer.status == 200]
    found = gated.post(
        "warmcell/api/v1/sql",
        {"query": f"SELECT count(*) FROM runs WHERE run_id IN ({', '.join(map(repr, ids))})"},
    ).json()
    assert found["rows"] == [[len(ids)]]
