"""The client, over the link of a kernel and over HTTP, against one real host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import link
from warmcell.client import Client, Table
from warmcell.errors import (
    LinkError,
    NotFound,
    ParameterError,
    QueryError,
    RunError,
    UsageError,
)
from warmcell.runs import Run

SETUP = """
%load_ext warmcell
from warmcell import pipeline, step

@step
def half(n: float) -> float:
    return n / 2

@step
def inverse(n: float) -> float:
    return 1 / n

@pipeline
def halving(n: float = 8):
    return half(n)

@pipeline
def inverting(n: float):
    return inverse(n)

halving.deploy("halving")
inverting.deploy("inverting")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of its own, and no trace of a Jupyter server around."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WARMCELL_CONNECTION", "JPY_PARENT_PID", "WARMCELL_URL", "WARMCELL_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("WARMCELL_HOME", str(folder))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        yield folder


@pytest.fixture(scope="module")
def cell(home: Path) -> Iterator[Notebook]:
    """A notebook that serves two pipelines from an embedded host."""
    with notebook() as made:
        made(SETUP)
        yield made
        made("%unload_ext warmcell")
        link.kernel().close()


@pytest.fixture(scope="module", params=["link", "http"])
def client(request: pytest.FixtureRequest, cell: Notebook, home: Path) -> Client:
    if request.param == "link":
        return Client()
    memory = json.loads((home / "embedded.json").read_text())
    return Client(f"http://127.0.0.1:{memory['port']}/", memory["token"])


class TestDeployments:
    def test_are_listed_and_found(self, client: Client) -> None:
        """Deployments carry name, pipeline, snapshot, status and URL."""
        found = client.list_deployments()
        assert {d.name for d in found} == {"halving", "inverting"}
        one = client.get_deployment("halving")
        assert (one.pipeline, one.snapshot, one.status) == ("halving", 1, "serving")
        assert one.url.endswith("/warmcell/halving/")

    def test_are_called(self, client: Client) -> None:
        """A call answers the outputs by name, through the client and the deployment."""
        assert client.invoke("halving", n=3) == {"output": 1.5}
        assert client.get_deployment("halving").invoke() == {"output": 4.0}

    def test_errors_have_their_types(self, client: Client) -> None:
        """Wrong parameters, an unknown name and a failing step raise what they are."""
        with pytest.raises(ParameterError) as caught:
            client.invoke("halving", n="many", m=1)
        assert [e["pointer"] for e in caught.value.errors] == ["/parameters/n", "/parameters/m"]
        with pytest.raises(NotFound, match="nothing-here"):
            client.invoke("nothing-here")
        with pytest.raises(RunError, match="division by zero") as failed:
            client.invoke("inverting", n=0)
        assert failed.value.step == "inverse"
        assert client.get_run(str(failed.value.run_id)).status == "failed"

    def test_a_parameter_without_json_form_is_named(self, client: Client) -> None:
        """What cannot be sent is refused before anything is sent."""
        with pytest.raises(ParameterError, match=r"Parameter n\[0\] is a type"):
            client.invoke("halving", n=[int])

    def test_are_removed(self, cell: Notebook, client: Client) -> None:
        """After a delete the name is unknown; it can be deployed again."""
        cell("halving.deploy('shortlived')")
        client.get_deployment("shortlived").undeploy()
        with pytest.raises(NotFound):
            client.invoke("shortlived")
        cell("halving.deploy('shortlived')")
        client.delete_deployment("shortlived")
        with pytest.raises(NotFound):
            client.delete_deployment("shortlived")

    def test_roll_back(self, cell: Notebook, client: Client) -> None:
        """A rollback serves the snapshot before."""
        cell("halving.deploy('rolling')")
        cell("@step\ndef half(n: float) -> float:\n    return n / 3\n")
        cell("halving.deploy('rolling')")
        deployment = client.get_deployment("rolling")
        assert deployment.invoke(n=6) == {"output": 2.0}
        assert deployment.rollback().invoke(n=6) == {"output": 3.0}
        client.delete_deployment("rolling")
        cell(SETUP)


