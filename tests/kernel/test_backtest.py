"""Backtests and gates: recorded calls replayed through the pipeline as the notebook has it now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import link
from warmcell.backtests import Backtest
from warmcell.backtests.executing import BacktestInterrupted
from warmcell.client import Client
from warmcell.errors import DeployError, GateRefused, NotFound, QueryError, UsageError

SETUP = """
%load_ext warmcell
import threading
from typing import Annotated
from pydantic import SecretStr
from warmcell import Gate, get_pipeline_context, pipeline, step

import sys, types
marks = sys.modules["marks"] = types.ModuleType("marks")  # a list would be frozen by copy
marks.made, marks.cleaned = [], []
gate = threading.Event()

def load():
    import marks
    marks.made.append(1)
    return {"factor": factor}

def unload(state):
    import marks
    marks.cleaned.append(1)

factor = 2.0
"""
SCORE = """
@step
def score(n: int, note: str) -> Annotated[dict, "answer"]:
    return {"score": n * get_pipeline_context().pipeline_state["factor"],
            "label": "low" if n < 5 else "high", "rows": [{"id": n, "v": 1.0}]}

@pipeline(on_init=load, on_cleanup=unload)
def scoring(n: int, note: str = "-"):
    return score(n, note)
"""
OTHERS = """
@step
def big(n: int) -> tuple[Annotated[bytes, "file"], Annotated[list, "numbers"]]:
    return bytes([n]) * 1_100_000, [1.5 + n] * 40_000

@pipeline
def bulky(n: int):
    return big(n)

@step
def size(text: object) -> int:
    return len(text)

@pipeline
def secretive(password: SecretStr, open: str = "x"):
    return size(open)

@pipeline
def reading(data: bytes):
    return size(data)

@pipeline
def long(text: str):
    return size(text)

@step
def wait(n: int) -> int:
    if n == 3 and held:
        started.set()
        gate.wait(60)
    return n

held, started = False, threading.Event()

@pipeline
def waiting(n: int):
    return wait(n)
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
            made(SCORE)
            made(OTHERS)
            made("served = scoring.deploy('scores')\nfor n in range(10): served.invoke(n=n)")
            yield made
            made("gate.set()")
            made("%unload_ext warmcell")
            link.kernel().close()


@pytest.fixture(autouse=True)
def as_deployed(cell: Notebook) -> Iterator[None]:
    """Each test begins with the code that the calls were served by."""
    yield
    cell("factor = 2.0")
    cell(SCORE)
    cell(OTHERS)


def runs(cell: Notebook) -> int:
    return int(Client().sql("SELECT count(*) FROM runs").rows[0][0])


def test_the_same_code_answers_the_same(cell: Notebook) -> None:
    """Every call is replayed, newest first; nothing is deployed, recorded or left behind."""
    before = runs(cell), len(Client().list_snapshots())
    cell("marks.made.clear(); marks.cleaned.clear()")
    found: Backtest = cell("scoring.backtest()")  # the one deployment of this pipeline
    assert (found.deployment, len(found.rows)) == ("scores", 10)
    assert [row.parameters["n"] for row in found.rows] == list(range(9, -1, -1))
    assert (found.changed, found.errors, found.skipped, found.changes) == ([], [], [], {})
    assert {row.status for row in found.rows} == {"same"}
    assert (runs(cell), len(Client().list_snapshots())) == before
    assert found.latency is not None
    assert found.latency.p95_after >= found.latency.p50_after > 0
    assert "10 the same" in repr(found)
    assert "really executed" in repr(found)
    assert (cell["marks"].made, cell["marks"].cleaned) == ([1], [1])


