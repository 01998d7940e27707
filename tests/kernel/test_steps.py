"""Steps: names, inputs, outputs and options, and what is refused."""

from __future__ import annotations

import inspect
import pickle
from typing import Annotated, Any

import pytest

from warmcell.errors import DefinitionError, UsageError
from warmcell.options import Retry
from warmcell.steps import OutputSpec, Step, step


class Config:
    """Like an ArtifactConfig: something with a name."""

    name = "model"


def one(x: int) -> Annotated[int, "count"]:
    return x


def two() -> tuple[Annotated[int, "train"], Annotated[str, "test"]]:
    return 1, "a"


def configured() -> Annotated[dict, Config()]:  # type: ignore[type-arg]
    return {}


def unnamed() -> tuple[int, str]:
    return 1, "a"


def nothing() -> None: ...


def many() -> tuple[int, ...]:
    return (1,)


def bare():  # type: ignore[no-untyped-def]
    return 1


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (one, ["count"]),
        (two, ["train", "test"]),
        (configured, ["model"]),
        (unnamed, ["output_0", "output_1"]),
        (nothing, []),
        (many, ["output"]),
        (bare, ["output"]),
    ],
)
def test_outputs_are_named_by_the_return_annotation(function: Any, names: list[str]) -> None:
    """Annotated and tuples name outputs, also where annotations are text."""
    assert [output.name for output in step(function).outputs] == names


def test_outputs_keep_their_types() -> None:
    """An output knows its type, for the schema of a deployment."""
    assert step(two).outputs == (OutputSpec("train", int), OutputSpec("test", str))


def test_outputs_can_be_named_by_hand() -> None:
    """A plain cell names its outputs itself."""
    assert [o.name for o in Step(unnamed, outputs=["a", "b"]).outputs] == ["a", "b"]


def test_a_step_outside_a_pipeline_is_the_function() -> None:
    """Calling it runs nothing but the function, and it looks like it."""
    assert step(one)(3) == 3
    assert inspect.signature(step(one)) == inspect.signature(one)
    assert step(one).__name__ == "one"


def test_the_decorator_takes_options() -> None:
    """All options of the magic are keywords of the decorator."""

    @step(name="other", retry=3, timeout=2.5, tags="x")
    def f() -> None: ...

    assert f.name == "other"
    assert f.options.retry == Retry(3)
    assert f.options.timeout == 2.5
    assert f.options.tags == ("x",)


def test_with_options_leaves_the_original_as_it_was() -> None:
    """Options are changed on a copy."""
    plain = step(one)
    changed = plain.with_options(retry=Retry(2, delay=1), name="again")
    assert (plain.options.retry, plain.name) == (None, "one")
    assert (changed.options.retry, changed.name) == (Retry(2, delay=1), "again")
    assert changed.function is plain.function


def test_an_unknown_option_names_the_near_one() -> None:
    """A typing error in an option is an error, with the way out."""
    with pytest.raises(DefinitionError, match=r"`f`.*`retires`.*Did you mean `retry`\?"):

        @step(retires=3)
        def f() -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": "3"}, "a number or a Retry"),
        ({"retry": -1}, "0 or more"),
        ({"retry": {"max_retry": 3}}, "Did you mean `max_retries`"),
        ({"timeout": 0}, "seconds above 0"),
        ({"on_failure": "print"}, "takes a function"),
        ({"name": "2 many words"}, "cannot name a step"),
    ],
)
def test_a_wrong_value_of_an_option_is_refused(options: dict[str, Any], message: str) -> None:
    """What cannot work is said at the definition."""
    with pytest.raises(DefinitionError, match=message):
        step(**options)(one)


def test_two_outputs_of_one_name_are_refused() -> None:
    """The message names the step, its place and the fix."""

    def split() -> tuple[Annotated[int, "part"], Annotated[int, "part"]]:
        return 1, 2

    with pytest.raises(DefinitionError, match=r"`split` \(.*\) has two outputs named `part`"):
        step(split)


def test_only_functions_can_be_steps() -> None:
    """A value, a lambda without a name or a step is refused."""
    with pytest.raises(DefinitionError, match="from a function, not from int"):
        step(3)  # type: ignore[call-overload]
    with pytest.raises(DefinitionError, match=r"Write @step\(name=...\)"):
        step(lambda x: x)
    with pytest.raises(DefinitionError, match="is a step already"):
        step(step(one))


def test_submit_and_map_need_a_pipeline() -> None:
    """Outside a body the error says how to call the plain function."""
    with pytest.raises(UsageError, match=r"`one.submit\(\)` works only inside the body"):
        step(one).submit(1)
    with pytest.raises(UsageError, match=r"`one.map\(\)` works only inside the body"):
        step(one).map([1])


decorated = step(retry=2)(one)


def test_a_step_is_remade_from_its_state() -> None:
    """A snapshot pickles the state: nothing in it is derived, and all of it comes back."""
    state = decorated.__getstate__()
    again = Step.__new__(Step)
    again.__setstate__(state)
    assert set(state) == {"function", "name", "options", "source", "doc", "_names"}
    assert pickle.loads(pickle.dumps(state["options"])) == decorated.options
    assert again(4) == 4
    assert again.outputs == decorated.outputs
    assert again.source.text == decorated.source.text
