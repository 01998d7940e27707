"""Parameters of a command line, read by the schema of a pipeline."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pydantic
import pytest

from warmcell.errors import ParameterError, UsageError
from warmcell.remote.texts import pairs, read
from warmcell.schemas import parameter_model


class Mood(enum.Enum):
    GLAD = "glad"


class Customer(pydantic.BaseModel):
    name: str


def signature(
    text: str,
    number: float,
    maybe: str | None = None,
    either: int | str = 0,
    anything: Any = None,
    untyped=None,  # type: ignore[no-untyped-def]
    flag: bool = False,
    mood: Mood = Mood.GLAD,
    word: Literal["1", "2"] = "1",
    customer: Customer | None = None,
    some_list: list[int] = [],  # noqa: B006
) -> None:
    """Takes one of each kind."""


SCHEMA = parameter_model(signature, "signature").json_schema()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--text=12"], {"text": "12"}),
        (["--text", '"quoted"'], {"text": '"quoted"'}),
        (["--text="], {"text": ""}),
        (["--number=12"], {"number": 12}),
        (["--number=many"], {"number": "many"}),
        (["--maybe=null"], {"maybe": None}),
        (["--maybe=12"], {"maybe": "12"}),
        (["--either=12"], {"either": 12}),
        (["--either=twelve"], {"either": "twelve"}),
        (["--anything=[1]"], {"anything": [1]}),
        (["--untyped=London"], {"untyped": "London"}),
        (["--flag"], {"flag": True}),
        (["--flag=False"], {"flag": False}),
        (["--mood=glad"], {"mood": "glad"}),
        (["--word=2"], {"word": "2"}),
        (['--customer={"name": "Ada"}'], {"customer": {"name": "Ada"}}),
        (["--some-list=[1, 2]"], {"some_list": [1, 2]}),
        (["--flag", "--text=a=b"], {"flag": True, "text": "a=b"}),
    ],
)
def test_values_are_what_the_schema_takes(words: list[str], expected: dict[str, Any]) -> None:
    """A text stays what it is where the schema takes text, and is JSON elsewhere."""
    assert read(pairs(words), SCHEMA) == expected


def test_unknown_names() -> None:
    """A misspelt parameter names the right one, with a pointer."""
    with pytest.raises(ParameterError, match="Did you mean --number") as caught:
        read({"numbr": "1"}, SCHEMA)
    assert caught.value.errors[0]["pointer"] == "/parameters/numbr"


def test_without_a_schema_everything_goes() -> None:
    """Where nothing is known, values are JSON if they can be."""
    assert read({"a": "1", "b": "x"}, {}) == {"a": 1, "b": "x"}


@pytest.mark.parametrize("words", [["London"], ["--"], ["--=1"], ["--a=1", "--a=2"]])
def test_what_is_no_parameter(words: list[str]) -> None:
    """A word without a name, and a name given twice, are refused."""
    with pytest.raises(UsageError):
        pairs(words)
