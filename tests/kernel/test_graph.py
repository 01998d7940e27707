"""The graph: order, levels, cycles, and references inside values."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from warmcell.errors import GraphError
from warmcell.graph import Graph, Input, Node, Pack, Part, Ref, getter, refs, resolve


def node(index: int, *upstream: int) -> Node:
    return Node(index, f"n{index}", None, (), {}, {}, upstream)


def test_order_and_levels_follow_the_edges() -> None:
    """Nodes may be given in any order in which their indexes hold."""
    graph = Graph([node(0, 2), node(1), node(2, 1), node(3, 1)])
    assert graph.order == (1, 2, 3, 0)
    assert graph.levels == [[1], [2, 3], [0]]
    assert graph.edges == [("n2", "n0"), ("n1", "n2"), ("n1", "n3")]


def test_a_chain_is_linear() -> None:
    """Nothing in it can run at the same time."""
    assert Graph([node(0), node(1, 0), node(2, 1)]).linear
    assert not Graph([node(0), node(1), node(2, 0, 1)]).linear


def test_a_cycle_names_its_steps() -> None:
    """And only those that wait for each other."""
    with pytest.raises(GraphError, match="wait for each other: `n1` -> `n2`"):
        Graph([node(0), node(1, 2), node(2, 1)])


def test_an_edge_from_nowhere_is_an_error() -> None:
    """A node can only depend on nodes of its graph."""
    with pytest.raises(GraphError, match="`n0` depends on a step that is not in the graph"):
        Graph([node(0, 5)])


def test_references_are_resolved_anywhere_in_a_value() -> None:
    """Inputs, results, parts of them, and containers of these."""
    values = [{"a": [1, 2]}, SimpleNamespace(field=7)]
    value = Pack(
        dict,
        (
            Input("x"),
            Ref(0, (Part("item", "a"), Part("item", 1))),
            Pack(tuple, (Ref(1, (Part("field", "field"),)), "literal")),
            Pack(list, ()),
        ),
        ("i", "r", "t", "l"),
    )
    expected = {"i": 3, "r": 2, "t": (7, "literal"), "l": []}
    assert resolve(value, values, {"x": 3}) == expected
    assert getter(value)(values, {"x": 3}) == expected
    assert [ref.node for ref in refs(value)] == [0, 1]


@pytest.mark.parametrize("value", [Input("x"), Ref(0), Ref(0, (Part("item", 0),)), "plain"])
def test_a_prepared_getter_gives_the_same(value: object) -> None:
    """It is only quicker."""
    values, inputs = [[5]], {"x": 3}
    assert getter(value)(values, inputs) == resolve(value, values, inputs)
