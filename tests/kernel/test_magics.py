"""What the magics define, in a real IPython shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import link
from warmcell.errors import DefinitionError, UsageError
from warmcell.magics import WarmcellMagics
from warmcell.options import Retry, StepOptions
from warmcell.pipelines import Pipeline
from warmcell.steps import OutputSpec, Step


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A notebook with the magics, and an empty store for those of its cells that run something."""
    monkeypatch.setenv("WARMCELL_HOME", str(tmp_path / "store"))
    with notebook() as made:
        made.shell.register_magics(WarmcellMagics)
        yield made
    link.kernel().close()


class TestDefCells:
    def test_the_last_function_is_the_step(self, cell: Notebook) -> None:
        """Helpers, imports and constants of the cell stay ordinary variables."""
        cell(
            "%%step\nimport math\nTWO = 2\ndef half(x): return x / TWO\ndef root(x):\n"
            "    'Its help.'\n    return math.sqrt(half(x))\n"
        )
        assert isinstance(cell["root"], Step)
        assert not isinstance(cell["half"], Step)
        assert cell["root"](8) == 2
        assert cell["root"].__doc__ == "Its help."
        assert cell["root"].source.cell == "In[1]"
        assert cell.shown == ""

    def test_defined_and_called_in_the_same_cell(self, cell: Notebook) -> None:
        """The rest of the cell uses the step; a last expression shows its value."""
        cell(
            "%%step\ndef double(x): return 2 * x\nfirst = double(4)\nkind = type(double).__name__\n"
            "double(21)"
        )
        assert cell["first"] == 8
        assert cell["kind"] == "Step"
        assert "42" in cell.shown

    def test_redefinition_leaves_nothing_behind(self, cell: Notebook) -> None:
        """Running a cell again makes a new step; the old object still works for who holds it."""
        cell("%%step\ndef f(x) -> int: return x")
        old = cell["f"]
        before = set(cell.shell.user_ns)
        cell("%%step --retries 2\ndef f(y): return y + 1")
        assert cell["f"] is not old
        assert list(cell["f"].inputs.parameters) == ["y"]
        assert cell["f"].options.retry == Retry(2)
        assert (old(1), cell["f"](1)) == (1, 2)
        assert {n for n in set(cell.shell.user_ns) - before if not n.startswith("_i")} == set()

    def test_a_failing_cell_changes_nothing(self, cell: Notebook) -> None:
        """Whatever line fails, every variable is as it was before."""
        cell("x = 1\n")
        cell("%%step\ndef f(): return 'old'")
        old = cell["f"]
        error = cell.fails("%%step\nx = 2\nfresh = 3\ndef f(): return 'new'\nf()\n1 / 0\n")
        assert isinstance(error, ZeroDivisionError)
        assert cell["f"] is old
        assert cell["x"] == 1
        assert "fresh" not in cell

    def test_a_traceback_shows_the_line_of_the_cell(self, cell: Notebook) -> None:
        """Both an error while defining and one inside the step point at the cell's own line."""
        cell.fails("%%step\n\ndef f(): return 1\nundefined_name\n")
        assert "Cell In[1], line 4" in cell.shown
        assert "----> 4 undefined_name" in cell.shown
        assert "cells.py" not in cell.shown
        assert "run_cell_magic" not in cell.shown
        cell("%%step --retries 1\n\n\ndef f(x):\n    return 1 / x\n")
        cell.fails("f(0)")
        assert "Cell In[2], line 5" in cell.shown
        assert "----> 5     return 1 / x" in cell.shown

    def test_a_syntax_error_names_the_cell_and_line(self, cell: Notebook) -> None:
        """A typing error is shown at its place, without our frames."""
        error = cell.fails("%%step\ndef f(x):\n    return x +\n")
        assert isinstance(error, DefinitionError)
        assert "Cell In[1], line 3" in cell.shown
        assert "warmcell" not in cell.shown

    def test_shell_lines_and_line_magics_work(self, cell: Notebook) -> None:
        """`!cmd` and `%line` are what they are in any cell, also inside the function."""
        cell(
            "%%step\nhere = !echo outside\ndef f():\n    out = !echo inside\n"
            "    there = %pwd\n    return list(out), there\n"
        )
        assert list(cell["here"]) == ["outside"]
        assert cell["f"]() == (["inside"], cell("%pwd"))

    def test_async_steps_and_top_level_await(self, cell: Notebook) -> None:
        """An `async def` is an async step, and `await` outside of it works as in any cell."""
        cell(
            "%%step\nimport asyncio\nawait asyncio.sleep(0)\nasync def f(x):\n"
            "    await asyncio.sleep(0)\n    return x\nresult = await f(5)\nawait f(6)\n"
        )
        assert cell["result"] == 5
        assert cell["f"].is_async
        assert "6" in cell.shown

    def test_a_generator_is_a_step(self, cell: Notebook) -> None:
        """Its value in a run is what it yielded."""
        cell("%%step\ndef f(n: int = 2):\n    yield from range(n)")
        cell("%%pipeline\ndef p():\n    return f(3)")
        cell("ran = p()")
        assert cell["ran"].outputs == {"output": [0, 1, 2]}

    def test_future_imports_of_the_notebook_hold(self, cell: Notebook) -> None:
        """`from __future__ import annotations` in one cell holds in a step cell, as elsewhere."""
        cell("from __future__ import annotations")
        cell("%%step\ndef f(x: Missing): return x")
        assert cell["f"].function.__annotations__ == {"x": "Missing"}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("%%step\nx = 1\n", r"%%step cell In\[1\] defines no function"),
            ("%%pipeline\nx = 1\n", r"%%pipeline cell In\[1\] defines no function"),
            ("%%step\nclass A:\n    def f(self): ...", "defines no function"),
            (
                "%%step\nfrom typing import Annotated as A\n"
                'def f() -> tuple[A[int, "a"], A[int, "a"]]: ...',
                r"`f` \(In\[1\]\) has two outputs named `a`",
            ),
            (
                "%%step\nfrom warmcell import step\n@step\ndef f(): ...",
                r"`f` \(In\[1\]\) is a step already",
            ),
            ("%%step --name 9a\ndef f(): ...", "'9a' cannot name a step"),
        ],
    )
    def test_errors_name_the_cell_and_the_fix(
        self, cell: Notebook, text: str, message: str
    ) -> None:
        """A definition that cannot work is one line with the cell, the name and the way out."""
        error = cell.fails(text)
        assert isinstance(error, DefinitionError)
        assert error.hint
        with pytest.raises(DefinitionError, match=message):
            raise error
        assert cell.shown.strip().splitlines() == [f"DefinitionError: {error}"]
        assert "f" not in cell


