"""Two servers on one store: one of them stops to answer, or ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.faults.inflicting import stopped
from tests.support.deployed import author, described, stored
from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer

CELLS = """\
%load_ext warmcell
import warmcell
@warmcell.pipeline
def {name}(x: int) -> int:
    return x
deployed = {name}.deploy('{name}')
"""
KEY = {"Idempotency-Key": "once"}


def test_no_call_outlives_a_store_that_does_not_answer(
    start_server: Callable[..., JupyterServer],
) -> None:
    """While the process that has the store open stands still, a call of the other server that
    needs the store is answered before its deadline; others go on. Who repeats it gets it."""
    first, second = start_server(), start_server()
    author(first, CELLS.format(name="theirs"), notebook="theirs.ipynb")
    author(second, CELLS.format(name="ours"), notebook="ours.ipynb")
    body = {"parameters": {"x": 3}, "timeout": 2}
    answer = second.post("warmcell/ours/invoke", body, headers=KEY)
    assert answer.status == 200, answer.text
    run = f"warmcell/ours/runs/{answer.json()['metadata']['run_id']}"
    with stopped(first.pid):
        for path, sent in (("theirs", {}), ("ours", KEY)):  # the second one asks for its answer
            late = second.post(f"warmcell/{path}/invoke", body, headers=sent, timeout=20)
            assert late.status == 503, late.text
            assert int(late.headers["retry-after"]) >= 1
            assert late.json()["detail"].startswith("The store did not answer within 2 s")
        assert second.get(run, timeout=20).status == 503
        assert second.post("warmcell/ours/invoke", body).status == 200
    again = second.post("warmcell/ours/invoke", body, headers=KEY)
    assert again.headers.get("idempotency-replayed") == "true"
    assert again.json() == answer.json()
    assert "another host" in second.invoke("theirs", {"x": 3}).json()["detail"]


def test_a_host_serves_what_another_one_served(
    start_server: Callable[..., JupyterServer], tmp_path: Path
) -> None:
    """A server that runs brings back what another one of its store served until it was killed,
    whichever of them had the store open, without being called."""
    data = tmp_path / "data"  # one user's: both trust what the other one stored
    data.mkdir(mode=0o700)
    first, second = (start_server(environment={"JUPYTER_DATA_DIR": str(data)}) for _ in range(2))
    author(first, CELLS.format(name="owner"), notebook="owner.ipynb")
    stored(first, "owner")
    first.kill()
    wait_until(lambda: _serves(second, "owner"))
    answer = second.invoke("owner", {"x": 3})
    assert answer.status == 200, answer.text
    first.start()
    author(first, CELLS.format(name="joined"), notebook="joined.ipynb")
    stored(first, "joined")
    assert first.invoke("owner", {"x": 3}).status == 503
    first.kill()
    wait_until(lambda: _serves(second, "joined"))
    answer = second.invoke("joined", {"x": 4})
    assert answer.status == 200, answer.text
    assert described(second, "owner")["served_by"] == "dedicated"


def _serves(server: JupyterServer, name: str) -> object:
    answer = server.get(f"warmcell/api/v1/deployments/{name}")
    found = answer.json()
    return answer.status == 200 and found["ready"] and found["served_by"] == "dedicated"
