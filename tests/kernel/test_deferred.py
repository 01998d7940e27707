"""The net below the analysis: a deferred value that is forced is the value."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest

from warmcell.analysis.deferred import Deferred, ref_of
from warmcell.graph import Part, Ref, follow


class Holder:
    """Stands where a body stands: it knows the values of nodes."""

    plans = False

    def __init__(self, *values: Any) -> None:
        self.values = values

    def real(self, value: Any) -> Any:
        ref = ref_of(value)
        return follow(self.values[ref.node], ref.path)


USES: list[Callable[[Any], Any]] = [
    bool, str, repr, hash, int, float, abs, round, operator.neg, operator.index, "{:>4}".format,
    lambda v: v == 7, lambda v: v != 7, lambda v: v < 8, lambda v: v >= 8, lambda v: v + 1,
    lambda v: 1 - v, lambda v: v * v, lambda v: 2**v, lambda v: v // 2, lambda v: 7 % v,
    lambda v: v & 3, lambda v: 1 << v, lambda v: f"{v}", lambda v: isinstance(v, int),
    lambda v: [1] * v, lambda v: divmod(int(v), 2), lambda v: list(range(10))[v],
]  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_using_it_uses_the_value(use: Callable[[Any], Any]) -> None:
    """Each way gives what the value itself gives."""
    assert use(Deferred(Holder(7), Ref(0))) == use(7)


def test_containers_and_callables_too() -> None:
    """Length, items, membership, iteration, calls, context managers."""
    items = Deferred(Holder([3, 1, 2]), Ref(0))
    assert (len(items), sorted(items), 1 in items, list(reversed(items))) == (
        3, [1, 2, 3], True, [2, 1, 3],
    )  # fmt: skip
    items[0] = 9
    assert list(items) == [9, 1, 2]
    assert Deferred(Holder(max), Ref(0))(1, 4) == 4


def test_parts_stay_deferred() -> None:
    """``[i]`` and ``.field`` are paths, nothing is run for them."""
    part = Deferred(Holder(), Ref(0))["a"].field[1]
    assert type(part) is Deferred
    assert ref_of(part).path == (Part("item", "a"), Part("field", "field"), Part("item", 1))


def test_outputs_of_a_step_can_be_unpacked() -> None:
    """A step that declares two outputs gives two deferred values."""
    first, second = Deferred(Holder(), Ref(3), 2)
    assert (ref_of(first), ref_of(second)) == (
        Ref(3, (Part("item", 0),)), Ref(3, (Part("item", 1),)),
    )  # fmt: skip
