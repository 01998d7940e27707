"""Faults under load, in short: ``python3 dev.py bench faults`` is the long form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.faults.__main__ import kept, markdown, report
from tests.benchmarks.faults.campaign import KINDS, Campaign
from tests.benchmarks.faults.inflicting import cut_links
from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer


def test_every_promise_is_kept_under_faults(tmp_path: Path) -> None:
    """One fault of each kind but takeovers: no acknowledged run is missing, no Idempotency-Key
    makes two runs, no call outlives its deadline, no answer is another snapshot's, and each time it
    serves again."""
    kinds = [kind for kind in KINDS if "takeover" not in kind]  # those start more servers
    campaign = Campaign(tmp_path, seed=11, kinds=kinds)
    found = report(campaign, campaign.run(len(kinds)))
    assert kept(found), markdown(found)
    assert [found["kinds"][kind]["faults"] for kind in kinds] == [1] * len(kinds)
    assert found["acknowledged"] > 0
    assert found["keys"] > 0


def test_a_key_holds_over_a_takeover(start_server: Callable[..., JupyterServer]) -> None:
    """A host that was there all along serves what a dead one served: a key that this one took makes
    no second run."""
    first, second = start_server(), start_server()
    cells = (
        "%load_ext warmcell\nimport warmcell\n"
        "@warmcell.pipeline\ndef once(x: int) -> int:\n    return x\n"
        "deployed = once.deploy('once')"
    )
    body, key = {"parameters": {"x": 3}}, {"Idempotency-Key": "one"}
    first.kernel("once.ipynb").run(cells)
    answer = first.post("warmcell/once/invoke", body, headers=key)
    assert answer.status == 200, answer.text
    assert second.post("warmcell/once/invoke", body, headers=key).status == 503
    first.kill()
    second.kernel("once.ipynb").run(cells)
    again = second.post("warmcell/once/invoke", body, headers=key)
    assert again.status == 200, again.text
    assert again.headers.get("idempotency-replayed") == "true"
    assert again.json() == answer.json()


def test_a_lost_link_undoes_no_rollback(start_server: Callable[..., JupyterServer]) -> None:
    """The kernel comes back with what it deployed last; what was rolled back to is served on."""
    server = start_server()
    kernel = server.kernel("two.ipynb")
    kernel.run("%load_ext warmcell\nimport warmcell")
    path = "warmcell/api/v1/deployments/two"
    for value in (1, 2):
        kernel.run(f"@warmcell.pipeline\ndef two() -> int:\n    return {value}")
        kernel.run("deployed = two.deploy('two')")
        wait_until(lambda: server.get(path).json()["stored"] == "stored")
    assert server.post(f"{path}/rollback", {"to": 1}).status == 200
    assert cut_links(server.pid) == 1
    wait_until(lambda: server.get(path).json()["served_by"] == "dedicated")
    wait_until(lambda: 2 in server.get(path).json()["warm"])  # the notebook's kernel is back
    answer = server.invoke("two").json()
    assert (answer["metadata"]["snapshot"], answer["outputs"]) == (1, {"output": 1})
