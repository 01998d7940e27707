"""The history as data: calls as a typed frame, golden sets, artifacts as tables in SQL."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas
import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import delete_golden, link, list_golden, load_golden
from warmcell.client import Client
from warmcell.errors import Conflict, GateRefused, NotFound, QueryError, UsageError
from warmcell.history.golden import Golden

SETUP = """
%load_ext warmcell
from datetime import datetime
from typing import Annotated, Optional
from pydantic import BaseModel
from warmcell import pipeline, step

class Address(BaseModel):
    city: str
    zip: int | None = None

class Customer(BaseModel):
    age: int
    income: float
    member: bool = False
    since: datetime | None = None
    address: Address | None = None
    tags: list[str] = []
"""
CELLS = """
@step
def score(customer: Customer, status: str) -> tuple[
    Annotated[float, "probability"], Annotated[dict, "detail"], Annotated[str, "status"]
]:
    if customer.age < 0:
        raise ValueError("younger than nothing")
    return customer.age / 100, {"model": "a", "votes": customer.age}, status.upper()

@pipeline
def churn(customer: Customer, status: str = "new", big: int = 2**70):
    return score(customer, status)
"""
CALLS = """
served = churn.deploy("live")
served.invoke(customer={"age": 30, "income": 1.5, "since": "2020-01-02T03:04:05Z",
                        "address": {"city": "Basel", "zip": 4051}, "tags": ["a"]})
served.invoke(customer={"age": 40, "income": 2, "member": True}, status="old")
try:
    served.invoke(customer={"age": -1, "income": 0})
except Exception as error:
    failed = error
"""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook that serves from an embedded host, with calls in its history."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WARMCELL_CONNECTION", "JPY_PARENT_PID"):
            patch.delenv(name, raising=False)
        for name in ("WARMCELL_URL", "WARMCELL_TOKEN", "WARMCELL_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("WARMCELL_HOME", str(folder))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        with notebook() as made:
            made(SETUP)
            made(CELLS)
            made(CALLS)
            yield made
            made("%unload_ext warmcell")
            link.kernel().close()


# -- calls -----------------------------------------------------------------------------------------


def test_calls_are_a_typed_frame(cell: Notebook) -> None:
    """A line per call, newest first; a column per input and output, objects unpacked, the types
    those of the schema; a name that both have says which it is."""
    frame: pandas.DataFrame = cell("served.calls()")
    assert list(frame["status"]) == ["failed", "succeeded", "succeeded"]
    assert frame.index.name == "run_id"
    assert list(frame.columns) == [
        "created_at", "status", "duration", "snapshot", "user", "error_type", "error",
        "customer.age", "customer.income", "customer.member", "customer.since",
        "customer.address.city", "customer.address.zip", "customer.tags", "input.status", "big",
        "probability", "detail.model", "detail.votes", "output.status",
    ]  # fmt: skip
    kinds = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert kinds["customer.age"] == kinds["customer.address.zip"] == "Int64"
    assert kinds["customer.income"] == kinds["probability"] == kinds["duration"] == "float64"
    assert kinds["customer.member"] == "boolean"
    assert kinds["customer.since"].endswith("UTC]")
    assert kinds["created_at"].endswith("UTC]")
    assert kinds["input.status"] == kinds["customer.address.city"] == "string"
    assert kinds["big"] == "object", "more than 64 bits"
    assert list(frame["big"]) == [2**70] * 3
    last = frame.iloc[-1]
    assert (last["customer.age"], last["customer.address.city"]) == (30, "Basel")
    assert last["customer.since"] == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (last["probability"], last["detail.votes"], last["output.status"]) == (0.3, 30, "NEW")
    first = frame.iloc[0]
    assert pandas.isna(first["probability"])
    assert (first["error_type"], first["error"]) == ("ValueError", "younger than nothing")


def test_calls_are_chosen_by_time_number_status_and_condition(cell: Notebook) -> None:
    """What does not fit is refused before anything is asked."""
    served = cell("served")
    everything = served.calls()
    times = list(everything["created_at"])
    assert len(served.calls(status="succeeded")) == 2
    assert len(served.calls(status=["failed", "succeeded"])) == 3
    assert list(served.calls(limit=1).index) == [everything.index[0]]
    assert list(served.calls(since=times[1]).index) == list(everything.index[:2])
    assert list(served.calls(until=times[1].isoformat()).index) == [everything.index[2]]
    old = served.calls(where="outputs ->> '$.status' = 'OLD'")
    assert list(old["customer.age"]) == [40]
    whole = served.calls(limit=None, unpack=False)
    assert whole.iloc[-1]["customer"]["address"] == {"city": "Basel", "zip": 4051}
    none = served.calls(since="2999-01-01")
    assert len(none) == 0
    assert str(none["customer.age"].dtype) == "Int64", "the columns are there without a call"
    for wrong in ({"status": "gone"}, {"since": "yesterday"}, {"limit": 0}):
        with pytest.raises(UsageError):
            served.calls(**wrong)


def test_calls_come_page_by_page(cell: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, each answer holds a few."""
    from warmcell.history import calls

    whole = list(cell("served.calls()").index)
    monkeypatch.setattr(calls, "_PAGE", 2)
    assert list(cell("served.calls(limit=None)").index) == whole
    assert list(cell("served.calls(limit=2)").index) == whole[:2]