def test_changed_answers_say_where_and_by_how_much(cell: Notebook) -> None:
    """Numbers in proportion, other things first; the served snapshot is as it was."""
    cell("factor = 3.0")
    cell(SCORE.replace("n < 5", "n < 4"))
    found: Backtest = cell("scoring.backtest('scores')")
    assert found.changed_share == 0.9  # 0 times anything
    first = found.changed[0]
    assert first.parameters["n"] == 4
    assert [str(one) for one in first.differences] == [
        "answer.score: 8.0 -> 12.0",
        "answer.label: 'low' -> 'high'",
    ]
    assert (first.relative, found.relative) == (0.5, 0.5)
    score = found.changes["answer.score"]
    assert (score.count, score.mean, score.largest, score.relative) == (9, 5.0, 9.0, 0.5)
    assert found.changes["answer.label"].other == 1
    assert "9 changed (90.0%)" in found._repr_html_()
    assert first.run_id in repr(found)
    frame = found.to_frame()
    assert list(frame["status"]).count("changed") == 9
    assert cell("served.invoke(n=4)")["answer"]["score"] == 8.0
    within = cell("scoring.backtest('scores', tolerance={'relative': 0.34}, ignore='answer.label')")
    assert within.changed == []


def test_failures_are_errors_and_not_changes(cell: Notebook) -> None:
    """A step that raises, and an input that the draft does not take any more, with the reason."""
    cell(SCORE.replace('return {"score"', 'assert n != 7, "seven"\n    return {"score"'))
    [row] = cell("scoring.backtest('scores')").errors
    assert (row.error.type, row.error.step, row.parameters["n"]) == ("AssertionError", "score", 7)
    cell(SCORE.replace("def scoring(n: int", "def scoring(n: Annotated[int, Le(8)]").replace(
        "@step", "from annotated_types import Le\n@step", 1))  # fmt: skip
    found: Backtest = cell("scoring.backtest('scores')")
    assert [one.error.type for one in found.errors if one.error] == ["ParameterError"]
    assert "Failed now:" in repr(found)


def test_a_parameter_that_is_gone_does_not_fail_its_callers(cell: Notebook) -> None:
    """Where it had its default: nobody knows that it was sent."""
    cell("other = served.invoke(n=1, note='sent')")
    cell(SCORE.replace(', note: str = "-"', "").replace("score(n, note)", "score(n, '')"))
    found: Backtest = cell("scoring.backtest('scores')")
    assert [row.parameters["note"] for row in found.errors] == ["sent"]


def test_calls_are_chosen(cell: Notebook) -> None:
    """By number, time, an SQL condition, a sample that is always the same, and ids."""

    def chosen(options: str) -> list[int]:
        found: Backtest = cell(f"scoring.backtest('scores', {options})")
        return [row.parameters["n"] for row in found.rows]

    newest = cell("served.invoke(n=77)['answer']") and Client().list_runs(1)[0]
    assert chosen("last=1") == [77]
    assert newest.created_at is not None
    assert chosen(f"since={newest.created_at.isoformat()!r}") == [77]
    assert chosen("where=\"(parameters ->> '$.n')::INT IN (3, 5) -- all\"") == [5, 3]
    assert len(chosen("sample=4")) == 4
    assert chosen("last=9, sample=4") == chosen("last=9, sample=4")
    assert chosen(f"runs=[{newest.id!r}]") == [77]
    for wrong, error in (
        ("last=0", UsageError),
        ("last=True", UsageError),
        ("since='soon'", UsageError),
        ("runs=['x'], where='true'", UsageError),
        ("runs=['x']", NotFound),
        ("where='nothing here'", QueryError),
        ("where='false'", NotFound),
        ("ignore='a..b'", UsageError),
        ("tolerance=-1", UsageError),
        ("concurrency=0", UsageError),
        ("timeout=0", UsageError),
        ("unknown=1", UsageError),
    ):
        assert isinstance(cell.fails(f"scoring.backtest('scores', {wrong})"), error), wrong
    assert isinstance(cell.fails("scoring.backtest('nobody')"), NotFound)


def test_what_cannot_be_replayed_is_named(cell: Notebook) -> None:
    """Secrets, files and what is too large are not guessed; a star in a text is no secret."""
    cell("for one in (secretive, reading, long, scoring):\n    one.deploy(one.name + '-odd')")
    cell(
        "client = __import__('warmcell').Client()\n"
        "client.invoke('secretive-odd', password='hush')\n"
        "client.invoke('secretive-odd', password='')\n"
        "client.invoke('long-odd', text='x' * 300_000)\n"
        "client.invoke('long-odd', text='**********')\n"
        "failed = client.get_deployment('scoring-odd').submit(n=1)\n"
    )
    found: Backtest = cell("secretive.backtest()")
    assert found.reasons() == {"`password` is redacted in the history": 1}
    assert len(found.rows) == 1
    assert "1 call not replayed: `password` is redacted" in repr(found)
    found = cell("long.backtest()")
    assert list(found.reasons()) == [
        "`text` was too large to be recorded: the history has a description of it only"
    ]
    assert [row.parameters for row in found.rows] == [{"text": "**********"}]
    assert "nothing was compared" in repr(Backtest("a", "b"))


