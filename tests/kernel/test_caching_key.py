"""The key of a step: what changes it, what does not, and what is said of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from warmcell.caching import CachePolicy, Key, differences, key_of, policy_of
from warmcell.errors import UsageError
from warmcell.steps import Step

CELL = """
import numpy as np
from warmcell import step

weights = np.arange(3.0)
factor = 2

def helper(x):
    "Helps."
    return x * factor

@step
def train(table: list, rate: float = 0.1) -> float:
    return helper(sum(table)) + float(weights.sum()) * rate
"""

OTHER = CELL.replace("sum(table)", "max(table)")


def step(cell: str = CELL, **values: Any) -> Step:
    """The step that a cell defines, in a namespace of its own."""
    space: dict[str, Any] = {"__name__": "__main__", **values}
    exec(compile(cell, "<cell>", "exec"), space)
    found = space["train"]
    assert isinstance(found, Step)
    if values:
        found.function.__globals__.update(values)
    return found


def key(made: Step, policy: CachePolicy | None = None, rate: float = 0.1, table: str = "t1") -> Key:
    found = key_of(
        made, policy or CachePolicy(), inputs={"table": table}, parameters={"rate": rate}
    )
    assert isinstance(found, Key), found
    return found


def test_the_same_step_has_the_same_key() -> None:
    """A cell that ran again, comments, docstrings and lines do not matter."""
    edited = CELL.replace('"Helps."', '"Helps a lot."').replace("return x", "# now\n    return x")
    assert key(step()) == key(step()) == key(step(edited))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda: key(step(OTHER)), ["code"]),
        (lambda: key(step(CELL.replace("x * factor", "x + factor"))), ["code"]),
        (lambda: key(step(factor=3)), ["global factor"]),
        (lambda: key(step(weights=np.arange(4.0))), ["global weights"]),
        (lambda: key(step(), rate=0.2), ["parameter rate"]),
        (lambda: key(step(), table="t2"), ["input table"]),
    ],
)
def test_what_changes_it(change: Callable[[], Key], part: list[str]) -> None:
    """Code, also of a helper, values that it reads, parameters and inputs, each by its name."""
    before, after = key(step()), change()
    assert after.digest != before.digest
    assert differences(after.parts, before.parts) == part


MAKE = """
def make(n):
    def scaled(x):
        return x * n
    return scaled

double, triple = make(2), make({})
helper = lambda x: double(x) + triple(x)
"""

WRAPPED = """
from functools import lru_cache, partial, wraps

def decorated(function):
    @wraps(function)
    def wrapper(*args, **kwargs):
        return {} * function(*args, **kwargs)
    return wrapper
"""

VALIDATED = """
from pydantic import BaseModel, field_validator

class Customer(BaseModel):
    age: int
    orders: int

    @field_validator({!r})
    @classmethod
    def doubled(cls, value):
        return value * 2

helper = lambda x: Customer(age=x, orders=x).age
"""


def cell_with(before: str) -> str:
    """The cell with other code before its step, instead of its helper."""
    start, end = CELL.index("def helper"), CELL.index("@step")
    return CELL[:start] + before + CELL[end:]


@pytest.mark.parametrize(
    ("one", "other", "part"),
    [
        (cell_with(MAKE.format(3)), cell_with(MAKE.format(4)), "global n of scaled"),
        (
            cell_with("f, g = lambda x, k=1: x * k, lambda x, k=2: x * k\ndef helper(x):\n"
                      "    return f(x) + g(x)\n"),
            cell_with("f, g = lambda x, k=1: x * k, lambda x, k=3: x * k\ndef helper(x):\n"
                      "    return f(x) + g(x)\n"),
            "global <lambda>(k) of <lambda>",
        ),
        (
            cell_with("def helper(x):\n    return x * helper.k\nhelper.k = 2\n"),
            cell_with("def helper(x):\n    return x * helper.k\nhelper.k = 3\n"),
            "global helper(k)",
        ),
        (
            cell_with(WRAPPED.format(2) + "def helper(x):\n    return x\n").replace(
                "@step", "@step\n@decorated"
            ),
            cell_with(WRAPPED.format(3) + "def helper(x):\n    return x\n").replace(
                "@step", "@step\n@decorated"
            ),
            "code",
        ),
        (
            cell_with(WRAPPED.format(2) + "def helper(x):\n    return x\n").replace(
                "@step", "@step\n@lru_cache"
            ),
            cell_with(WRAPPED.format(2) + "def helper(x):\n    return x + 1\n").replace(
                "@step", "@step\n@lru_cache"
            ),
            "global train",
        ),
        (
            cell_with("def helper(x):\n    return [f'a{i}' for i in range(x)]\n"),
            cell_with("def helper(x):\n    return [f'b{i}' for i in range(x)]\n"),
            "code",
        ),
        (
            cell_with("def helper(x):\n    return set('a' for i in range(x))\n"),
            cell_with("def helper(x):\n    return set('b' for i in range(x))\n"),
            "code",
        ),
        (
            cell_with(VALIDATED.format("age")),
            cell_with(VALIDATED.format("orders")),
            "global Customer",
        ),
    ],
    ids=["closures", "defaults", "attribute", "decorator", "lru_cache", "list", "generator",
         "pydantic"],
)  # fmt: skip
def test_no_change_is_overlooked(one: str, other: str, part: str) -> None:
    """What shares its name with something else, wraps the step, or hides in a comprehension or a
    class counts too; and the same cell again gives the same key."""
    before, after = key(step(one)), key(step(other))
    assert key(step(one)) == before
    assert differences(after.parts, before.parts) == [part]
    assert before.digest != after.digest


def test_outputs_that_change_places_count() -> None:
    """What one name meant is not what it means now."""
    head = "from typing import Annotated\n"
    one = cell_with("helper = float\n").replace("-> float", "-> tuple[{0}, {1}]")
    names = [f"Annotated[float, {name!r}]" for name in ("low", "high")]
    before, after = (key(step(head + one.format(*given))) for given in (names, names[::-1]))
    assert differences(after.parts, before.parts) == ["output high", "output low"]


@pytest.mark.parametrize(
    "code",
    [
        "def helper(x):\n    import own_helpers\n    return own_helpers.scale(x)\n",
        "def helper(x):\n    from own_helpers import scale\n    return scale(x)\n",
        "class Made:\n    def scale(self, x):\n        from own_helpers import scale\n"
        "        return scale(x)\nhelper = lambda x: Made().scale(x)\n",
    ],
)
def test_local_modules_that_are_imported_late_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """An import within a function, of a file of the user: its code is part of the key."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    found = []
    for factor in (2, 2, 33):
        (tmp_path / "own_helpers.py").write_text(f"def scale(x):\n    return x * {factor}\n")
        monkeypatch.delitem(sys.modules, "own_helpers", raising=False)
        found.append(key(step(cell_with(code))))
    monkeypatch.delitem(sys.modules, "own_helpers", raising=False)
    assert found[0] == found[1]
    assert found[2].digest != found[0].digest


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        (CachePolicy(include_step_code=False), lambda p: key(step(OTHER), p)),
        (CachePolicy(include_globals=False), lambda p: key(step(factor=3), p)),
        (CachePolicy(include_step_parameters=False), lambda p: key(step(), p, rate=0.2)),
        (CachePolicy(ignored_inputs=["rate"]), lambda p: key(step(), p, rate=0.2)),
        (CachePolicy(ignored_inputs=["table"]), lambda p: key(step(), p, table="t2")),
    ],
)  # fmt: skip
def test_what_a_policy_leaves_out(
    policy: CachePolicy, change: Callable[[CachePolicy], Key]
) -> None:
    """What is left out changes no key."""
    assert key(step(), policy) == change(policy)


