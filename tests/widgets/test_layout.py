"""Where boxes go."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from warmcell_widgets.layout import LAYER_GAP, Box, Layout, place

FANS = {"s": [], **{f"w{i}": ["s"] for i in range(50)}, "end": [f"w{i}" for i in range(50)]}
GRAPHS: dict[str, dict[str, list[str]]] = {
    "empty": {},
    "one": {"a": []},
    "chain": {"a": [], "b": ["a"], "c": ["b"]},
    "diamond": {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]},
    "skip": {"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"]},
    "two": {"a": [], "b": ["a"], "x": [], "y": ["x"]},
    "fan": FANS,
    "mesh": {
        f"{row}.{column}": [f"{row - 1}.{other}" for other in range(4)] if row else []
        for row in range(5)
        for column in range(4)
    },
}


def placed(upstream: dict[str, list[str]]) -> Layout:
    return place(upstream, {name: 40.0 + 9 * len(name) for name in upstream})


def apart(one: Box, other: Box) -> bool:
    return (
        one.x + one.width <= other.x
        or other.x + other.width <= one.x
        or one.y + one.height <= other.y + 1e-6
        or other.y + other.height <= one.y + 1e-6
    )


@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_do_not_overlap(name: str) -> None:
    """No two boxes touch, and all lie inside the drawing."""
    laid = placed(GRAPHS[name])
    assert set(laid.boxes) == set(GRAPHS[name])
    for one, other in itertools.combinations(laid.boxes.values(), 2):
        assert apart(one, other), (one, other)
    for box in laid.boxes.values():
        assert box.x >= 0
        assert box.y >= -1e-6
        assert box.x + box.width <= laid.width + 1e-6
        assert box.y + box.height <= laid.height + 1e-6


@pytest.mark.parametrize("name", GRAPHS)
def test_values_flow_to_the_right(name: str) -> None:
    """Every edge leads from the right side of its source to the left side of its target."""
    laid = placed(GRAPHS[name])
    wanted = {(source, target) for target, sources in GRAPHS[name].items() for source in sources}
    assert {(source, target) for source, target, _ in laid.edges} == wanted
    for source, target, points in laid.edges:
        assert (
            laid.boxes[source].x + laid.boxes[source].width + LAYER_GAP / 2 < laid.boxes[target].x
        )
        xs: Sequence[float] = [x for x, _ in points]
        assert list(xs) == sorted(xs)
        assert xs[0] == laid.boxes[source].x + laid.boxes[source].width
        assert xs[-1] == laid.boxes[target].x


def test_a_long_edge_runs_around_the_boxes_between() -> None:
    """The edge a -> d of a chain a, b, c, d crosses neither b nor c."""
    laid = placed(GRAPHS["skip"])
    (points,) = [points for source, target, points in laid.edges if (source, target) == ("a", "d")]
    for x, y in points[1:-1]:
        for name in ("b", "c"):
            box = laid.boxes[name]
            assert not (box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height)


def test_a_straight_chain_is_drawn_straight() -> None:
    """The boxes of a chain stand at one height."""
    laid = placed(GRAPHS["chain"])
    assert len({round(box.y, 6) for box in laid.boxes.values()}) == 1


def test_bad_edges_do_not_break_the_drawing() -> None:
    """A cycle, an edge to itself, an unknown name and a doubled edge are left out."""
    laid = placed({"a": ["c", "a", "ghost"], "b": ["a", "a"], "c": ["b"]})
    assert set(laid.boxes) == {"a", "b", "c"}
    assert len(laid.edges) == 2


def test_a_chain_may_be_longer_than_the_recursion_limit() -> None:
    """A chain of 3,000 nodes is placed."""
    names = [f"n{i}" for i in range(3000)]
    upstream = {name: [names[i - 1]] if i else [] for i, name in enumerate(names)}
    assert len(placed(upstream).edges) == 2999
