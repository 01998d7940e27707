"""Whose stored snapshots are loaded: what says so, what changes it, and what else loads pickles."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

CELLS = """
import duckdb
from warmcell import Client, pipeline, step

@step
def plus(x: int) -> int:
    return x + 1

@pipeline
def own(x: int) -> int:
    return plus(x)

con = duckdb.connect()

@step
def asked(x: int) -> int:
    return con.execute(f"SELECT {x}").fetchone()[0]

@pipeline
def unstored(x: int) -> int:
    return asked(x)

_ = own.deploy("own"), unstored.deploy("unstored")
"""
SNAPSHOT = "warmcell/api/v1/snapshots/own/1"
UNSTORED = "warmcell/api/v1/snapshots/unstored/1"


def snapshot(server: JupyterServer, path: str = SNAPSHOT) -> dict[str, Any]:
    found: dict[str, Any] = server.get(path).json()
    return found


@pytest.fixture(scope="module")
def author(jupyter_server: JupyterServer, kernel: Kernel) -> Kernel:
    """A notebook with a deployment that is stored and one that cannot be."""
    kernel.run(CELLS)
    wait_until(lambda: snapshot(jupyter_server)["stored"] == "stored")
    return kernel


@pytest.fixture
def stranger(jupyter_server: JupyterServer, author: Kernel) -> Iterator[None]:
    """The user has another key than the one that signed what is stored."""
    file = Path(jupyter_server.environment["JUPYTER_DATA_DIR"]) / "warmcell" / "snapshot.key"
    own = file.read_bytes()
    file.write_bytes(os.urandom(32))
    yield
    file.write_bytes(own)


def test_snapshots_say_whether_they_are_trusted(
    jupyter_server: JupyterServer, author: Kernel
) -> None:
    """One's own are; of what is not stored nothing is said. In lists, alone, and in Python."""
    wait_until(lambda: snapshot(jupyter_server, UNSTORED)["stored"].startswith("refused"))
    for query in ("", "?brief=true"):
        found = jupyter_server.get(f"warmcell/api/v1/snapshots{query}").json()["snapshots"]
        assert {one["pipeline"]: one["trusted"] for one in found} == {"own": True, "unstored": None}
    assert snapshot(jupyter_server)["trusted"] is True
    assert "not trusted" not in author.run("Client().list_snapshots()").text


@pytest.mark.usefixtures("stranger")
def test_a_stranger_has_to_say_so(jupyter_server: JupyterServer, author: Kernel) -> None:
    """To a user with another key the same snapshot is foreign until it is signed anew; signing is
    noted once, with who it was, and what is served from a notebook goes on being served."""
    assert snapshot(jupyter_server)["trusted"] is False
    assert "stored, not trusted" in author.run("Client().list_snapshots()").text
    for _ in range(2):
        answer = jupyter_server.post(f"{SNAPSHOT}/trust", {})
        assert answer.status == 200
        assert answer.json() == {"pipeline": "own", "number": 1, "trusted": True, "restoring": []}
    assert snapshot(jupyter_server)["trusted"] is True
    query = "SELECT subject, \"user\", detail FROM audit WHERE event = 'snapshot.trusted'"
    ((subject, user, detail),) = jupyter_server.post(
        "warmcell/api/v1/sql", {"query": query}
    ).json()["rows"]
    assert (subject, user) == ("own@1", "token")
    assert "author" in detail
    assert jupyter_server.invoke("own", {"x": 1}).json()["outputs"] == {"output": 2}


@pytest.mark.usefixtures("stranger")
def test_a_store_that_cannot_be_read_is_not_trusted(jupyter_server: JupyterServer) -> None:
    """A key file that is damaged makes nothing trusted, and signing says what is wrong with it."""
    file = Path(jupyter_server.environment["JUPYTER_DATA_DIR"]) / "warmcell" / "snapshot.key"
    file.write_bytes(b"short")
    assert snapshot(jupyter_server)["trusted"] is False
    answer = jupyter_server.post(f"{SNAPSHOT}/trust", {})
    assert (answer.status, "damaged" in answer.json()["detail"]) == (409, True)


def test_what_cannot_be_trusted(jupyter_server: JupyterServer, author: Kernel) -> None:
    """Nothing stored: 409, and it says so. No such snapshot: 404."""
    wait_until(lambda: snapshot(jupyter_server, UNSTORED)["stored"].startswith("refused"))
    answer = jupyter_server.post(f"{UNSTORED}/trust", {})
    assert (answer.status, "is stored" in answer.json()["detail"]) == (409, True)
    for path in ("own/9", "own/x", "own/99999999999999999999", "nothing/1"):
        assert jupyter_server.post(f"warmcell/api/v1/snapshots/{path}/trust", {}).status == 404


# Which modules can run code from bytes, and why that is no way around a signature.
GUARDED = {
    "warmcell/snapshots/loader.py": "used by those in LOADERS",
    "warmcell/artifacts/pickled.py": "storing.restore checks the signature, and it asserts so",
    "warmcell/artifacts/tensors.py": "weights_only: torch makes tensors and runs no code",
    "warmcell/materializers/base_materializer.py": "its kind runs code: restore checks first",
}
LOADERS = {
    "warmcell/snapshots/captured.py",  # the bytes of the next one, once more
    "warmcell/snapshots/capturing.py",  # the bytes that this process wrote a moment ago
    "warmcell/snapshots/stored.py",  # after the signature and the digests were checked
}
MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch"}
FUNCTIONS = {"load", "loads", "Unpickler", "open"}


def test_nothing_else_loads_pickles(repository: Path) -> None:
    """Every place that makes objects of bytes that can run code is known and guarded."""
    found: dict[str, set[str]] = {"pickle": set(), "loader": set()}
    for package in ("kernel_ext", "server_ext", "widgets"):
        for path in (repository / package).rglob("*.py"):
            name = path.relative_to(repository / package).as_posix()
            for node in ast.walk(ast.parse(path.read_bytes())):
                for kind in _loads(node):
                    found[kind].add(name)
    assert found["pickle"] == set(GUARDED)
    assert found["loader"] == LOADERS


def _loads(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module, name = node.value.id, node.attr
        if (module in MODULES and name in FUNCTIONS) or name == "read_pickle":
            yield "pickle"
    elif isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        if node.module in MODULES and names & FUNCTIONS:
            yield "pickle"
        if node.module == "warmcell.snapshots.loader" and "Loader" in names:
            yield "loader"
    elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
        yield from () if ast.unparse(node.value) == "False" else ("pickle",)