class TestPlainCells:
    def test_inputs_and_outputs_on_the_first_line(self, cell: Notebook) -> None:
        """The body reads the notebook's variables and assigns the output; nothing else leaks."""
        cell("weight = 3")
        cell(
            "%%step score(features, bias=1) -> probability\n"
            "total = sum(features) * weight\nprobability = total + bias\n"
        )
        score = cell["score"]
        assert score([1, 2]) == 10
        assert score.outputs == (OutputSpec("probability"),)
        assert score.source.text.startswith("%%step score(features, bias=1) -> probability\n")
        assert "total" not in cell
        assert "probability" not in cell
        cell("weight = 0")
        assert score([1, 2]) == 1

    def test_several_outputs_with_types(self, cell: Notebook) -> None:
        """Outputs may carry types; several come back as a tuple."""
        cell(
            "%%step split(x: list[int], *, at: int = 1) -> left: list[int], right: dict[str, int]\n"
            "left, right = x[:at], x[at:]\n"
        )
        assert cell["split"]([1, 2, 3]) == ([1], [2, 3])
        assert cell["split"].outputs == (
            OutputSpec("left", list[int]),
            OutputSpec("right", dict[str, int]),
        )
        assert cell["split"].inputs.parameters["at"].annotation is int

    def test_the_last_expression_is_the_output(self, cell: Notebook) -> None:
        """Without `->` the step gives what the cell would have shown."""
        cell("%%step twice(x)\ny = x\n2 * y")
        assert cell["twice"](4) == 8
        assert cell["twice"].outputs == (OutputSpec("output"),)

    def test_no_inputs(self, cell: Notebook) -> None:
        """A step may take nothing."""
        cell("%%step start() -> x\nx = 1")
        cell("%%step begin -> x\nx = 2")
        assert (cell["start"](), cell["begin"]()) == (1, 2)

    def test_run_uses_and_sets_variables(self, cell: Notebook) -> None:
        """--run calls the step with the variables of its inputs' names and binds its outputs."""
        cell("a = 5")
        cell("%%step calc(a, b=2) -> total, rest --run\ntotal, rest = a + b, a - b\n")
        assert (cell["total"], cell["rest"]) == (7, 3)
        error = cell.fails("%%step other(missing) -> y --run\ny = missing\n")
        assert isinstance(error, UsageError)
        assert "'missing'" in str(error)
        assert "(In[3])" in str(error)
        assert "other" not in cell
        cell.fails("%%step inverse(a) -> y --run\n\ny = a / 0\n")
        assert cell.shown.count("Cell In[") == 1
        assert "Cell In[4], line 3" in cell.shown
        assert "inverse" not in cell

    def test_await_makes_it_async(self, cell: Notebook) -> None:
        """A body that awaits is an async step, which --run runs."""
        cell("x = 7")
        cell("%%step wait(x) -> y --run\nimport asyncio\ny = await asyncio.sleep(0, x)\n")
        assert cell["wait"].is_async
        assert cell["y"] == 7

    def test_shell_lines_work(self, cell: Notebook) -> None:
        """`!cmd` with a variable of the step works."""
        cell("%%step shout(word) -> out\nlines = !echo {word}\nout = list(lines)\n")
        assert cell["shout"]("hi") == ["hi"]

    def test_line_numbers_are_those_of_the_cell(self, cell: Notebook) -> None:
        """A traceback from inside shows the right line of the right cell."""
        cell("%%step f(x) -> y\n\n# why\ny = 1 / x\n")
        cell.fails("f(0)")
        assert "Cell In[1], line 4" in cell.shown
        assert "----> 4 y = 1 / x" in cell.shown

    def test_options_after_the_signature(self, cell: Notebook) -> None:
        """Options come after the signature and name variables of the notebook."""
        cell("class Hooks:\n    @staticmethod\n    def alert(error): ...\n")
        cell(
            "%%step f(x={'a-b': [1, -1]}) -> y --retries 3 --retry-delay 0.5 --retry-on OSError "
            "KeyError --timeout 2 --on-failure Hooks.alert --tags red blue --name my-step\ny = x\n"
        )
        step = cell["f"]
        assert step.name == "my-step"
        assert step.options == StepOptions(
            retry=Retry(3, delay=0.5, on=(OSError, KeyError)),
            timeout=2.0,
            on_failure=cell["Hooks"].alert,
            tags=("red", "blue"),
        )
        assert step() == {"a-b": [1, -1]}

    @pytest.mark.parametrize(
        ("text", "kind", "message"),
        [
            (
                "%%step f(x) -> y\nz = x",
                DefinitionError,
                r"'f' \(In\[1\]\) names the output 'y', but the cell never assigns it",
            ),
            ("%%step f(x) -> result\nresults = x", DefinitionError, "Did you mean `results`"),
            ("%%step f(x) -> y\nreturn x", DefinitionError, r"\(In\[1\]\): line 2 .* `return`"),
            (
                "%%step f(x) -> y\ntotal += x\ny = total",
                DefinitionError,
                r"line 2 of the cell reads 'total' before.*f\(x, total\)",
            ),
            ("%%step f(x) -> y\ny = g(df)\ndf = 1", DefinitionError, "reads 'df' before"),
            ("%%step f(x -> y\ny = x", UsageError, "is not a signature"),
            ("%%step f(x) -> y, y\ny = x", UsageError, "two outputs named 'y'"),
            ("%%step f(x) ->\ny = x", UsageError, "no output after `->`"),
            ("%%step f(x) -> 3\ny = x", UsageError, "'3' cannot name an output"),
            ("%%step f(*x) -> y\ny = x", UsageError, "need names"),
            ("%%step f\ny = x", UsageError, "neither inputs nor an output.*--name f"),
            (
                "%%step f(x) -> y --retires 3\ny = x",
                UsageError,
                "has no option --retires. Did you mean --retries",
            ),
            ("%%step f(x) -> y --retries many\ny = x", UsageError, "--retries.*'many'"),
            (
                "%%step f(x) -> y --on-failure alrt\ny = x",
                UsageError,
                "--on-failure names 'alrt', which is not defined",
            ),
            ("%%step --run\ndef f(): ...", UsageError, "--run goes with inputs on the first line"),
            ("%%step f(x) -> y --timeout -1\ny = x", DefinitionError, "`timeout`"),
        ],
    )
    def test_errors_name_what_is_wrong(
        self, cell: Notebook, text: str, kind: type[Exception], message: str
    ) -> None:
        """A wrong first line or body is one line naming the cell or option, and nothing changes."""
        error = cell.fails(text)
        with pytest.raises(kind, match=message):
            raise error
        assert len(cell.shown.strip().splitlines()) == 1
        assert "f" not in cell

    @pytest.mark.parametrize(
        "body",
        [
            "import numpy as np\ny = np.add(x, 1)",
            "rows = [row for row in [x]]\nrow = 1\ny = rows[0] + row",
            "for i in [x]:\n    y = i + 1",
            "def helper(): return y\ny = x + 1\nhelper()",
            "if (n := x) > 0:\n    y = n + 1\nelse:\n    y = 2",
            "try:\n    y = x + 1\nexcept ValueError as e:\n    y = str(e)",
            "with open('/dev/null') as f:\n    f.read()\ny = x + 1",
            "class A:\n    z = 1\ny = x + A.z",
            "match x:\n    case int(n):\n        y = n + 1",
            "y = 0\ny += x + 1",
            "total: int\ntotal = x\ny = total + 1",
            "f = lambda x: x + 1\ny = f(x)",
            "global g\ng = x\ny = g + 1",
            "x = x + 1\ny = x",
            "key = 1\ny = x + max(key for key in [1])",
        ],
    )
    def test_ordinary_bodies_are_fine(self, cell: Notebook, body: str) -> None:
        """No false alarm for ordinary code that binds names in every way Python has."""
        cell(f"%%step f(x) -> y\n{body}")
        assert cell["f"](1) == 2


