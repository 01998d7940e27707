"""Comparing two answers place by place."""

from __future__ import annotations

import math
from typing import Any

import pytest

from warmcell.answers import ABSENT, Difference, Tolerance, differences
from warmcell.errors import UsageError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1, "b": [None, "x"]}, {"b": [None, "x"], "a": 1.0}),
        (math.nan, math.nan),
        (10**400, 10**400),
        ([], []),
    ],
)
def test_the_same_answers_have_no_difference(before: Any, after: Any) -> None:
    """The order of names does not count, 1 is 1.0, and what is not a number is itself."""
    assert differences(before, after) == []


def test_each_place_that_differs_is_named() -> None:
    """With both sides, and of numbers how far they are apart; a place may be on one side only."""
    before = {"rows": [{"id": "a", "score": 2.0}], "gone": 1, "a b": True}
    after = {"rows": [{"id": "b", "score": 1.0}, 7], "a b": 1, "new": None}
    assert differences(before, after) == [
        Difference("rows[0].id", "a", "b"),
        Difference("rows[0].score", 2.0, 1.0, 1.0, 0.5),
        Difference("rows[1]", ABSENT, 7),
        Difference("gone", 1, ABSENT),
        Difference('["a b"]', True, 1),
        Difference("new", ABSENT, None),
    ]
    score = differences(before, after)[1]
    assert (score.change, score.everywhere) == (-1.0, "rows[*].score")
    assert differences(1, "1") == [Difference("", 1, "1")]
    assert differences([1], {"0": 1}) == [Difference("", [1], {"0": 1})]


@pytest.mark.parametrize(
    ("before", "after", "absolute", "relative"),
    [
        (0, 3, 3.0, math.inf),
        (-4, -5, 1.0, 0.25),
        (10**400, 10**400 + 2, 2.0, 0.0),
        (10**400, 1.0, math.inf, math.nan),
        (1.0, math.nan, math.inf, math.inf),
        (math.inf, 1, math.inf, math.nan),
    ],
)
def test_numbers_are_measured(before: Any, after: Any, absolute: float, relative: float) -> None:
    """From 0 every change is infinite in proportion, and numbers beyond a float raise nothing."""
    [found] = differences(before, after)
    assert found.absolute == absolute
    assert found.relative == pytest.approx(relative, nan_ok=True)
    assert all(
        value is None or math.isfinite(value)
        for value in (found.to_json()["absolute"], found.to_json()["relative"])
    )


def test_tolerance_is_absolute_or_relative() -> None:
    """One of both is enough, neither hides what has another type, is infinite or is absent."""
    assert differences(1.0, 1.001, tolerance=0.01) == []
    assert differences(1000, 1001, tolerance={"relative": 0.001}) == []
    assert len(differences(1000, 1001, tolerance=Tolerance(0.5, 0.0001))) == 1
    for after in (True, "1", None, math.inf, math.nan):
        assert len(differences(1, after, tolerance={"absolute": 99, "relative": 1})) == 1
    with pytest.raises(UsageError, match="relative is -1"):
        differences(1, 2, tolerance={"relative": -1})
    with pytest.raises(UsageError, match="no 'abs'"):
        differences(1, 2, tolerance={"abs": 1})


def test_places_can_be_left_out() -> None:
    """With all that is below them; a star stands for any position or name."""
    before = {"at": {"x": 1}, "rows": [{"id": 1, "v": 1}, {"id": 2, "v": 2}], "a.b": 1}
    after = {"at": {"x": 2}, "rows": [{"id": 3, "v": 1}, {"id": 4, "v": 3}], "a.b": 2}
    left = differences(before, after, ignore=["at", "rows[*].id", '["a.b"]'])
    assert [found.path for found in left] == ["rows[1].v"]
    assert differences(before, after, ignore="*") == []
    for wrong in ("", ".a", "a[", "a[b]", "a..b"):
        with pytest.raises(UsageError, match="not the path of a place"):
            differences(1, 1, ignore=[wrong])


def test_depth_and_length_are_no_limit() -> None:
    """An answer nested deeper than Python calls go, and a long one, are compared."""
    before: Any = 1
    after: Any = 2
    for _ in range(5000):
        before, after = [before], [after]
    [found] = differences(before, after)
    assert found.path == "[0]" * 5000
    assert len(differences([0] * 20_000, [1] * 20_000)) == 20_000
