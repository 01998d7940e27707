"""A store travels with its folder: what somebody else's snapshots hold is listed, and never run
before a person says so."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer

# What is unpickled, what `on_init` does and a script of the front end: each would show that it ran.
CELLS = (
    "%load_ext warmcell\n"
    "import os, pathlib, numpy as np\n"
    "from warmcell.config import DeploymentSettings\n"
    "weights = np.arange(50_000.0)\n"
    "def mark(name):\n"
    "    (pathlib.Path(os.environ['JUPYTER_DATA_DIR']) / f'ran-{name}').touch()",
    "class Loaded:\n"
    "    def __reduce__(self):\n        return (Loaded.again, ())\n"
    "    @staticmethod\n    def again():\n        mark('pickle')\n        return Loaded()\n"
    "loaded = Loaded()",
    "def start():\n    mark('init')",
    "%%step\ndef add(x: int) -> float:\n    loaded\n    return x + float(weights[2])",
    "%%pipeline --on-init start\ndef churn(x: int) -> float:\n    return add(x)",
    "pathlib.Path('site').mkdir(exist_ok=True)\n"
    "_ = pathlib.Path('site/index.html').write_text('<script>1</script>')\n"
    "settings = DeploymentSettings(dashboard_files_path='site', trusted=True)\n"
    "churn.deploy('churn', settings=settings)",
)


def described(server: JupyterServer) -> dict[str, Any]:
    found: dict[str, Any] = server.get("warmcell/api/v1/deployments/churn").json()
    return found


def listed(server: JupyterServer) -> dict[str, Any]:
    (found,) = server.get("warmcell/api/v1/snapshots?brief=true").json()["snapshots"]
    return dict(found)


def marks(server: JupyterServer) -> set[str]:
    """What of the snapshot ran for the user of a server."""
    folder = Path(server.environment["JUPYTER_DATA_DIR"])
    return {path.name for path in folder.glob("ran-*")}


def command(server: JupyterServer, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``warmcell`` as the user of a server does in a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "warmcell", *words],
        env={**server.environment, "WARMCELL_TOKEN": server.token},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def carried(start_server: Callable[..., JupyterServer], tmp_path: Path) -> JupyterServer:
    """The server of another user, with another key, in a folder that was copied from the first."""
    author = start_server(tmp_path / "author")
    kernel = author.kernel("churn.ipynb")
    for cell in CELLS:
        kernel.run(cell)
    assert author.invoke("churn", {"x": 1}).json()["outputs"] == {"output": 3.0}
    wait_until(lambda: described(author)["stored"] == "stored")
    assert listed(author)["trusted"] is True
    assert author.get("warmcell/churn/").status == 200
    assert marks(author) == {"ran-pickle", "ran-init"}
    author.stop()
    shutil.copytree(author.root, tmp_path / "carried")
    return start_server(tmp_path / "carried")


def test_a_carried_store_runs_nothing_before_it_is_trusted(carried: JupyterServer) -> None:
    """Its snapshot is listed and not restored, no kernel is started, its front end is not shown;
    damage keeps it from being trusted; once trusted it serves under the same URL, its author's
    signature stays, and who said so is in the audit. A part that changes later is refused again."""
    server = carried
    wait_until(lambda: "warmcell trust churn@1" in described(server)["reason"])
    assert described(server)["state"] == "detached"
    assert (described(server)["trusted"], listed(server)["trusted"]) == (False, False)
    assert server.invoke("churn", {"x": 1}).status == 503
    page = server.get("warmcell/churn/")
    assert (page.status, page.json()["type"]) == (409, "urn:warmcell:problem:not-trusted")
    told = command(server, "trust")
    assert (told.returncode, "churn" in told.stdout) == (0, True), told.stderr
    assert "warmcell trust churn@1" in told.stderr

    snapshot = "warmcell/api/v1/snapshots/churn/1"
    manifest = server.get(snapshot).json()["manifest"]
    named = [manifest[part] for part in ("code", "references", "sources")] + manifest["buffers"]
    blobs = [path for path in server.root.rglob("*") if path.name in {b[0][:32] for b in named}]
    assert len(blobs) == len(named) >= 4
    for path in blobs:
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        refused = server.post(f"{snapshot}/trust", {})
        assert (refused.status, "damaged" in refused.json()["detail"]) == (409, True), path
        path.write_bytes(good)
    assert listed(server)["trusted"] is False
    assert (server.kernels(), marks(server)) == (set(), set())

    said = command(server, "trust", "churn@1", "--json")
    assert said.returncode == 0, said.stderr
    (answer,) = json.loads(said.stdout)
    assert (answer["trusted"], answer["restoring"]) == (True, ["churn"])
    assert server.invoke("churn", {"x": 1}).json()["outputs"] == {"output": 3.0}
    assert marks(server) == {"ran-pickle", "ran-init"}
    assert server.get("warmcell/churn/").status == 200
    assert (described(server)["trusted"], listed(server)["trusted"]) == (True, True)
    assert len(server.get(snapshot).json()["manifest"]["signatures"]) == 2
    query = "SELECT subject, \"user\" FROM audit WHERE event = 'snapshot.trusted'"
    rows = server.post("warmcell/api/v1/sql", {"query": query}).json()["rows"]
    assert [(subject, bool(user)) for subject, user in rows] == [("churn@1", True)]
    assert "foreign" in command(server, "trust").stderr

    (large,) = (path for path in blobs if path.stat().st_size == 400_000)
    large.write_bytes(large.read_bytes()[:-1] + b"\xff")
    (kernel,) = server.kernels()
    server.delete(f"api/kernels/{kernel}")
    wait_until(lambda: "damaged" in described(server)["reason"])
    assert server.invoke("churn", {"x": 1}).status == 503
