"""Pipelines: options, errors at the definition, names of outputs, and being remade."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import pytest

from tests.kernel.executing import run, value
from warmcell.errors import DefinitionError, GraphError
from warmcell.pipelines import Pipeline, pipeline
from warmcell.steps import OutputSpec, step


@step
def load(x: int) -> int:
    return x


@step
def split(x: int) -> tuple[Annotated[int, "train"], Annotated[int, "test"]]:
    return x, x + 1


@step
def score(x: int) -> Annotated[float, "probability"]:
    return x / 10


@step
def quiet(x: int) -> None: ...


# -- what cannot work ------------------------------------------------------------------------


def test_an_unknown_step_is_named_with_the_near_one() -> None:
    """The message says pipeline, place, line and what was probably meant."""

    @pipeline
    def churn(x):
        return socre(x)  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DefinitionError, match=r"`churn` \(.*line \d+\) calls `socre`.*`score`\?"):
        churn.check()


def test_a_missing_argument_names_step_and_signature() -> None:
    """A call that does not fit is an error before anything runs."""

    @pipeline
    def churn(x):
        return score(load())

    with pytest.raises(DefinitionError, match=r"`load`.*missing a required argument: 'x'.*load\(x"):
        churn.check()


def test_a_wrong_argument_names_the_near_one() -> None:
    """A keyword that no parameter has."""

    @step
    def scale(value: int, factor: int = 2) -> int:
        return value * factor

    @pipeline
    def churn(x):
        return scale(x, facter=3)

    with pytest.raises(DefinitionError, match=r"`scale`.*facter.*Did you mean `factor`\?"):
        churn.check()


def test_steps_that_wait_for_each_other_are_a_cycle() -> None:
    """A result used above the step that makes it."""

    @pipeline
    def churn(x):
        first = load(second)  # noqa: F821
        second = load(first)
        return score(second)

    with pytest.raises(GraphError, match=r"uses `second` before the step that makes it"):
        churn.check()


def test_an_unknown_option_names_the_near_one() -> None:
    """As for steps."""
    with pytest.raises(DefinitionError, match=r"`churn`.*Did you mean `on_init`\?"):

        @pipeline(on_int=print)
        def churn(x): ...


def test_an_unknown_execution_mode_lists_the_known_ones() -> None:
    """Modes are three words."""
    with pytest.raises(DefinitionError, match="continue_on_failure, fail_fast, stop_on_failure"):
        Pipeline(one).with_options(execution_mode="fast")


def test_a_call_that_does_not_fit_shows_the_signature() -> None:
    """Calling a pipeline with a wrong argument is an error before a run exists."""

    @pipeline
    def churn(x: int):
        return load(x)

    with pytest.raises(DefinitionError, match=r"missing a required argument: 'x'.*churn\(x: "):
        churn()


def test_a_generator_is_refused() -> None:
    """A pipeline returns its result."""
    with pytest.raises(DefinitionError, match="is a generator"):

        @pipeline
        def churn(x):
            yield load(x)


def test_a_result_of_the_wrong_shape_names_the_outputs() -> None:
    """A step that declares two outputs returns two values."""

    @step
    def wrong() -> tuple[Annotated[int, "a"], Annotated[int, "b"]]:
        return 1, 2, 3  # type: ignore[return-value]

    @pipeline
    def churn():
        return wrong()

    outcome = run(churn)
    assert outcome.error is not None
    assert "declares 2 outputs (a, b) but returned 3 values" in outcome.error.message
    assert outcome.error.step == "wrong"


# -- names of outputs ------------------------------------------------------------------------


def one(x):
    return score(load(x))


def variable(x):
    found = score(x)
    return found  # noqa: RET504


def unpacked(x):
    _train, test = split(x)
    return test


def indexed(x):
    return split(x)[0]


def both(x):
    return split(x)


def two_steps(x):
    return load(x), score(x)


def clash(x):
    return score(x), score(load(x))


def mapping(x):
    return {"p": score(x), "x": x}


def plain(x):
    return x + 1


def plain_dict(x):
    return {"a": x}


def nothing(x):
    quiet(x)


def of_nothing(x):
    return quiet(x)


def eager(x):
    found = score(x)
    if found > 100:
        return score(0)
    return found


def eager_differs(x):
    found = score(x)
    if found > 100:
        return load(0)
    return found


def submitted(x):
    future = score.submit(x)
    return future.result()


def annotated(x) -> Annotated[float, "risk"]:
    return score(x)


def eager_mapping(x):
    found = score(x)
    return {"p": found, "high": found > 0.5}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (one, {"probability": 0.3}),
        (variable, {"probability": 0.3}),
        (unpacked, {"test": 4}),
        (indexed, {"train": 3}),
        (both, {"train": 3, "test": 4}),
        (two_steps, {"output": 3, "probability": 0.3}),
        (clash, {"score.probability": 0.3, "score_2.probability": 0.3}),
        (mapping, {"p": 0.3, "x": 3}),
        (plain, {"output": 4}),
        (plain_dict, {"output": {"a": 3}}),
        (nothing, {}),
        (of_nothing, {"output": None}),
        (eager, {"probability": 0.3}),
        (eager_differs, {"output": 0.3}),
        (submitted, {"probability": 0.3}),
        (annotated, {"risk": 0.3}),
        (eager_mapping, {"p": 0.3, "high": False}),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_outputs_are_named(body: Any, expected: dict[str, Any]) -> None:
    """By the step's output, the keys of a returned dict, or ``output``; known without running."""
    pipe = Pipeline(body)
    assert run(pipe, x=3).outputs == expected
    assert [output.name for output in pipe.outputs] == list(expected)