def test_files_sources_and_functions_count(tmp_path: Path) -> None:
    """The contents of a file, the source of a function, and what a function of one's own says."""
    file = tmp_path / "data.csv"
    file.write_text("1")
    said = ["a"]
    policy = CachePolicy(
        file_dependencies=[file], source_dependencies=[step], cache_func=lambda: said[0]
    )
    first = key(step(), policy)
    file.write_text("2")
    said[0] = "b"
    second = key(step(), policy)
    assert differences(second.parts, first.parts) == [f"file {file}", "cache_func"]
    assert "source step" in first.parts


def test_what_has_no_value_has_no_key() -> None:
    """An object that can be told apart only by where it is makes no key, and is named."""
    told = key_of(step(factor=threading.Thread()), CachePolicy(), inputs={}, parameters={})
    assert told == "the global `factor` can be told apart only by where it is in memory"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (CachePolicy(ignored_inputs=["rates"]), "ignores 'rates', which is no input"),
        (CachePolicy(file_dependencies=[Path("no-such-file")]), "No such file"),
        (CachePolicy(source_dependencies=[5]), "the source of 5"),
        (CachePolicy(cache_func=lambda: 5), "returned int, not text"),  # type: ignore[arg-type, return-value]
    ],
)
def test_a_policy_that_cannot_be_followed(policy: CachePolicy, message: str) -> None:
    """The message names the step and what is wrong."""
    with pytest.raises(UsageError, match=message) as raised:
        key(step(), policy)
    assert "train" in str(raised.value)


def test_policies_are_read_strictly() -> None:
    """From a dict or by its name; a wrong name is told with the right one."""
    assert policy_of({"expires_after": 60}).expires_after == 60
    assert policy_of("default") == policy_of(None) == CachePolicy()
    for given, message in (
        ({"expire_after": 5}, "expires_after"),
        ({"expires_after": 0}, "greater than 0"),
        ({"cache_func": 5}, "a function without parameters"),
        ("none", "cache_policy"),
    ):
        with pytest.raises(UsageError, match=message):
            policy_of(given)


def test_how_outputs_are_written_counts() -> None:
    """Another materializer, or another code of it, writes something else; one output's own too."""
    cell = CELL.replace(
        "@step",
        """
from warmcell.materializers import BaseMaterializer

class Plain(BaseMaterializer):
    def save(self, data):
        (self.artifact_path / "a").write_text(str(data))

@step(output_materializers=Plain)""",
    )
    plain = key(step(cell))
    assert plain == key(step(cell)) != key(step())
    changed = key(step(cell.replace("str(data)", "repr(data)")))
    assert differences(changed.parts, plain.parts) == ["output output"]
    by_name = key(step(cell.replace("=Plain)", "={'output': Plain})")))
    assert by_name == plain


def test_a_bound_method_counts_with_its_object() -> None:
    """A step that is a method reads what its object holds."""

    class Scale:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def scaled(self, x: int) -> int:
            return x * self.factor

    found = [
        key_of(Step(Scale(factor).scaled), CachePolicy(), inputs={}, parameters={"x": 1})
        for factor in (2, 2, 3)
    ]
    assert found[0] == found[1] != found[2]