def test_large_outputs_are_compared(cell: Notebook) -> None:
    """Those that the history keeps as files: bytes by their digest, long JSON by its places."""
    cell("bulky.deploy()\nfor n in (1, 2): __import__('warmcell').Client().invoke('bulky', n=n)")
    found: Backtest = cell("bulky.backtest()")
    assert [row.status for row in found.rows] == ["same", "same"]
    cell(OTHERS.replace("bytes([n])", "bytes([1])").replace("1.5 + n", "2.5 + n"))
    second, first = cell("bulky.backtest()").rows
    assert (second.count, first.count) == (40_001, 40_000)
    assert second.differences[0].path == "file.digest"
    assert str(first.differences[0]) == "numbers[0]: 2.5 -> 3.5"
    assert len(first.differences) == 1000


def test_a_call_that_takes_too_long_ends(cell: Notebook) -> None:
    """It is an error, the others go on beside it, and one that ends late is not counted twice."""
    cell("waits = waiting.deploy()\nfor n in range(6): waits.invoke(n=n)")
    cell("held = True")
    found: Backtest = cell("waiting.backtest(timeout=0.3, concurrency=2)")
    assert [row.status for row in found.rows] == ["same", "same", "error", "same", "same", "same"]
    [row] = found.errors
    assert row.error is not None
    assert row.error.type == "RunTimedOut"


def test_interrupt_ends_a_backtest(cell: Notebook) -> None:
    """The cell is free again, and the call in flight was told to stop."""
    cell("waits = waiting.deploy()\nfor n in (3, 4): waits.invoke(n=n)")
    cell("held = True; started.clear()")

    def interrupt() -> None:
        if cell["started"].wait(30):
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    error = cell.fails("waiting.backtest(last=2)")
    assert isinstance(error, BacktestInterrupted)
    assert "interrupted after 1 of 2 calls" in str(error)


def test_middleware_is_named_and_not_replayed(cell: Notebook) -> None:
    """What it adds to answers is a difference that a note explains."""
    cell(
        "def stamped(request, call_next):\n"
        "    response = call_next(request)\n"
        "    response.outputs = {**response.outputs, 'by': 'me'}\n"
        "    return response\n"
        "scoring.deploy('stamped', custom_middlewares=[stamped]).invoke(n=1)"
    )
    found: Backtest = cell("scoring.backtest('stamped')")
    assert [one.path for one in found.rows[0].differences] == ["by"]
    assert "Middleware is not replayed" in repr(found)


def test_the_magics_say_the_same(cell: Notebook) -> None:
    """%backtest takes the options of the method, %deploy a gate."""
    found: Backtest = cell("%backtest scoring scores --last 3 --ignore answer.rows[*].id")
    assert (found.deployment, len(found.rows)) == ("scores", 3)
    assert isinstance(cell.fails("%backtest scoring scores --last 0"), UsageError)
    cell("strict = Gate(min_runs=1, max_changed=0)\nfactor = 4.0")
    assert isinstance(cell.fails("%deploy scoring scores --gate strict"), GateRefused)
    assert isinstance(cell.fails("%deploy scoring scores --gate nothing"), UsageError)


# -- gates -----------------------------------------------------------------------------------