class TestRuns:
    def test_newest_first_with_filters(self, client: Client) -> None:
        """Runs are listed newest first; filters by name, status and time narrow the list."""
        started = datetime.now(UTC) - timedelta(seconds=1)
        for n in range(3):
            client.invoke("halving", n=n)
        runs = client.list_runs(limit=2, pipeline="halving")
        assert all(isinstance(run, Run) for run in runs)
        assert [run.parameters for run in runs] == [{"n": 2}, {"n": 1}]
        assert runs[0].status == "succeeded"
        assert runs[0].outputs == {"output": 1.0}
        assert len(client.list_runs(deployment="halving", since=started)) >= 3
        assert client.list_runs(status="lost") == []
        assert client.list_runs(until=started - timedelta(days=1)) == []

    def test_one_run_has_its_parts(self, client: Client) -> None:
        """A run by its id has its step runs and artifacts."""
        client.invoke("halving", n=10)
        run = client.get_run(client.list_runs(limit=1)[0].id)
        assert [(s.step, s.status) for s in run.steps] == [("half", "succeeded")]
        (artifact,) = run.artifacts
        assert (artifact["step"], artifact["kind"], artifact["value"]) == ("half", "json", 5.0)

    def test_unknown_filters_and_ids(self, client: Client) -> None:
        """A misspelt filter names the right one; an unknown run is not found."""
        with pytest.raises(UsageError, match="Did you mean `pipeline`"):
            client.list_runs(pipelin="x")
        with pytest.raises(NotFound):
            client.get_run("01a1fc07-0000-7000-8000-000000000000")
        with pytest.raises(NotFound):
            client.get_run("../../status")


class TestSql:
    def test_a_query_answers_a_table(self, client: Client) -> None:
        """Columns, types and rows; as a DataFrame times are times."""
        client.invoke("halving", n=1)
        table = client.sql("SELECT pipeline, created_at, 1 + 1 AS two FROM runs LIMIT 1")
        assert table.columns == ["pipeline", "created_at", "two"]
        assert (len(table), table.rows[0][2], table.truncated) == (1, 2, False)
        frame = table.to_frame()
        assert isinstance(frame["created_at"].dtype, pd.DatetimeTZDtype)
        assert client.sql("SELECT * FROM range(5)", limit=3).truncated

    def test_refusals(self, client: Client) -> None:
        """What is no query over the views is refused with the reason."""
        with pytest.raises(QueryError, match="nope"):
            client.sql("SELECT * FROM nope")
        with pytest.raises(QueryError):
            client.sql("DELETE FROM runs")

    def test_an_empty_answer_is_a_frame_too(self) -> None:
        """No rows give an empty frame with the columns."""
        table = Table({"columns": ["a", "a"], "types": ["TIMESTAMP", "TIMESTAMP"], "rows": []})
        assert list(table.to_frame().columns) == ["a", "a"]


class TestMagics:
    def test_runs_as_sql(self, cell: Notebook) -> None:
        """%%runs answers a DataFrame, with a limit where one is given."""
        Client().invoke("halving", n=1)
        Client().invoke("halving", n=2)
        frame = cell("%%runs\nSELECT pipeline, status FROM runs WHERE pipeline = 'halving'\n")
        assert isinstance(frame, pd.DataFrame)
        assert set(frame["pipeline"]) == {"halving"}
        assert len(cell("%%runs --limit 1\nSELECT * FROM runs")) == 1
        assert isinstance(cell.fails("%%runs\nSELECT nonsense FROM runs"), QueryError)
        assert isinstance(cell.fails("%%runs --status failed\nSELECT 1"), UsageError)

    def test_history_and_deployments(self, cell: Notebook) -> None:
        """%runs shows the history, %deployments a table of what is served."""
        assert cell("%runs --limit 5 --pipeline halving") is not None
        table = cell("%deployments")
        assert sorted(row[:2] for row in table.rows) == [
            ["halving", "halving"],
            ["inverting", "inverting"],
        ]
        assert "/warmcell/halving/" in repr(table)

    def test_deploy_and_undeploy(self, cell: Notebook) -> None:
        """%deploy serves under a URL, %undeploy ends it."""
        cell("served = %deploy halving by-magic")
        assert cell("served.invoke(n=2)") == {"output": 1.0}
        cell("%undeploy by-magic")
        assert isinstance(cell.fails("served.invoke(n=2)"), NotFound)


class TestAddress:
    @pytest.mark.parametrize("url", ["localhost:8888", "ftp://x/", "", "http://"])
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        """Something that is no address of a server says so."""
        from warmcell.remote.transport import Http

        with pytest.raises(LinkError, match="not an address"):
            Http(url)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://h:1/", "http://h:1/warmcell/"),
            ("http://h:1/base/lab?token=abc", "http://h:1/base/warmcell/"),
            ("https://h/user/x/warmcell/", "https://h/user/x/warmcell/"),
        ],
    )
    def test_the_address_of_any_page_will_do(self, url: str, expected: str) -> None:
        """The server's address, a page of it and our own address all lead to the same place."""
        from warmcell.remote.transport import Http

        assert Http(url).url == expected

    def test_nobody_there(self) -> None:
        """A server that does not answer is an error that names it, at once."""
        with pytest.raises(LinkError, match=r"No answer from http://127\.0\.0\.1:9/warmcell/"):
            Client("http://127.0.0.1:9/").list_deployments()

    def test_no_server_found(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Outside a notebook, with no server, the way out is named."""
        from warmcell.remote.discovery import discover

        monkeypatch.setenv("WARMCELL_HOME", str(tmp_path))
        with pytest.raises(LinkError, match="WARMCELL_URL"):
            discover()