def test_calls_of_an_older_form_keep_their_values(cell: Notebook) -> None:
    """A parameter of another type in an older snapshot makes its column what it is; columns that
    only old calls have stay."""
    cell(
        "@step\ndef twice(n): return n\n"
        "@pipeline\ndef changing(n: int, gone: str = 'x'):\n    return twice(n)\n"
        "other = changing.deploy('changing')\nother.invoke(n=1)"
    )
    cell(
        "@pipeline\ndef changing(n: str):\n    return twice(n)\n"
        "other = changing.deploy('changing')\nother.invoke(n='two')"
    )
    frame = cell("other.calls()")
    assert list(frame["input.n" if "input.n" in frame else "n"]) == ["two", 1]
    assert list(frame["gone"].fillna("-")) == ["-", "x"]


def test_the_view_of_calls_has_what_was_called(cell: Notebook) -> None:
    """And nothing of runs from cells; JSON is reached by name."""
    cell("churn(customer=Customer(age=50, income=1))")
    table: Any = Client().sql(
        "SELECT deployment, status, outputs.probability::DOUBLE AS p, waited >= 0 AS waited "
        "FROM calls WHERE pipeline = 'churn' ORDER BY created_at"
    )
    assert table.rows == [
        ["live", "succeeded", 0.3, True],
        ["live", "succeeded", 0.4, True],
        ["live", "failed", None, True],
    ]


# -- tables in SQL ---------------------------------------------------------------------------------


def test_calls_of_a_deployment_are_a_table_in_sql(cell: Notebook) -> None:
    """With a typed column for each parameter and output, named as in the frame."""
    client = Client()
    described = client.sql("DESCRIBE FROM calls('live')")
    kinds = {row[0]: row[1] for row in described.rows}
    assert kinds["customer.age"] == "BIGINT"
    assert kinds["customer.since"] == "TIMESTAMP"
    assert kinds["customer.tags"] == "JSON"
    assert list(kinds)[-1] == "output.status"
    table = client.sql(
        'SELECT "customer.age", live.probability, "customer.since" FROM calls(\'live\') '
        'WHERE "customer.income" > 0 ORDER BY 1'
    )
    assert table.rows == [[30, 0.3, "2020-01-02T03:04:05Z"], [40, 0.4, None]]
    with pytest.raises(QueryError, match="no deployment 'nothing'"):
        client.sql("FROM calls('nothing')")


def test_frames_of_artifacts_are_tables_in_sql(cell: Notebook) -> None:
    """The newest version, or that which a number, label or tag names; joined with views and with
    each other, in WITH and in subqueries."""
    cell(
        "import pandas\nfrom warmcell import save_artifact\n"
        "save_artifact(pandas.DataFrame({'age': [30, 40], 'name': ['a', 'b']}), 'people')\n"
        "save_artifact(pandas.DataFrame({'age': [30], 'name': ['z']}), 'people', tags=['best'])\n"
        "save_artifact(pandas.DataFrame({'age': [30], 'risk': [0.5]}), 'risks')\n"
        "save_artifact({'n': 1}, 'no-table')"
    )
    client = Client()

    def rows(query: str) -> list[list[Any]]:
        return client.sql(query).rows

    assert rows("SELECT name FROM artifact('people')") == [["z"]]
    assert rows("SELECT name FROM artifact('people', 1) ORDER BY 1") == [["a"], ["b"]]
    assert rows("SELECT name FROM artifact('people', version := '1') ORDER BY 1") == [["a"], ["b"]]
    assert rows("SELECT name FROM artifact('people', tag := 'best') AS p") == [["z"]]
    joined = (
        "SELECT people.name, risks.risk FROM artifact('people') JOIN artifact('risks') USING (age)"
    )
    assert rows(joined) == [["z", 0.5]]
    assert rows(
        "WITH old AS (FROM artifact('people', 1)) SELECT o.name, c.probability FROM old o "
        "JOIN calls('live') c ON c.\"customer.age\" = o.age ORDER BY 1"
    ) == [["a", 0.3], ["b", 0.4]]
    assert rows("SELECT count(*) FROM runs WHERE 30 IN (SELECT age FROM artifact('people'))") != [
        [0]
    ]
    for query, why in (
        ("FROM artifact('no-table')", "is no table: it is of the kind"),
        ("FROM artifact('nothing')", "nothing"),
        ("FROM artifact('people', 9)", "9"),
        ("FROM artifact()", "takes a name"),
        ("SELECT * FROM runs, artifact(run_id)", "does not take this"),
        ("FROM artifact('people', 1, 'best', 4)", "does not take this"),
        ("FROM read_parquet('x')", "not available"),
        ("FROM 'x.parquet'", "no view"),
    ):
        with pytest.raises(QueryError, match=why):
            rows(query)


