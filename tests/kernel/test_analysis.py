"""Reading bodies: which are planned, traced or eager, and that each gives what Python gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest

from tests.kernel.executing import inputs, run, value
from warmcell.pipelines import Pipeline
from warmcell.steps import step, unmapped

calls: list[Any] = []
LIMIT = 2


@step
def double(x: Any) -> Any:
    calls.append(x)
    return x * 2


@step
def join(*parts: Any) -> Any:
    return list(parts)


@step
def pair(x: int) -> tuple[Annotated[int, "low"], Annotated[int, "high"]]:
    return x - 1, x + 1


@step
def record(x: int) -> dict[str, Any]:
    return {"x": x, "items": [x, x + 1]}


@step
def total(xs: list[int], more: Any = None) -> int:
    return sum(xs) + sum((more or {}).values())


@step
def number() -> int:
    return 5


def helper(x: Any) -> Any:
    return double(x) + 1


class Box:
    def __init__(self, content: Any) -> None:
        self.content = content

    def get(self) -> Any:
        return self.content


@step
def box(x: Any) -> Box:
    return Box(x)


# -- bodies, each with its mode, for x = 3 ---------------------------------------------------


def chain(x):
    return double(double(x))


def named_chain(x, y=4):
    a = double(x)
    b: Any = double(y)
    return join(a, b)


def unpacked(x):
    """With a docstring."""
    low, high = pair(x)
    return join(high, low)


def parts(x):
    found = record(x)
    return join(found["items"], found["x"], found["items"][1])


def fields(x):
    made = box(x)
    return join(made.content)


def displays(x):
    return total([double(x), 1, double(x)], {"a": double(x)})


def keywords(x):
    return total(more={"a": double(x)}, xs=[double(x)])


def returns_parts(x):
    return {"a": double(x), "b": [double(x), x]}


def mutable(x):
    return join([], {})


def effects_only(x):
    double(x)


def on_input(x, flag=True):
    if flag and x > LIMIT:
        x = x + 1
    return double(x)


def loop_over_input(x):
    results = []
    for item in range(x):
        results.append(double(item))
    return total(results)


def comprehension(x):
    return total([double(item) for item in range(x) if item != 1])


def dict_comprehension(x):
    return total([], {str(item): double(item) for item in range(x)})


def conditional_expression(x):
    return double(x) if x > 2 else double(0)


def expression(x):
    return double(x * 2 + LIMIT)


def with_options(x):
    return double.with_options(name="twice")(x)


def starred_input(x):
    return join(*[x, x])


def accumulate(x):
    last = x
    for _ in range(3):
        last = double(last)
    return last


def branches_on_result(x):
    doubled = double(x)
    if doubled > 3:
        return double(doubled)
    return doubled


def compares(x):
    return double(x) == 6


def formats(x):
    return f"{double(x)}!"


def counts(x):
    return len(record(x))


def adds(x):
    return double(x) + 1


def augments(x):
    sum_ = 0
    for item in range(x):
        sum_ += double(item)
    return sum_


def iterates(x):
    return [item + 1 for item in record(x)["items"]]


def calls_method(x):
    return box(x).get()


def calls_helper(x):
    return helper(x) + helper(1)


def passes_to_function(x):
    return str(double(x))


def stars_result(x):
    return join(*record(x)["items"])


def catches(x):
    try:
        return double(None)
    except TypeError:
        return double(x)


def manages(x):
    with open("/dev/null") as file:
        return double(file.name + str(x))


def mutates_between(x):
    data = [x]
    first = double(data)
    data.append(9)
    return join(first, double(data))


def appends_shared(x):
    results = []
    other = results
    other.append(double(x))
    return len(results)


def unpacks_result(x):
    a, b = record(x)["items"]
    return join(a, b)


def nested(x):
    def inner(y):
        return double(y) + 1

    return inner(x)


def with_lambda(x):
    return list(map(lambda y: double(y), range(x)))  # noqa: C417


def as_argument(x):
    return list(map(double, range(x)))


def walrus(x):
    return join(y := double(x), y)


def nothing_returned(x):
    double(x)
    return


def raises_late(x):
    first = double(x)
    if x > 100:
        raise ValueError(x)
    return first


PLANNED = [
    chain, named_chain, unpacked, parts, fields, displays, keywords, returns_parts, mutable,
    effects_only, nothing_returned,
]  # fmt: skip
TRACED = [
    on_input, loop_over_input, comprehension, dict_comprehension, conditional_expression,
    expression, with_options, starred_input, accumulate, walrus,
]  # fmt: skip
EAGER = [
    branches_on_result, compares, formats, counts, adds, augments, iterates, calls_method,
    passes_to_function, stars_result, catches, manages, mutates_between, appends_shared,
    unpacks_result, nested, with_lambda, raises_late,
]  # fmt: skip


@pytest.mark.parametrize("body", PLANNED, ids=lambda f: f.__name__)
def test_straight_bodies_are_planned_once(body: Callable[..., Any]) -> None:
    """Step calls on inputs, constants and results give a graph that never changes."""
    pipeline = Pipeline(body)
    assert pipeline.plan().analysis.mode == "planned", pipeline.plan().analysis.reason
    assert pipeline.graph() is not None
    assert pipeline.plan() is pipeline.plan()


@pytest.mark.parametrize("body", TRACED, ids=lambda f: f.__name__)
def test_bodies_that_follow_inputs_are_traced(body: Callable[..., Any]) -> None:
    """Conditions and loops on inputs are followed in each run; results stay deferred."""
    analysis = Pipeline(body).plan().analysis
    assert analysis.mode == "traced", analysis.reason


@pytest.mark.parametrize("body", EAGER, ids=lambda f: f.__name__)
def test_bodies_that_need_values_are_eager(body: Callable[..., Any]) -> None:
    """Anything else done with a result makes the whole run eager, and the reason names a line."""
    analysis = Pipeline(body).plan().analysis
    assert analysis.mode == "eager"
    assert analysis.reason is not None
    assert analysis.reason.startswith("line ")


@pytest.mark.parametrize(
    "body", [*PLANNED, *TRACED, *EAGER, calls_helper, as_argument], ids=lambda f: f.__name__
)
def test_a_run_returns_what_the_plain_body_returns(body: Callable[..., Any]) -> None:
    """Outside a run steps are plain functions: that is the truth to compare with."""
    calls.clear()
    expected, expected_calls = body(3), list(calls)
    calls.clear()
    assert value(Pipeline(body), x=3) == expected
    assert sorted(map(repr, calls)) == sorted(map(repr, expected_calls))


def test_a_step_called_in_a_helper_runs_at_once() -> None:
    """Only calls in the text of the body are deferred: a helper gets values."""
    pipeline = Pipeline(calls_helper)
    outcome = run(pipeline, x=3)
    assert outcome.value == 10
    assert inputs(outcome) == {"double": {"x": "$x"}, "double_2": {"x": "="}}


def test_a_container_of_a_planned_body_is_made_anew() -> None:
    """A list display of the body is another list in each run."""
    pipeline = Pipeline(mutable)
    first, second = value(pipeline, x=1), value(pipeline, x=1)
    first[0].append(1)
    assert second[0] == []
    assert first[0] is not second[0]


def test_a_step_that_is_redefined_is_used_by_the_next_run() -> None:
    """The plan is made again when a name means something else."""
    scope: dict[str, Any] = {"double": double}
    exec("def body(x):\n    return double(x)\n", scope)
    pipeline = Pipeline(scope["body"], source=_source("def body(x):\n    return double(x)\n"))
    assert pipeline.plan().analysis.mode == "planned"
    assert value(pipeline, x=3) == 6
    scope["double"] = step(name="double")(lambda x: x * 20)
    assert value(pipeline, x=3) == 60


def test_without_its_text_a_body_is_eager() -> None:
    """What cannot be read runs as plain Python, with its steps tracked."""
    scope: dict[str, Any] = {"double": double}
    exec("def body(x):\n    return double(double(x))\n", scope)
    pipeline = Pipeline(scope["body"])
    outcome = run(pipeline, x=3)
    assert pipeline.plan().analysis.reason == "its source is not at hand"
    assert outcome.value == 12
    assert inputs(outcome)["double_2"] == {"x": "double.output"}


def test_text_of_another_body_is_not_trusted() -> None:
    """The text is compared with the code: a file that changed since makes the body eager."""
    scope: dict[str, Any] = {"double": double}
    exec("def body(x):\n    return double(x) + 1\n", scope)
    pipeline = Pipeline(scope["body"], source=_source("def body(x):\n    return double(x)\n"))
    assert pipeline.plan().analysis.mode == "eager"
    assert value(pipeline, x=3) == 7


def test_eager_runs_record_what_flowed() -> None:
    """Values are recognised by identity; constants of the body are not mistaken for results."""

    def body(x):
        five = number()
        if five > 3:
            found = record(x)
        return join(five, found, found["items"], 5, [found, x])

    outcome = run(Pipeline(body), x=1000.5)
    step_ = outcome.detail.steps[-1]
    assert step_.upstream == ("record",)
    assert step_.inputs["parts"] == "record.output, record.output['items'], $x"


def test_map_and_submit_make_a_body_eager_and_parallel() -> None:
    """Futures go into steps as they are."""

    def body(x):
        firsts = double.map(range(x))
        offset = number.submit()
        return total.submit(firsts, {"o": offset}).result()

    outcome = run(Pipeline(body), x=3)
    assert outcome.value == 11
    last = next(step_ for step_ in outcome.detail.steps if step_.step == "total")
    assert set(last.upstream) == {"double", "double_2", "double_3", "number"}


def test_map_takes_unmapped_values_and_names_wrong_lengths() -> None:
    """Every argument is an iterable of one length, or marked."""

    @step
    def add(x: int, y: int) -> int:
        return x + y

    def body(xs, ys):
        return add.map(xs, y=ys).result()

    assert value(Pipeline(body), xs=[1, 2], ys=unmapped(10)) == [11, 12]
    outcome = run(Pipeline(body), xs=[1, 2], ys=[1])
    assert outcome.error is not None
    assert "needs iterables of one length, but got 1 and 2" in outcome.error.message


def test_after_orders_steps_without_a_value() -> None:
    """``after=`` is an edge of the graph."""
    order: list[str] = []

    @step
    def first() -> None:
        order.append("first")

    @step
    def second() -> None:
        order.append("second")

    def body():
        begun = first()
        return second(after=begun)

    pipeline = Pipeline(body)
    graph = pipeline.graph()
    assert graph is not None
    assert graph.edges == [("first", "second")]
    value(pipeline)
    assert order == ["first", "second"]


def _source(text: str) -> Any:
    from warmcell.source import Source

    return Source(text)
