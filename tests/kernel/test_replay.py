"""``%replay``: a run of the history in a notebook, step by step."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.gates import wait_until
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Cell, Kernel
from warmcell.ids import new_id
from warmcell.notebook.unrolled import failed_line, unrolled
from warmcell.pipelines import Pipeline, pipeline
from warmcell.runner.stepping import Stepping
from warmcell.steps import Step, step

CELLS = (
    "%load_ext warmcell\nimport asyncio, os, pydantic\n"
    "from warmcell import Client, get_pipeline_context, get_step_context, pipeline, step",
    "class Customer(pydantic.BaseModel):\n    name: str\n    age: int = 30\n"
    "factor = 2\n"
    "def scaled(x):\n    return x * factor",
    "%%step\ndef features(customer: Customer) -> dict:\n"
    "    print('features of', customer.name)\n    return {'age': scaled(customer.age)}",
    '%%step\ndef score(table: dict, limit: float) -> float:\n    """How far."""\n'
    "    if table['age'] > 500:\n        return -1.0\n"
    "    left = limit - table['age']\n    # the larger the better\n    return scaled(100) / left",
    "%%step verdict(p) -> text\ntext = f'{p:.1f}'",
    "%%pipeline\ndef churn(customer: Customer, limit: float = 72) -> str:\n"
    "    return verdict(score(features(customer), limit))",
    "@step\nasync def wait(x: int) -> int:\n    await asyncio.sleep(0)\n    return x + 1\n"
    "@step\ndef risky(x: int) -> int:\n"
    "    if x > 3:\n        raise ValueError('too many')\n    return x * 2\n"
    "@step\ndef stated(x: int) -> int:\n    return x + get_step_context().pipeline_state['more']\n"
    "def load():\n    return {'more': 1000, 'pid': os.getpid()}\n"
    "@pipeline(on_init=load)\ndef eager(n: int) -> list:\n"
    "    found = []\n    for i in range(n):\n"
    "        if i % 2:\n            found.append(wait(i))\n        else:\n"
    "            found.append(risky(i))\n    return [stated(x) for x in found]",
    "@step\ndef login(user: dict, key: pydantic.SecretStr) -> str:\n"
    "    return user['name'] + key.get_secret_value()\n"
    "@pipeline\ndef secretive(user: dict, key: pydantic.SecretStr) -> str:\n"
    "    return login(user, key)",
    "for one in (churn, eager, secretive):\n    one.deploy(one.name)",
)


@pytest.fixture(scope="module")
def author(jupyter_server: JupyterServer) -> Kernel:
    """The notebook that made the deployments; its code has changed since."""
    made = jupyter_server.kernel("author.ipynb")
    for cell in CELLS:
        made.run(cell)
    for name in ("churn", "eager", "secretive"):
        path = f"warmcell/api/v1/deployments/{name}"
        wait_until(lambda at=path: jupyter_server.get(at).json()["stored"] == "stored")  # type: ignore[misc]
    made.run("factor = 1000\nlimit = 'mine'")
    made.run("%%step\ndef score(table: dict, limit: float) -> float:\n    return 0.0")
    return made


@pytest.fixture(scope="module")
def stranger(jupyter_server: JupyterServer, author: Kernel) -> Kernel:
    """A notebook that knows nothing of it."""
    made = jupyter_server.kernel("stranger.ipynb")
    made.run("%load_ext warmcell")
    return made


@pytest.fixture
def called(jupyter_server: JupyterServer, author: Kernel) -> Callable[..., str]:
    """Call a deployment; returns the id of the run, whether it succeeded or not."""

    def call(name: str, **parameters: Any) -> str:
        answer = jupyter_server.invoke(name, parameters).json()
        return str(answer["metadata"]["run_id"] if "metadata" in answer else answer["run_id"])

    return call


def next_cell(kernel: Kernel) -> str:
    """The cell that the last one put below itself."""
    replies = [m for m in kernel.messages if m["header"]["msg_type"] == "execute_reply"]
    (payload,) = replies[-1]["content"]["payload"]
    assert (payload["source"], payload["replace"]) == ("set_next_input", False)
    text: str = payload["text"]
    return text


def raised(cell: Cell) -> str:
    return f"{cell.ename}: {cell.evalue}"


def test_a_failed_run_stops_where_it_failed(author: Kernel, called: Callable[..., str]) -> None:
    """In the notebook that serves it: inputs and values are variables, code that was changed since
    is neither used nor replaced, and the step that failed waits with its lines in a new cell."""
    run = called("churn", customer={"name": "ada", "age": 36})
    shown = author.run(f"%replay {run}")
    below = next_cell(author)
    assert "its steps are executed again" in shown.stdout
    assert "features of ada" in shown.stdout
    assert "as this kernel serves it): waiting" in shown.text
    assert "In the run score raised ZeroDivisionError" in shown.text
    assert (shown.result or {})["text/html"].count("<tr>") == 4
    assert author.run("customer").text == "Customer(name='ada', age=36)"
    assert author.value("[limit, features_output, table, replay.next, replay.replaced]") == [
        72, {"age": 72}, {"age": 72}, "score", {"limit": "mine"},
    ]  # fmt: skip
    assert author.value("[type(limit).__name__, type(features).__name__]") == ["int", "Step"]
    assert [line for line in below.splitlines() if not line.startswith("# ")] == [
        "%%replay score", "if table['age'] > 500:", "    return -1.0",
        "left = limit - table['age']", "score_output = scaled(100) / left", "score_output",
    ]  # fmt: skip
    lines = below.splitlines()
    at = lines.index("score_output = scaled(100) / left")
    assert lines[at - 1] == "# In the run this raised ZeroDivisionError: division by zero"
    by_hand = author.run(below, check=False)
    assert raised(by_hand) == "ZeroDivisionError: division by zero"
    assert author.value("left") == 0
    again = author.run("%%replay\nleft = 4\nscaled(100) / left").text
    assert again == "50.0"  # by the factor of the snapshot
    assert author.run("%%replay score\nif left:\n    return left + 1").text == "5"
    assert author.value("score_output") == 5
    failed = author.run("replay.step()", check=False)
    assert raised(failed) == "ZeroDivisionError: division by zero"
    assert "replayed.py" not in "".join(failed.traceback)
    assert author.value("[replay.status, replay.next]") == ["failed", None]
    assert author.run("replay.resume()", check=False).ename == "UsageError"
    assert author.value("churn(Customer(name='b', age=1)).outputs") == {"text": "0.0"}


def test_another_notebook_replays_it_too(stranger: Kernel, called: Callable[..., str]) -> None:
    """From the stored form, in names of its own: nothing but the variables appears."""
    run = called("churn", customer={"name": "ada", "age": 36})
    before = set(stranger.value("[name for name in globals() if not name.startswith('_')]"))
    shown = stranger.run(f"%replay {run}")
    assert "score_output = scaled(100) / left" in next_cell(stranger)
    assert "as it is stored): waiting" in shown.text
    after = set(stranger.value("[name for name in globals() if not name.startswith('_')]"))
    assert after - before == {"customer", "limit", "features", "table", "replay"}
    assert stranger.value("[features, replay['features'], replay.arguments]") == [
        {"age": 72}, {"age": 72}, {"table": {"age": 72}, "limit": 72},
    ]  # fmt: skip
    failed = stranger.run("replay.step()", check=False)
    assert raised(failed) == "ZeroDivisionError: division by zero"


def test_a_run_that_succeeded_is_compared(author: Kernel, called: Callable[..., str]) -> None:
    """All its steps are executed and nothing waits; or up to a step, or none; on another snapshot
    the differences are shown."""
    run = called("churn", customer={"name": "ada", "age": 35})
    shown = author.run(f"%replay {run}").text
    assert "succeeded" in shown
    assert "The answer is that of the run." in shown
    author.run(f"wanted = '{run}'\n%replay {{wanted}} --until verdict")
    assert author.value("[replay.next, replay['score'], list(replay.arguments)]") == [
        "verdict", 100.0, ["p"],
    ]  # fmt: skip
    assert author.value("replay.step()") == "100.0"
    assert author.value("[replay.status, replay.outputs]") == ["succeeded", {"text": "100.0"}]
    held = author.run(f"%replay {run} --hold")
    assert (held.stdout, author.value("[replay.next, replay.run.status]")) == (
        "", ["features", "succeeded"],
    )  # fmt: skip
    assert author.value("replay.resume()") == {"text": "100.0"}
    author.run("number = churn.deploy('changed').snapshot")
    shown = author.run(f"%replay {run} --snapshot {author.value('number')}").text
    assert "differs from that of the run in 1 places" in shown
    assert "text: '100.0' -> '0.0'" in shown
    unknown = author.run(f"%replay {run} --until scoer", check=False)
    assert "no step 'scoer'" in unknown.evalue
    assert "score" in unknown.evalue


def test_a_body_with_branches_is_held_in_the_middle(
    author: Kernel, stranger: Kernel, called: Callable[..., str]
) -> None:
    """Plain Python between steps, async steps, and the state that `on_init` made: of the binding
    where this kernel serves it, else made for the replay."""
    run = called("eager", n=6)
    for kernel in (author, stranger):
        kernel.run(f"%replay {run}")
        assert kernel.value("[replay.next, replay.arguments, sorted(replay.variables)]") == [
            "risky_3", {"x": 4}, ["n", "risky", "risky_2", "wait", "wait_2"],
        ]  # fmt: skip
        assert kernel.value("[replay['wait_2'], replay.state['more']]") == [4, 1000]
        made_here = kernel.value("replay.state['pid']")
        assert made_here == kernel.pid
        failed = kernel.run("replay.resume()", check=False)
        assert raised(failed) == "ValueError: too many"
    good = called("eager", n=3)
    author.run(f"%replay {good} --until stated_2")
    assert author.value("replay['stated']") == 1000
    assert author.value("replay.step()") == 1002
    assert author.value("replay.next") == "stated_3"
    assert author.value("list(replay.resume().values())") == [[1000, 1002, 1004]]
    author.run(f"%replay {good} --hold\nwaiting = replay")
    author.run("waiting.close()")
    assert author.value("waiting.status") == "cancelled"


def test_what_was_not_recorded_is_asked_for(author: Kernel, called: Callable[..., str]) -> None:
    """A secret by a variable's name, what was too large too; a run of a cell and an id that is
    none say the way out."""
    run = called("secretive", user={"name": "ada"}, key="hunter2")
    refused = author.run(f"%replay {run}", check=False)
    assert refused.ename == "ParameterError"
    assert "key: it is a secret" in refused.evalue
    assert f"%replay {run} --set key=" in refused.evalue
    author.run("mine = pydantic.SecretStr('abc')")
    author.run(f"%replay {run} --set key=mine")
    assert author.value("[replay.outputs, replay.inputs['key'].get_secret_value()]") == [
        {"output": "adaabc"}, "abc",
    ]  # fmt: skip
    author.run(f"%replay {run} --set key=mine user.name='bob'")
    assert author.value("replay.outputs") == {"output": "bobabc"}
    large = called("secretive", user={"name": "x" * 300_000}, key="k")
    assert "user: the history has only a description" in author.run(
        f"%replay {large} --set key=mine", check=False
    ).evalue  # fmt: skip
    author.run(f"user = {{'name': 'ada'}}\n%replay {large} --set key=mine user=user")
    assert author.value("replay.status") == "succeeded"
    author.run("never = Client().get_deployment('churn').submit(customer={'age': 'x'}).wait(30)")
    refused = author.run(f"%replay {author.value('never.id')}", check=False)
    assert "does not fit snapshot" in refused.evalue
    assert "/parameters/customer/name" in refused.evalue
    author.run("%replay " + author.value("never.id") + " --set customer.name='a' customer.age=1")
    assert author.value("replay.next") == "features"  # none was executed in the run
    author.run("run = churn(Customer(name='b', age=1))")
    refused = author.run(f"%replay {author.value('run.id')}", check=False)
    assert "started in a cell" in refused.evalue
    assert author.run("%replay nothing", check=False).ename == "NotFound"
    assert author.run("%replay", check=False).ename == "UsageError"
    assert author.run(f"%replay {run} --set key", check=False).ename == "UsageError"


def test_an_interrupt_ends_a_replay(author: Kernel, called: Callable[..., str]) -> None:
    """Of a step that runs too long; the kernel goes on."""
    author.run(
        "import pathlib, time\n"
        "@step\ndef slow(path: str) -> int:\n"
        "    while pathlib.Path(path).exists():\n        time.sleep(0.01)\n    return 1\n"
        "@pipeline\ndef slowly(path: str) -> int:\n    return slow(path)\n"
        "slowly.deploy('slowly')\ngate = pathlib.Path('gate').absolute()"
    )
    run = called("slowly", path=author.value("str(gate)"))
    running = author.start(f"gate.touch()\nprint('begins', flush=True)\n%replay {run}")
    assert running.printed.wait(30)
    wait_until(lambda: "executed again" in running.stdout)
    author.interrupt()
    running.wait(check=False)
    assert running.ename in ("KeyboardInterrupt", "RunCancelled")
    assert author.value("1 + 1") == 2


# -- the lines of a step ---------------------------------------------------------------------


def lines(function: Any, **options: Any) -> list[str]:
    made = function if isinstance(function, Step) else step(function)
    return unrolled(made, "result", **options).splitlines()


def test_a_body_becomes_lines() -> None:
    """Without `def`, docstring and indentation; a last `return` is an assignment, texts over
    several lines keep their spaces, and a remark stands above the whole statement."""

    def body(x: int) -> str:
        """What it does."""
        # a remark
        text = """one
            two"""
        if x:
            return "early"
        return (
            text
            + "three"
        )  # fmt: skip

    assert lines(body) == [
        'text = """one', '        two"""', "if x:", '    return "early"', "result = (", "    text",
        '    + "three"', ")  # fmt: skip", "result",
    ]  # fmt: skip
    code = body.__code__
    marked = lines(body, line=code.co_firstlineno + 4, remark="here\nit was")
    assert marked[:2] == ["# here it was", 'text = """one']
    marked = lines(body, line=code.co_firstlineno + 6, remark="here")
    assert marked[3:5] == ["    # here", '    return "early"']
    marked = lines(body, line=code.co_firstlineno + 8, remark="here")
    assert marked[4:6] == ["# here", "result = ("]