def test_a_table_whose_bytes_were_changed_is_refused(cell: Notebook) -> None:
    """What is read is what was stored."""
    blobs = Path(os.environ["WARMCELL_HOME"]) / "blobs"
    before = set(blobs.iterdir())
    cell(
        "import pandas\nfrom warmcell import save_artifact\n"
        "save_artifact(pandas.DataFrame({'age': [1]}), 'changed')"
    )
    [path] = set(blobs.iterdir()) - before
    assert Client().sql("SELECT age FROM artifact('changed')").rows == [[1]]
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(QueryError, match="not those that were stored"):
        Client().sql("SELECT age FROM artifact('changed')")


# -- golden sets -----------------------------------------------------------------------------------


def test_a_golden_set_is_replayed_by_its_name(cell: Notebook) -> None:
    """Calls of a frame, kept with their answers, in versions; a backtest takes the set by name,
    also an older version."""
    made: Golden = cell(
        "from warmcell import Gate, list_golden, load_golden, save_golden\n"
        "good = served.calls(status='succeeded')\n"
        "save_golden('adults', good, note='by hand')"
    )
    assert (made.name, made.version, len(made)) == ("adults", "1", 2)
    assert (made.deployment, made.pipeline, made.note) == ("live", "churn", "by hand")
    found = cell("churn.backtest('live', runs='adults')")
    assert [row.status for row in found.rows] == ["same", "same"]
    assert not found.skipped
    again = cell("save_golden('adults', good[good['customer.age'] > 30])")
    assert (again.version, len(again)) == ("2", 1)
    assert len(cell("churn.backtest('live', runs='adults')").rows) == 1
    assert len(cell("churn.backtest('live', runs='adults@1')").rows) == 2
    assert len(cell("churn.backtest('live', runs=load_golden('adults', 1))").rows) == 2
    assert len(cell("%backtest churn live --runs adults@1").rows) == 2
    [listed] = [one for one in cell("list_golden()") if one["name"] == "adults"]
    assert (listed["version"], listed["versions"]) == ("2", 2)
    frame = load_golden("adults@1").to_frame()
    assert list(frame["customer.age"]) == [40, 30]
    assert str(frame["customer.age"].dtype) == "Int64"
    assert list(frame["big"]) == [2**70] * 2, "to the last digit"


def test_a_golden_set_of_the_values_of_a_frame(cell: Notebook) -> None:
    """Answers that were never given can be expected: they show what changes."""
    cell(
        "import pandas\n"
        "wanted = pandas.DataFrame({'customer.age': [30, 60], 'customer.income': [1.0, 2.0],"
        " 'customer.since': [pandas.Timestamp('2020-01-02', tz='UTC'), pandas.NaT],"
        " 'status': ['new', 'old'], 'probability': [0.3, 0.9]})\n"
        "hand = save_golden('by-hand', wanted, deployment='live', outputs=['probability'],"
        " inputs=['customer.age', 'customer.income', 'customer.since', 'status'])"
    )
    first, second = cell("hand.cases")
    assert json.loads(first["parameters"])["customer"]["since"] == "2020-01-02T00:00:00+00:00"
    assert json.loads(second["parameters"])["customer"] == {"age": 60, "income": 2.0}
    found = cell("churn.backtest('live', runs='by-hand', ignore=['detail', 'status'])")
    assert [row.status for row in found.rows] == ["same", "changed"]


