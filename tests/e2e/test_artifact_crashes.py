"""``kill -9`` while an artifact is being written: no half of it is ever taken for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import CellFailed

SETUP = """
%load_ext warmcell
import threading
from warmcell import Client, pipeline, step
from warmcell.artifacts import Serializer, register

entered = threading.Event()

class Big:
    pass

class Bigs(Serializer):
    kind = "big"
    def freeze(self, value):
        return value
    def save(self, value, out):
        with out.path("value.bin").open("wb") as file:
            for piece in range(300):
                file.write(bytes(1 << 20))
                if piece == 150:
                    file.flush()
                    entered.set()
                    threading.Event().wait(60)
    def load(self, parts):
        return Big()

register(Big, Bigs())

@step
def make() -> Big:
    return Big()

@pipeline
def large():
    make()
    return 1

large.deploy("large", settings={"deployment": {"artifacts": "all"}})
"""


def test_a_kernel_that_dies_writes_no_half_artifact(
    start_server: Callable[..., JupyterServer],
) -> None:
    """The call is answered while its artifact is being written. When the kernel dies in the middle
    of 300 MB the version is lost, names no file and cannot be loaded; what is left of the file goes
    with the next pruning, once it is old, and the run stays as it was answered."""
    server = start_server()
    kernel = server.kernel()
    kernel.run(SETUP)
    answer = server.invoke("large", {})
    assert answer.status == 200, answer.text
    run = answer.json()["metadata"]["run_id"]
    assert kernel.value("entered.wait(60)") is True
    blobs = Path(server.get("warmcell/api/v1/status").json()["home"]) / "blobs"
    (half,) = (path for path in blobs.iterdir() if path.stat().st_size > 100 << 20)
    assert version_of(server, run)["status"] == "pending"
    kernel.kill()
    wait_until(lambda: version_of(server, run)["status"] != "pending")
    version = version_of(server, run)
    assert (version["status"], version["files"]) == ("lost", [])
    assert server.get(f"warmcell/api/v1/runs/{run}").json()["status"] == "succeeded"
    other = server.kernel("other.ipynb")
    other.run("%load_ext warmcell\nfrom warmcell import Client")
    with pytest.raises(CellFailed, match="is lost"):
        other.run(f"Client().get_artifact_version({version['id']!r}).load()")
    server.post("warmcell/api/v1/store/prune", {"max_runs": 1000})
    assert half.exists()  # somebody else may be writing such a file
    os.utime(half, (0, 0))
    server.post("warmcell/api/v1/store/prune", {"max_runs": 1000})
    assert not half.exists()


def version_of(server: JupyterServer, run: str) -> dict[str, Any]:
    """The only version that a run made, as the control plane describes it."""
    found = server.get(f"warmcell/api/v1/artifact-versions?run_id={run}").json()["versions"]
    assert len(found) == 1
    described: dict[str, Any] = found[0]
    return described