def test_short_and_strange_bodies() -> None:
    """One line, nothing to return, a function in a function, and no source at all."""

    def one(x: int) -> int: return x  # fmt: skip

    def nothing(x: int) -> None:
        """Only this."""

    def outer(x: int) -> int:
        def outer(y: int) -> int:
            return y

        return outer(x)

    assert lines(one)[0].startswith("result = x")
    assert lines(nothing) == ["pass"]
    assert lines(outer) == ["def outer(y: int) -> int:", "    return y", "", "result = outer(x)",
                            "result"]  # fmt: skip
    space: dict[str, Any] = {}
    exec(compile("def made(x):\n    return x", "<made>", "exec"), space)
    assert lines(space["made"]) == ["# Its source is not known."]


def test_the_line_of_a_traceback() -> None:
    """That of the step's own function, not of what it called."""

    def failing() -> None: ...

    text = textwrap.dedent("""\
        Traceback (most recent call last):
          File "/tmp/ipykernel_1/2.py", line 7, in failing
            helper()
          File "/tmp/ipykernel_1/1.py", line 3, in helper
            return 1 / 0
        ZeroDivisionError: division by zero
    """)
    assert failed_line(step(failing), text) == 7
    assert failed_line(step(failing), "") is None


# -- step by step ----------------------------------------------------------------------------


