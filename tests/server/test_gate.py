"""Gates on a real server: calls over HTTP decide whether the next snapshot is served."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = """
%load_ext warmcell
from warmcell import Gate, pipeline, step

factor = 2.0

@step
def priced(n: int) -> float:
    return n * factor

@pipeline
def pricing(n: int) -> float:
    return priced(n)
"""
MODULE = """
from warmcell import pipeline, step

@step
def added(n: int) -> int:
    return n + 1

@pipeline
def adding(n: int) -> int:
    return added(n)
"""


@pytest.fixture(scope="module")
def author(jupyter_server: JupyterServer) -> Iterator[Kernel]:
    """A notebook whose deployment was called thirty times."""
    kernel = jupyter_server.kernel("author.ipynb")
    kernel.run(CELLS)
    kernel.run("pricing.deploy()")
    for n in range(30):
        assert jupyter_server.invoke("pricing", {"n": n}).status == 200
    yield kernel
    kernel.close()


def get(server: JupyterServer, path: str) -> Any:
    answer = server.get(f"warmcell/api/v1/{path}")
    assert answer.status == 200, answer.text
    return answer.json()


def test_calls_over_http_decide(jupyter_server: JupyterServer, author: Kernel) -> None:
    """What changes too much is not served, and no snapshot is made of it; what passes is, and the
    history says on what grounds."""
    before = get(jupyter_server, "deployments/pricing")["snapshot"]
    author.run("factor = 3.0")
    refused = author.run("pricing.deploy(gate=Gate())", check=False)
    assert refused.ename == "GateRefused"
    assert "29 of 30 answers changed" in "".join(refused.traceback)
    assert jupyter_server.invoke("pricing", {"n": 5}).json()["outputs"] == {"output": 10.0}
    assert len(get(jupyter_server, "snapshots?pipeline=pricing")["snapshots"]) == 1
    shown = author.run("found = pricing.backtest(last=5); found")
    assert shown.result is not None
    assert "really executed" in shown.result["text/html"]
    assert "50.00%" in shown.text
    author.run("pricing.deploy(gate={'max_changed': 1.0, 'max_relative': 0.6})")
    deployed = get(jupyter_server, "deployments/pricing")
    assert deployed["snapshot"] == before + 1
    assert jupyter_server.invoke("pricing", {"n": 5}).json()["outputs"] == {"output": 15.0}
    [last, *_] = get(jupyter_server, "deployments/pricing/history")["history"]
    assert (last["event"], last["detail"]["gate"]["runs"]) == ("deployment.deployed", 31)
    assert last["detail"]["gate"]["largest_relative"] == 0.5


def test_a_gate_before_kernels_of_their_own(jupyter_server: JupyterServer, author: Kernel) -> None:
    """The draft is judged in the notebook, and served from a dedicated kernel."""
    author.run("factor = 9.0")
    refused = author.run("pricing.deploy('pricing', isolated=True, gate=True)", check=False)
    assert refused.ename == "GateRefused"
    author.run("pricing.deploy('apart', isolated=True, gate=Gate(min_runs=0))", timeout=120)
    assert jupyter_server.invoke("apart", {"n": 1}).json()["outputs"] == {"output": 9.0}
    assert get(jupyter_server, "deployments/apart")["served_by"] == "dedicated"


def test_a_gate_of_the_command_line(jupyter_server: JupyterServer) -> None:
    """Bounds are words; a refusal is an error, and what was served before goes on."""
    module = jupyter_server.root / "gated_module.py"
    module.write_text(MODULE)

    def deploy(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "warmcell", "pipeline", "deploy", "gated_module.adding", *words],
            cwd=jupyter_server.root,
            env=jupyter_server.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert deploy("--gate", "nonsense").returncode == 2
    first = deploy("--gate", "min_runs=0")
    assert first.returncode == 0, first.stderr
    assert jupyter_server.invoke("adding", {"n": 1}).json()["outputs"] == {"output": 2}
    module.write_text(MODULE.replace("n + 1", "n + 2"))
    second = deploy("--gate", "min_runs=1", "--gate", "max_changed=0.5")
    assert second.returncode != 0
    assert "1 of 1 answers changed, 100.0% (at most 50.0%)" in second.stderr
    assert jupyter_server.invoke("adding", {"n": 1}).json()["outputs"] == {"output": 2}
