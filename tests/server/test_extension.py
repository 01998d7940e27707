"""The extension in a Jupyter server: its start, its end, and a store that cannot be opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel
from warmcell.ids import new_id
from warmcell_server.store import Store


def test_kernels_find_the_connection_file(serving: JupyterServer, author: Kernel) -> None:
    """A kernel's environment has the path of a private file of its server, and no secret."""
    path = Path(author.value("__import__('os').environ['WARMCELL_CONNECTION']"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes())["pid"] == serving.pid


def test_the_life_of_a_server(start_server: Callable[..., JupyterServer]) -> None:
    """It takes its settings from the configuration, and leaves nothing behind at its end."""
    server = start_server(config={"Warmcell": {"body_limit": 2048}})
    path = Path(server.environment["JUPYTER_RUNTIME_DIR"]) / f"warmcell-{server.pid}.json"
    assert path.exists()

    too_much = server.request(
        "POST",
        "warmcell/add/invoke",
        body=b" " * 2049,
        headers={"Content-Type": "application/json"},
    )
    assert too_much.status == 413
    assert "2048" in too_much.json()["detail"]

    home = Path(server.get("warmcell/api/v1/status").json()["home"])
    assert home == server.root / ".warmcell"
    server.stop()
    assert not path.exists()
    with duckdb.connect(str(home / "store.duckdb")) as store:
        assert store.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_store_of_a_newer_schema(
    start_server: Callable[..., JupyterServer], tmp_path: Path
) -> None:
    """A store that a newer Warmcell wrote is left alone: Jupyter works, Warmcell says why not."""
    home = tmp_path / "root" / ".warmcell"
    Store.open(home, host_id=new_id(), label="test").close()
    with duckdb.connect(str(home / "store.duckdb")) as store:
        store.execute("UPDATE data.schema_version SET version = 1001 WHERE version = 1")
    server = start_server(ready="api/status")
    for path in ("warmcell/api/v1/status", "warmcell/add/health", "warmcell/metrics"):
        answer = server.get(path)
        assert answer.status == 503
        assert "schema version 1001" in answer.json()["detail"]
        assert answer.headers["retry-after"]
    assert server.get("api/kernels").status == 200