def test_outputs_know_their_types() -> None:
    """For the schema of what a deployment answers."""
    assert Pipeline(both).outputs == (OutputSpec("train", int), OutputSpec("test", int))
    assert Pipeline(mapping).outputs == (OutputSpec("p", float), OutputSpec("x", None))


# -- graphs, nesting, being remade -----------------------------------------------------------


def test_the_graph_shows_levels_and_edges() -> None:
    """A planned pipeline has one graph for all runs."""

    @pipeline
    def churn(x):
        train, test = split(load(x))
        return score(train), score(test)

    graph = churn.graph()
    assert graph is not None
    assert graph.levels == [[0], [1], [2, 3]]
    assert graph.edges == [("load", "split"), ("split", "score"), ("split", "score_2")]
    assert not graph.linear
    assert [found.name for found in churn.steps] == ["load", "split", "score"]


def test_a_pipeline_inside_another_joins_its_run() -> None:
    """Its steps are part of the outer run."""

    @pipeline
    def inner(x):
        return load(x) + 1

    @pipeline
    def outer(x):
        return score(inner(x))

    outcome = run(outer, x=9)
    assert outcome.outputs == {"probability": 1.0}
    assert [found.step for found in outcome.detail.steps] == ["load", "score"]


def test_with_options_leaves_the_original_as_it_was() -> None:
    """Options are changed on a copy."""
    plain_one = Pipeline(one)
    changed = plain_one.with_options(execution_mode="fail_fast", name="other")
    assert plain_one.options.execution_mode == "continue_on_failure"
    assert (changed.options.execution_mode, changed.name) == ("fail_fast", "other")


def test_a_pipeline_is_remade_from_its_state() -> None:
    """With the steps that its function's own globals name then."""
    original = Pipeline(one)
    original.plan()
    state = original.__getstate__()
    assert set(state) == {"function", "name", "options", "source", "doc"}
    again = Pipeline.__new__(Pipeline)
    again.__setstate__(state)
    assert value(again, x=5) == 0.5
    assert again.plan().analysis.mode == "planned"


def test_defaults_are_filled_in() -> None:
    """A caller may leave out what has a default; keyword-only parameters work."""

    @pipeline
    def churn(x: int = 4, *, y: int = 5):
        return split(x), load(y)

    assert run(churn).value == ((4, 5), 5)
    assert run(churn, y=1).value == ((4, 5), 1)


def test_definitions_import_neither_ipython_nor_pandas() -> None:
    """In a fresh process: defining and running needs nothing heavy."""
    code = (
        "import sys\n"
        "from warmcell.steps import step\n"
        "from warmcell.pipelines import pipeline\n"
        "from warmcell.runner import execute\n"
        "import warmcell.graph\n"
        "bad = {'IPython', 'pandas', 'numpy', 'duckdb', 'tornado', 'matplotlib', "
        "'warmcell_server', 'warmcell_widgets'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