@step
def left(x: int) -> int:
    return x + 1


@step
async def right(x: int) -> int:
    return x + 2


@step
def broken(x: int) -> int:
    raise ValueError(x)


@step
def joined(one: int, two: int) -> int:
    return one * two


@pipeline
def branches(x: int) -> Any:
    return joined(left(left(x)), right(right(x)))


@pipeline
def failing(x: int) -> list[int]:
    futures = [left.submit(x), broken.submit(x), right.submit(x)]
    return [future.result(30) for future in futures]


def stepping(made: Pipeline, stops: Callable[[str], bool]) -> Stepping:
    found = Stepping(made, {"x": 1}, stops=stops, run_id=new_id(), state=None)
    found.start()
    return found


@pytest.mark.parametrize("turn", range(3))
def test_branches_run_one_step_at_a_time(turn: int) -> None:
    """From any step on: each `go` executes one, in an order that the graph allows, and the result
    is that of the run."""
    held = stepping(branches, lambda name: True)
    order = []
    while held.outcome is None:
        assert held.held is not None
        order.append(held.held.name)
        before = set(held.values)
        held.go()
        assert set(held.values) - before == {order[-1]}
    assert sorted(order) == ["joined", "left", "left_2", "right", "right_2"]
    assert (order[-1], held.outcome.value) == ("joined", 15)


@pytest.mark.parametrize("turn", range(3))
def test_what_was_submitted_waits_as_well(turn: int) -> None:
    """A step that is held holds those beside it; going on raises its error in the run, and a replay
    that is given up ends."""
    held = stepping(failing, lambda name: name == "broken")
    assert held.held is not None
    assert "broken" in held.waiting
    held.go(math.inf)
    assert held.outcome is not None
    assert isinstance(held.outcome.exception, ValueError)
    given_up = stepping(failing, lambda name: True)
    given_up.stop()
    assert given_up.outcome is not None
    assert (given_up.outcome.status, given_up.values) == ("cancelled", {})