def test_a_gate_refuses_what_breaks_its_bounds(cell: Notebook) -> None:
    """With the figures and the answers; the served snapshot stays, and the draft's state goes."""
    cell("gated = scoring.deploy('gated')\nfor n in range(25): gated.invoke(n=n)")
    number = cell("gated.snapshot")
    cell("factor = 3.0; marks.made.clear(); marks.cleaned.clear()")
    error = cell.fails("scoring.deploy('gated', gate=Gate())")
    assert isinstance(error, GateRefused)
    assert isinstance(error, DeployError)
    assert "24 of 25 answers changed, 96.0% (at most 2.0%)" in str(error)
    assert len(error.backtest.changed) == 24
    assert (cell["marks"].made, cell["marks"].cleaned) == ([1], [1])
    assert cell("gated.refresh().snapshot") == number
    assert cell("gated.invoke(n=1)")["answer"]["score"] == 2.0
    wide = "{'max_changed': 1, 'max_relative': 0.4}"
    assert "a number changed by 50.0%" in str(cell.fails(f"scoring.deploy('gated', gate={wide})"))
    cell(SCORE.replace('return {"score"', 'assert n\n    return {"score"'))
    failing = cell.fails("scoring.deploy('gated', gate=Gate(max_changed=None))")
    assert "1 of 26 calls failed (at most 0)" in str(failing)
    cell(SCORE)
    cell("passed = scoring.deploy('gated', gate={'max_changed': 1.0})")
    assert cell("passed.invoke(n=1)")["answer"]["score"] == 3.0
    [last, *_] = cell("passed.history()")
    assert last["detail"]["gate"]["changed"] == 25
    assert cell["marks"].cleaned == [1] * 3


def test_a_gate_can_be_a_function(cell: Notebook) -> None:
    """It gets the backtest and says yes, no or why not; anything else is an error."""
    assert "was None" not in str(cell.fails("scoring.deploy('scores', gate=lambda found: None)"))
    assert "not on a Friday" in str(
        cell.fails("scoring.deploy('scores', gate=lambda found: 'not on a Friday')")
    )
    assert "returned False" in str(
        cell.fails("scoring.deploy('scores', gate=lambda found: len(found.rows) < 3)")
    )
    assert cell("scoring.deploy('scores', gate=lambda found: not found.changed).name") == "scores"


def test_too_few_calls_do_not_pass_a_gate(cell: Notebook) -> None:
    """Unless it says that so few will do; a gate that is none is refused before anything runs."""
    error = cell.fails("scoring.deploy('brand-new', gate=True)")
    assert "0 calls could be compared, and at least 20 are wanted" in str(error)
    assert "min_runs=0" in str(error)
    assert cell("scoring.deploy('brand-new', gate=Gate(min_runs=0)).name") == "brand-new"
    cell("marks.made.clear()")
    for wrong in ("False", "3", "{'max_change': 1}", "Gate(max_changed=2)", "Gate(min_runs=-1)"):
        assert isinstance(cell.fails(f"scoring.deploy('scores', gate={wrong})"), UsageError), wrong
    assert cell["marks"].made == []


def test_options_that_are_none_are_named_at_once(cell: Notebook) -> None:
    """Before anything is captured or executed, with what was meant."""
    for call, said in (
        ("scoring.backtest(nosuch=1)", "It takes last, since, where"),
        ("scoring.backtest(tolerence=1)", "Did you mean `tolerance`?"),
        ("scoring.deploy(trafic=0.1)", "Did you mean `traffic`?"),
        ("scoring.deploy(replica=2)", "Did you mean 'replicas'?"),
        ("scoring.deploy(gate=Gate(last='x'))", "last='x' is not a number of calls"),
    ):
        error = cell.fails(call)
        assert isinstance(error, UsageError)
        assert said in str(error), error


def test_a_gate_judges_times_that_grew_enough() -> None:
    """By the ratio, unless the difference is within the margin."""
    from warmcell.backtests import Gate, Row

    def found(before: float, after: float) -> Any:
        made = Backtest("p", "d")
        made.rows += [Row("r", "", 1, {}, {}, None, before, after) for _ in range(20)]
        return made

    assert Gate().broken(found(0.1, 0.14)) == []
    assert Gate().broken(found(0.001, 0.004)) == []
    [broken] = Gate().broken(found(0.1, 0.2))
    assert "2.00 times" in broken
    assert Gate(max_p95_ratio=None).broken(found(0.1, 0.2)) == []
    assert "2.00 times" in Gate(p95_margin=0).broken(found(0.001, 0.002))[0]