class TestPipelines:
    def test_a_pipeline_of_cells(self, cell: Notebook) -> None:
        """Steps of several cells, in both forms, are traced in the pipeline that calls them."""
        cell("%%step\ndef features(n: int) -> list: return [n, n]")
        cell("%%step score(features) -> probability\nprobability = sum(features)")
        cell("%%pipeline\ndef churn(n: int = 2):\n    return score(features(n))")
        churn = cell["churn"]
        assert isinstance(churn, Pipeline)
        assert {step.name for step in churn.steps} == {"features", "score"}
        assert churn.graph() is not None
        assert churn.source.cell == "In[3]"

    def test_in_any_order(self, cell: Notebook) -> None:
        """The pipeline may be defined before its steps."""
        cell("%%pipeline\ndef p(n):\n    return late(n)")
        cell("%%step late(n) -> m\nm = n + 1")
        assert [step.name for step in cell["p"].steps] == ["late"]

    def test_options(self, cell: Notebook) -> None:
        """Options of the magic are those of the decorator."""
        cell(
            "def load(path, n): ...\ndef close(state): ...\nwhere = 'x'\nlimits = {'timeout': 1}\n"
            "from warmcell import pipeline, Retry"
        )
        cell(
            "%%pipeline --on-init load --init path=where n=3 --on-cleanup close --retries 2 "
            "--execution-mode fail_fast --settings limits --name other\ndef p(): ..."
        )
        cell(
            "@pipeline(on_init=load, on_init_kwargs={'path': 'x', 'n': 3}, on_cleanup=close,\n"
            "    retry=Retry(2), execution_mode='fail_fast', settings=limits, name='other')\n"
            "def q(): ..."
        )
        assert cell["p"].options == cell["q"].options
        assert cell["p"].name == cell["q"].name == "other"

    def test_shell_lines_do_not_hide_the_graph(self, cell: Notebook) -> None:
        """A line magic elsewhere in the cell leaves the graph of the pipeline static."""
        cell("%%step\ndef f(x): return x")
        cell("%%pipeline\nhere = %pwd\ndef p(x):\n    return f(x)")
        assert cell["p"].graph() is not None

    def test_deploy_needs_a_pipeline(self, cell: Notebook) -> None:
        """%deploy of something else, or of nothing, says what there is."""
        cell("%%pipeline\ndef churn(): ...")
        cell("model = 1")
        for line, message in [
            ("%deploy chrun", "Did you mean `churn`"),
            ("%deploy model", "'model' is a int, not a pipeline"),
            ("%deploy", "PIPELINE"),
            ("%deploy churn --over", "has no option --over. Did you mean --overtake"),
        ]:
            error = cell.fails(line)
            with pytest.raises(UsageError, match=message):
                raise error

    def test_pipelines_are_listed(self, cell: Notebook) -> None:
        """%pipelines shows the pipelines among the variables, as text and as HTML."""
        assert "No pipelines yet" in repr(cell("%pipelines"))
        cell("%%step\ndef f(x): return x")
        cell("%%pipeline\ndef p(x: int):\n    return f(x)")
        table = cell("%pipelines")
        assert table.rows == [["p", "(x: int)", "f"]]
        assert repr(table).splitlines()[0].split() == ["pipeline", "inputs", "steps"]
        assert "<td>(x: int)</td>" in table._repr_html_()


class TestHelp:
    @pytest.mark.parametrize(
        ("magic", "words"),
        [
            ("%%step", ["%%step", "--retries N", "score(features) -> probability", "--run"]),
            ("%%pipeline", ["%%pipeline", "--on-init FUNCTION", "churn(customer)"]),
            ("%deploy", ["%deploy", "PIPELINE", "--overtake"]),
            ("%runs", ["%runs", "--limit", "SELECT"]),
        ],
    )
    def test_question_mark_is_real_help(self, cell: Notebook, magic: str, words: list[str]) -> None:
        """`%%step?` shows usage, examples and every option."""
        shown: list[str] = []
        cell.shell.set_hook("show_in_pager", lambda _, data, **rest: shown.append(str(data)), 0)
        cell(f"{magic}?")
        for word in words:
            assert word in shown[0]
        assert "%%%" not in shown[0]
