"""Idempotency keys, and several instances in one request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import Gate, ended, submit
from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.sse import EventStream


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def call(server: JupyterServer, key: str, parameters: Any, **envelope: Any) -> Response:
    body = {"parameters": parameters, **envelope}
    return server.post("warmcell/held/invoke", body, headers={"Idempotency-Key": key})


def test_the_same_request_makes_one_run(gated: JupyterServer, gate: Gate) -> None:
    """The second answer is the first one, and says that it is a replay."""
    gate.open()
    first = call(gated, "one", gate.parameters(value=5))
    again = call(gated, '"one"', gate.parameters(value=5))
    assert first.status == again.status == 200
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    other = call(gated, "two", gate.parameters(value=5))
    assert other.json()["metadata"]["run_id"] != first.json()["metadata"]["run_id"]


def test_another_request_with_the_same_key(gated: JupyterServer, gate: Gate) -> None:
    gate.open()
    call(gated, "reused", gate.parameters(value=1))
    refused = call(gated, "reused", gate.parameters(value=2))
    assert refused.status == 422
    assert "another request" in refused.json()["detail"]


def test_a_failure_is_replayed_too(gated: JupyterServer) -> None:
    first = call(gated, "wrong", {"gate": "x", "value": "much"})
    again = call(gated, "wrong", {"gate": "x", "value": "much"})
    assert first.status == again.status == 422
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["errors"] == first.json()["errors"]


def test_a_stream_that_is_asked_for_again(gated: JupyterServer, gate: Gate) -> None:
    """Whose connection broke gets the events of the run that there is, from where it wants."""

    def ask(value: int, **headers: str) -> EventStream:
        sent = {"Idempotency-Key": "streamed", **headers}
        return EventStream(
            gated, "warmcell/held/invoke", gate.parameters(value=value), headers=sent
        )

    first = ask(3)
    seen = first.until("step")
    first.close()
    again = ask(3, **{"Last-Event-ID": str(seen[-1].id)})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-run-id"] == first.headers["x-run-id"]
    gate.open()
    left = again.rest()
    assert left[0].id > seen[-1].id
    assert left[-1].data["outputs"] == {"output": 3}
    assert ask(3).rest()[-1] == left[-1]
    refused = ask(4)
    assert refused.status == 422
    assert "another request" in refused.text()


def test_while_it_runs(gated: JupyterServer, gate: Gate) -> None:
    """A synchronous repeat is told to wait; an asynchronous one gets the same 202."""
    first = call(gated, "slow", gate.parameters(), **{"async": True})
    assert first.status == 202
    gate.entered()
    again = call(gated, "slow", gate.parameters(), **{"async": True})
    assert again.status == 202
    assert again.json()["run_id"] == first.json()["run_id"]
    assert again.headers["idempotency-replayed"] == "true"
    gate.open()
    ended(gated, "held", first.json()["run_id"])
    done = call(gated, "slow", gate.parameters(), **{"async": True})
    assert done.status == 202
    assert done.json()["status"] == "succeeded"


@pytest.mark.parametrize("key", ["", '""', "x" * 300, "a\tb"])
def test_keys_that_are_none(gated: JupyterServer, gate: Gate, key: str) -> None:
    gate.open()
    assert call(gated, key, gate.parameters()).status == 400


def test_instances(gated: JupyterServer, gate: Gate) -> None:
    """One run per instance, each with a result of its own, in their order."""
    gate.open()
    instances = [gate.parameters(value=n) for n in (1, 2)] + [gate.parameters(value="much")]
    answer = gated.post("warmcell/held/invoke", {"instances": instances, "run_name": "many"})
    assert answer.status == 200, answer.text
    assert answer.json()["success"] is False
    good, second, bad = answer.json()["results"]
    assert (good["outputs"], second["outputs"]) == ({"output": 1}, {"output": 2})
    assert good["metadata"]["run_name"] == "many[0]"
    assert bad["success"] is False
    assert bad["error"]["status"] == 422
    assert bad["error"]["errors"][0]["pointer"] == "/parameters/value"
    ids = {result["metadata"]["run_id"] for result in (good, second, bad)}
    assert len(ids) == 3

    later = gated.post("warmcell/held/invoke", {"instances": instances[:2], "async": True})
    assert later.status == 202
    runs = [ended(gated, "held", run["run_id"]) for run in later.json()["runs"]]
    assert [run["outputs"] for run in runs] == [{"output": 1}, {"output": 2}]


def test_instances_that_are_too_many_or_none(gated: JupyterServer, gate: Gate) -> None:
    """All are admitted or none is."""
    for body, pointer in [
        ({"instances": []}, "/instances"),
        ({"instances": [1]}, "/instances/0"),
        ({"instances": "x"}, "/instances"),
        ({"instances": [{}], "parameters": {}}, "/instances"),
        ({"instances": [gate.parameters()] * 4}, "/instances"),
    ]:
        answer = gated.post("warmcell/single/invoke", body)
        assert answer.status == 422, (body, answer.text)
        assert answer.json()["errors"][0]["pointer"] == pointer
    blocking = submit(gated, "single", gate.parameters())
    gate.entered()
    full = gated.post("warmcell/single/invoke", {"instances": [gate.parameters()] * 3})
    assert full.status == 429
    assert gated.get("warmcell/single/info").json()["queued"] == 0
    gate.open()
    ended(gated, "single", blocking)
