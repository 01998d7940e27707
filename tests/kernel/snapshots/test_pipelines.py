"""Snapshots of real pipelines: steps are copied with their functions, and options travel along."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell.pipelines import Pipeline
from warmcell.snapshots import capture

CELLS = (
    "import dataclasses, pydantic\nfrom warmcell import step, pipeline\nk = 4",
    "class Customer(pydantic.BaseModel):\n    age: int\n"
    "@dataclasses.dataclass\nclass Answer:\n    p: float",
    "@step\ndef features(customer: Customer) -> dict:\n    return {'a': customer.age * k}",
    "@step(retry=2)\ndef score(features: dict, m: int = 1) -> Answer:\n"
    "    return Answer(features['a'] * m)",
    "def start():\n    return {'k': k}\n"
    "@pipeline(on_init=start)\ndef churn(customer: Customer) -> Answer:\n"
    "    return score(features(customer))",
)


@pytest.fixture
def nb() -> Iterator[Notebook]:
    """A notebook that defines a pipeline of two steps over several cells."""
    with notebook() as cells:
        for cell in CELLS:
            cells(cell)
        yield cells


def test_pipeline_is_copied_down_to_its_steps(nb: Notebook) -> None:
    """A later edit of a step, a global, a class or ``on_init`` does not reach the snapshot."""
    taken = capture({"pipeline": nb["churn"]}, namespace=nb.shell.user_ns)
    live = taken.live["pipeline"]
    assert isinstance(live, Pipeline)
    nb("k = 50\n@step\ndef score(features: dict) -> int: return 0")
    nb("def start(): return 'edited'")
    names = live.function.__globals__
    customer = typing.get_type_hints(live.function)["customer"](age=3)
    assert names["score"](names["features"](customer)).p == 12
    assert names["score"].options.retry.max_retries == 2
    assert live.options.on_init is not None
    assert live.options.on_init() == {"k": 4}
    assert taken.held == []
    assert taken.notes == []


def test_types_of_the_signature_are_the_rebuilt_ones(nb: Notebook) -> None:
    """The signature of a rebuilt pipeline names the rebuilt classes, which its steps make too."""
    live = capture({"pipeline": nb["churn"]}, namespace=nb.shell.user_ns).live["pipeline"]
    assert isinstance(live, Pipeline)
    hints = typing.get_type_hints(live.function)
    score, features = (live.function.__globals__[n].function for n in ("score", "features"))
    assert hints["customer"] is typing.get_type_hints(features)["customer"]
    assert hints["customer"] is not nb["Customer"]
    assert hints["return"] is score.__globals__["Answer"]


def test_same_cells_give_the_same_snapshot(nb: Notebook) -> None:
    """Running all cells again gives the same identity, another option another one."""
    first = capture({"pipeline": nb["churn"]}, namespace=nb.shell.user_ns).digest
    for cell in CELLS:
        nb(cell)
    assert capture({"pipeline": nb["churn"]}, namespace=nb.shell.user_ns).digest == first
    nb("score = score.with_options(retry=3)")
    assert capture({"pipeline": nb["churn"]}, namespace=nb.shell.user_ns).digest != first


def test_what_steps_use_is_shared_and_named(nb: Notebook) -> None:
    """A step's large array, its event and a model-like object are the notebook's very objects,
    however deep the step lies in the pipeline, and each is named as held."""
    nb("import threading, numpy as np\nbig = np.zeros(1_000_000)\ngate = threading.Event()")
    nb("@step\ndef look(i: int) -> float:\n    gate.set()\n    return float(big[i])")
    nb("@pipeline\ndef looking(i: int) -> float:\n    return look(i)")
    taken = capture({"pipeline": nb["looking"]}, namespace=nb.shell.user_ns)
    live = taken.live["pipeline"]
    assert isinstance(live, Pipeline)
    scope = live.steps[0].function.__globals__
    assert live.steps[0] is not nb["look"]
    assert scope["big"] is nb["big"]
    assert scope["gate"] is nb["gate"]
    assert {(held.name, held.by) for held in taken.held} == {
        ("big", "reference"),
        ("gate", "reference"),
    }