def test_a_gate_holds_a_deploy_to_a_golden_set(cell: Notebook) -> None:
    """A small set may decide, all of it; what was served before is served on."""
    cell(CELLS)
    cell("save_golden('gate', served.calls(status='succeeded'))")
    cell("churn.deploy('live', gate=Gate(runs='gate'))")
    cell(CELLS.replace("customer.age / 100,", "customer.age / 50,"))
    refused = cell.fails("churn.deploy('live', gate={'runs': 'gate'})")
    assert isinstance(refused, GateRefused)
    assert "2 of 2 answers changed" in str(refused)
    cell(CELLS)
    unknown = cell.fails("churn.deploy('live', gate=Gate(runs='nothing'))")
    assert isinstance(unknown, NotFound)
    assert "neither a run nor a golden set 'nothing'" in str(unknown)


def test_what_is_no_golden_set_is_refused(cell: Notebook) -> None:
    """With the reason, and before anything is kept."""
    names = len(list_golden())
    for source, error, why in (
        ("save_golden('x', served.calls())", UsageError, "no answer to expect: it failed"),
        ("save_golden('x', ['nothing'])", NotFound, "no run 'nothing'"),
        ("save_golden('x')", UsageError, "Which calls"),
        ("save_golden('../x', deployment='live')", UsageError, "no name of a golden set"),
        ("save_golden('x', deployment='live', where='false')", NotFound, "would be empty"),
        ("save_golden('x', deployment='nope')", NotFound, "no deployment 'nope'"),
        ("save_golden('x', wanted, inputs=['a'], outputs=['b'])", UsageError, "no column 'a'"),
        ("save_golden('x', wanted)", UsageError, "which runs its lines are"),
        ("load_golden('nothing')", NotFound, "nothing"),
    ):
        refused = cell.fails(source)
        assert isinstance(refused, error), source
        assert why in str(refused)
    assert len(list_golden()) == names
    chosen = cell("save_golden('sampled', deployment='live', last=5, sample=1)")
    assert len(chosen) == 1


def test_a_golden_set_is_deleted(cell: Notebook) -> None:
    """One version of it, or all; what else keeps one stays as it was."""
    for _ in range(2):
        cell("save_golden('brief', deployment='live', last=5, sample=1)")
    client = Client()
    assert delete_golden("brief@1") == 1
    with pytest.raises(NotFound):
        load_golden("brief", 1)
    client.create_model("judge")
    judged = client.create_model_version("judge", "one")
    judged.link("artifact_version", load_golden("brief").artifact.id)
    with pytest.raises(Conflict, match="model 'judge'"):
        delete_golden("brief")
    assert load_golden("brief").artifact.tags == ["golden", "keep"]
    judged.delete()
    assert delete_golden("brief") == 1
    with pytest.raises(NotFound, match="no golden set 'brief'"):
        delete_golden("brief")


def test_a_deployment_has_its_lineage(cell: Notebook) -> None:
    """From what it serves; the same as the client finds."""
    found = cell("served").lineage(direction="up")
    assert [one.label for one in found.roots] == ["live"]
    assert found.snapshots
    assert found.edges == Client().get_lineage(deployment="live", direction="up").edges


# -- limits ----------------------------------------------------------------------------------------


def test_calls_are_answered_while_queries_take_time_and_memory(cell: Notebook) -> None:
    """And recorded: the last one is found at once."""
    client, served = Client(), cell("served")
    hungry = "SELECT len(list(repeat('x', 1000) || i)) FROM range(100000000) t(i)"
    with ThreadPoolExecutor(1) as aside:
        eating = aside.submit(client.sql, hungry)
        answered = 0
        while not eating.done() or answered < 3:
            outputs = served.invoke(customer={"age": 20, "income": answered})
            assert outputs["probability"] == 0.2
            answered += 1
        with pytest.raises(QueryError, match="memory"):
            eating.result()
    assert len(served.calls(where="parameters ->> '$.customer.age' = '20'")) == answered


def test_the_history_goes_out_and_comes_in(cell: Notebook, tmp_path: Path) -> None:
    """From a notebook: a folder of Parquet; what is here already does not come twice."""
    client = Client()
    made = client.export_store(tmp_path / "out")
    assert made["tables"]["runs"] == client.sql("SELECT count(*) FROM runs").rows[0][0]
    assert made["missing"] == 0
    frame = pandas.read_parquet(tmp_path / "out" / "runs.parquet")
    assert len(frame) == made["tables"]["runs"]
    came = client.import_store(tmp_path / "out")
    assert not any(came["tables"].values())
    assert came["damaged"] == 0
    with pytest.raises(UsageError, match="not empty"):
        client.export_store(tmp_path / "out")
